package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// client speaks the contract of a RealtimeGateway.
type client struct{ base, token, room string }

type message struct {
	Type     string `json:"type"`
	Offset   uint64 `json:"offset"`
	Position string `json:"position"`
	// Raw is what was published.
	Raw json.RawMessage `json:"data"`
}

// text of what this program published.
func (m message) text() string {
	var data struct {
		Text string `json:"text"`
	}
	_ = json.Unmarshal(m.Raw, &data)
	return data.Text
}

type page struct {
	Messages []message `json:"messages"`
	Next     string    `json:"next"`
}

// receiver is a way to get messages after a position, until something breaks: it says when it listens, and
// hands on each that comes.
type receiver struct {
	name    string
	receive func(ctx context.Context, c client, since string, ready func(), got func(message)) error
}

var receivers = []receiver{
	{"Polling", poll}, {"LongPolling", longPoll}, {"SSE", stream}, {"WebSocket", socket},
}

// do sends a request; one with a key may be sent again, and is carried out once.
func (c client) do(ctx context.Context, method, path, key string, body any) (*http.Response, error) {
	var in io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, in)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		defer func() { _ = resp.Body.Close() }()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text)
	}
	return resp, nil
}

func (c client) call(ctx context.Context, method, path, key string, body, out any) error {
	resp, err := c.do(ctx, method, path, key, body)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	return json.NewDecoder(resp.Body).Decode(out)
}

func (c client) publish(ctx context.Context, text, key string) (uint64, error) {
	var out message
	body := map[string]any{"data": map[string]string{"text": text}}
	err := c.call(ctx, http.MethodPost, "/v1/rooms/"+c.room+"/messages", key, body, &out)
	return out.Offset, err
}

// position is where the room is now.
func (c client) position(ctx context.Context) (string, error) {
	next := ""
	for {
		p, err := c.page(ctx, next, "")
		if err != nil || len(p.Messages) == 0 {
			return p.Next, err
		}
		next = p.Next
	}
}

func (c client) page(ctx context.Context, since, wait string) (page, error) {
	q := url.Values{}
	if since != "" {
		q.Set("since", since)
	}
	if wait != "" {
		q.Set("wait", wait)
	}
	var p page
	return p, c.call(ctx, http.MethodGet, "/v1/rooms/"+c.room+"/messages?"+q.Encode(), "", nil, &p)
}

func poll(ctx context.Context, c client, since string, ready func(), got func(message)) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	ready()
	for {
		p, err := c.page(ctx, since, "")
		if err != nil {
			return err
		}
		since = p.Next
		for _, m := range p.Messages {
			got(m)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func longPoll(ctx context.Context, c client, since string, ready func(), got func(message)) error {
	ready()
	for {
		p, err := c.page(ctx, since, "20s")
		if err != nil {
			return err
		}
		since = p.Next
		for _, m := range p.Messages {
			got(m)
		}
	}
}

func stream(ctx context.Context, c client, since string, ready func(), got func(message)) error {
	resp, err := c.do(ctx, http.MethodGet, "/v1/stream?"+url.Values{"room": {c.room}, "since": {since}}.Encode(), "", nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	event := ""
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case name == "":
			event = ""
		case name == "event":
			event = value
		case name == "data" && event == "ready":
			ready()
		case name == "data" && (event == "" || event == "message"):
			var m message
			if err := json.Unmarshal([]byte(value), &m); err != nil {
				return err
			}
			got(m)
		}
	}
	return ctx.Err()
}

func socket(ctx context.Context, c client, since string, ready func(), got func(message)) error {
	conn, _, err := websocket.Dial(ctx, strings.Replace(c.base, "http", "ws", 1)+"/v1/ws", &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer " + c.token}},
	})
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	if err := wsjson.Write(ctx, conn, map[string]any{"id": 1, "type": "subscribe", "room": c.room, "since": since}); err != nil {
		return err
	}
	for {
		var m message
		if err := wsjson.Read(ctx, conn, &m); err != nil {
			return err
		}
		switch m.Type {
		case "subscribed":
			ready()
		case "message":
			got(m)
		}
	}
}
