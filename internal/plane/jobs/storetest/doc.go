// Package storetest holds what every jobs.Store has to do, as tests that an engine's package runs against its own.
// It is imported by tests alone, and may import internal/plane/jobs and its machine, which is the model.
package storetest
