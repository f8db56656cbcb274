// Package jobs is the contract of a JobQueue and what it is made of: jobs that are accepted, leased to workers,
// retried, and end once. The state is in a Store, one package an engine below this one. It may import pkg/jobs,
// which has the types of the wire, internal/plane and internal/planeconfig.
package jobs
