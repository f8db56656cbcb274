// Package conformance is the one suite that every engine behind the realtime
// contract has to pass. It speaks to a running plane over HTTP, Server-Sent
// Events, WebSocket and the Centrifuge protocol, and to nothing else, so the same
// suite serves planes in this process, in other processes and in a cluster.
//
// What clients saw is recorded and checked against a model: one order a room, the
// same for all, nothing missed and nothing twice, and every gap announced.
package conformance
