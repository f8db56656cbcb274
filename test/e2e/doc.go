// Package e2e tests Trellis on a cluster with real pods and real engines: what
// users and platform teams do to it, and what happens to it. hack/e2e.sh boots
// the cluster, installs the operator by its chart and runs these tests.
//
// Every test has a namespace of its own under the restricted Pod Security
// Standard. Tests that touch what all share (the operator, the nodes) are not
// parallel, so they run alone, before those that are. A test waits for a
// condition, never for a time.
package e2e
