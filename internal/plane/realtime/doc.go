// Package realtime is the contract of RealtimeGateway: rooms of ordered
// messages, published over HTTP or WebSocket and followed by polling, long
// polling, Server-Sent Events, WebSocket, or the Centrifuge protocol.
//
// Connections, rooms, history and the Redis broker are those of
// github.com/centrifugal/centrifuge; what is here is the contract on top: one
// position token for all protocols, gaps that are announced, and recovery that
// clients do not notice.
//
// It may import internal/plane, internal/planeconfig and pkg.
package realtime
