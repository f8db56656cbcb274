// Package machine is a job queue as a state machine: commands, each with its time in it, are applied to a
// State, which gives results and changes. It is pure: it has no clock, no randomness and no engine, and keeps
// all in memory, so that whoever applies the same commands in the same order has the same state. Every
// command costs O(log n) of the jobs, or that for each job that it touches.
//
// NewStore wraps a State as a jobs.Store for development, and as the model that other stores are tested
// against; natsstore has a log of commands give every replica of a plane the same State.
//
// It imports internal/plane/jobs for the contract of a store, and pkg/jobs.
package machine
