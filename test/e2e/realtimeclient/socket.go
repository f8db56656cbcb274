package realtimeclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

const (
	// pingEvery is how often a socket asks whether the gateway is there.
	pingEvery = 5 * time.Second
	// pongWithin is how long it may take to answer.
	pongWithin = 10 * time.Second
)

var errReconnect = errors.New("the gateway asks to reconnect")

// socket follows the room over a WebSocket.
func (c *Client) socket(ctx context.Context, address string) error {
	header := http.Header{"Authorization": {"Bearer " + c.cfg.Token}}
	ws, resp, err := websocket.Dial(ctx, "ws://"+address+"/v1/ws", &websocket.DialOptions{HTTPClient: c.http, HTTPHeader: header})
	if err != nil {
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			return refusal(resp)
		}
		return err
	}
	defer func() { _ = ws.CloseNow() }()
	ws.SetReadLimit(maxLine)
	ask, err := json.Marshal(map[string]any{"id": 1, "type": "subscribe", "room": c.cfg.Room, "since": c.since()})
	if err != nil {
		return err
	}
	if err := ws.Write(ctx, websocket.MessageText, ask); err != nil {
		return err
	}
	return c.readFrames(ctx, ws, func(data []byte) error { return c.frame(address, data) })
}

// readFrames reads until the socket fails, and pings beside.
func (c *Client) readFrames(ctx context.Context, ws *websocket.Conn, handle func([]byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	pinging := make(chan struct{})
	go func() {
		defer close(pinging)
		ping(ctx, ws)
	}()
	defer func() { <-pinging }()
	defer cancel()
	for {
		_, data, err := ws.Read(ctx)
		if err != nil {
			return err
		}
		if err := handle(data); err != nil {
			return err
		}
	}
}

// ping closes the socket when the gateway does not answer.
func ping(ctx context.Context, ws *websocket.Conn) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		wait, cancel := context.WithTimeout(ctx, pongWithin)
		err := ws.Ping(wait)
		cancel()
		if err != nil {
			_ = ws.CloseNow()
			return
		}
	}
}

func (c *Client) frame(address string, data []byte) error {
	var head struct {
		Type     string          `json:"type"`
		Position string          `json:"position"`
		Problem  json.RawMessage `json:"problem"`
		AfterMs  int64           `json:"afterMs"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return err
	}
	switch head.Type {
	case "message":
		var m message
		if err := json.Unmarshal(data, &m); err != nil {
			return err
		}
		return c.received(m)
	case "gap":
		var g gap
		if err := json.Unmarshal(data, &g); err != nil {
			return err
		}
		return c.missed(g)
	case "subscribed":
		c.attach(address, head.Position)
		return nil
	case "moved":
		// The room has another owner; it goes on by itself.
		return nil
	case "reconnect":
		c.hinted(time.Duration(head.AfterMs) * time.Millisecond)
		return errReconnect
	}
	return fmt.Errorf("frame %s: %s", head.Type, head.Problem)
}
