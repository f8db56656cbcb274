// Package jobs is the Go side of a JobQueue's contract: the types that go over the wire, a client, and
// a worker that leases jobs and runs them. It imports the standard library only, so that anybody may use it.
package jobs
