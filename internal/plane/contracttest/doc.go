// Package contracttest is what the conformance suites of all contracts have in common: planes that run in the test's
// process, a client that looks at every answer, bytes that no client library would send, and waiting. What a contract
// promises is in the suite of that contract.
//
// It may import the chassis of the planes and their configuration, and no contract.
package contracttest
