// Package natsstore keeps the jobs of a queue in NATS JetStream: as a log of commands in one stream, which every
// replica of the plane follows and applies to a state machine of its own. The log's order is the one order of all
// changes: what a command does is decided where it stands in the log, by the same pure function in every replica, so
// that no two of them disagree, and one that was paused can do nothing to what happened since. docs/adr/0021 says why.
//
// Large payloads and results lie in a stream of their own, under a name that the log has. From time to time a replica
// writes its state as a snapshot, into a third stream, and cuts the log.
//
// It imports internal/plane/jobs, its machine, and the client of NATS.
package natsstore
