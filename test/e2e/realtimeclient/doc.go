// Package realtimeclient is a client of RealtimeGateway as a careful user would
// write it: over each of the protocols it resumes after a disconnect from
// where it was, and it records what it received. A Publisher sends numbered
// messages, tries each again under its idempotency key until it is acknowledged,
// and records where. Both are judged by package history.
//
// It knows the contract and no code of Trellis.
package realtimeclient
