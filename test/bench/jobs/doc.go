// Package jobs measures the plane of JobQueue against what works on the same engine without it: River on
// PostgreSQL, bare JetStream on NATS.
package jobs
