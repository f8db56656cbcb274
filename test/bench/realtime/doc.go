// Package realtime measures the plane of RealtimeGateway against the bare
// library: memory a connection, fan-out, and polling.
package realtime
