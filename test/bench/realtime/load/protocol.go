package load

import (
	"fmt"
	"net/url"
)

// Protocol is how a follower or publisher speaks to its server.
type Protocol string

// Protocols.
const (
	// ContractWebSocket is /v1/ws, ContractSSE /v1/stream, ContractHTTP the plane's API.
	ContractWebSocket Protocol = "contract-websocket"
	ContractSSE       Protocol = "contract-sse"
	ContractHTTP      Protocol = "contract-http"
	// Centrifuge is the library's own protocol in JSON, at either server.
	Centrifuge Protocol = "centrifuge"
	// BareSSE and BareHTTP are the bare server's.
	BareSSE  Protocol = "bare-sse"
	BareHTTP Protocol = "bare-http"
)

// follow is how to begin to follow a room.
type follow struct {
	path  string
	hello []string
	// ready is in what the server says once the room is followed.
	ready string
	// events is true for a stream of events, false for a socket.
	events bool
}

func (p Protocol) follow(room string) follow {
	switch p {
	case ContractWebSocket:
		return follow{path: "/v1/ws", hello: []string{fmt.Sprintf(`{"type":"subscribe","room":%q}`, room)}, ready: `"subscribed"`}
	case ContractSSE:
		return follow{path: "/v1/stream?room=" + room, ready: "event: ready", events: true}
	case BareSSE:
		hello := fmt.Sprintf(`{"id":1,"connect":{}}`+"\n"+`{"id":2,"subscribe":{"channel":%q}}`, room)
		return follow{path: "/connection/sse?cf_connect=" + url.QueryEscape(hello), ready: `"id":2`, events: true}
	default:
		return follow{path: "/connection/websocket", ready: `"id":2`,
			hello: []string{`{"id":1,"connect":{}}`, fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q}}`, room)}}
	}
}

// publishFrame is what a publisher sends over its socket.
func (p Protocol) publishFrame(room string, data []byte) []byte {
	if p == ContractWebSocket {
		return fmt.Appendf(nil, `{"id":3,"type":"publish","room":%q,"data":%s}`, room, data)
	}
	return fmt.Appendf(nil, `{"id":3,"publish":{"channel":%q,"data":%s}}`, room, data)
}

// publishRequest is what a publisher posts.
func (p Protocol) publishRequest(room, token string, data []byte) []byte {
	path := "/rooms/" + room
	if p == ContractHTTP {
		path, data = "/v1/rooms/"+room+"/messages", fmt.Appendf(nil, `{"data":%s}`, data)
	}
	head := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: bench\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", path, authorization(token), len(data))
	return append(head, data...)
}

func authorization(token string) string {
	if token == "" {
		return ""
	}
	return "Authorization: Bearer " + token + "\r\n"
}

// handshake opens a stream or a socket.
func (f follow) handshake(token string) string {
	if f.events {
		return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n%s\r\n", f.path, authorization(token))
	}
	return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n%s\r\n", f.path, authorization(token))
}
