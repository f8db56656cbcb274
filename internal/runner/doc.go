// Package runner runs the jobs of a JobQueue in a container that knows nothing of Trellis: it leases them over the queue's
// contract and starts a command for each, or posts each to a port. It imports pkg/jobs and internal/planeconfig of the
// tree and stays small, as it is copied into every worker's pod.
package runner
