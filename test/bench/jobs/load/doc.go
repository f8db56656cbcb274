// Package load submits jobs and works them off, over the contract of a JobQueue, over River, and over bare
// JetStream, each by the same measurements. It runs as a process of its own.
package load
