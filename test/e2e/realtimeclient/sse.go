package realtimeclient

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxLine bounds a line of a stream: the largest message with its envelope.
const maxLine = 4 << 20

// stream follows the room as Server-Sent Events, and resumes as EventSource would.
func (c *Client) stream(ctx context.Context, address string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	header := http.Header{"Accept": {"text/event-stream"}}
	if c.eventID != "" {
		header.Set("Last-Event-ID", c.eventID)
	}
	target := fmt.Sprintf("http://%s/v1/stream?room=%s&since=oldest", address, url.QueryEscape(c.cfg.Room))
	req, err := newRequest(ctx, http.MethodGet, target, c.cfg.Token, header, nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return refusal(resp)
	}
	// A dead peer says nothing; without a deadline on reads, the context ends them.
	quiet := time.AfterFunc(silence, cancel)
	defer quiet.Stop()
	return readEvents(resp.Body, func(e event) error {
		quiet.Reset(silence)
		return c.event(address, e)
	})
}

// event of a stream; one without a name and data is a heartbeat.
type event struct{ id, name, data string }

var errStreamEnded = errors.New("the stream ended")

// readEvents calls handle for every event and heartbeat.
func readEvents(body io.Reader, handle func(event) error) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxLine)
	var e event
	for lines.Scan() {
		line := lines.Text()
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if err := handle(e); err != nil {
				return err
			}
			e = event{}
		case field == "id":
			e.id = value
		case field == "event":
			e.name = value
		case field == "data":
			e.data += value
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return errStreamEnded
}

func (c *Client) event(address string, e event) error {
	if e.id != "" {
		c.eventID = e.id
	}
	switch {
	case e.data == "":
		return nil
	case e.name == "ready":
		return c.ready(address, e.data)
	case e.name == "gap":
		var g gap
		if err := json.Unmarshal([]byte(e.data), &g); err != nil {
			return err
		}
		return c.missed(g)
	case e.name == "moved":
		// The room has another owner; it goes on by itself.
		return nil
	case e.name == "close":
		return fmt.Errorf("the gateway closes the stream: %s", e.data)
	case e.name != "":
		return fmt.Errorf("unknown event %s", e.name)
	}
	var m message
	if err := json.Unmarshal([]byte(e.data), &m); err != nil {
		return err
	}
	return c.received(m)
}

func (c *Client) ready(address, data string) error {
	var body struct {
		Rooms []struct {
			Position string `json:"position"`
		} `json:"rooms"`
	}
	if err := json.Unmarshal([]byte(data), &body); err != nil {
		return err
	}
	if len(body.Rooms) != 1 {
		return fmt.Errorf("ready names %d rooms, not 1", len(body.Rooms))
	}
	c.attach(address, body.Rooms[0].Position)
	return nil
}
