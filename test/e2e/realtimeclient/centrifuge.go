package realtimeclient

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/coder/websocket"

	"github.com/trellis-dev/trellis/test/e2e/history"
)

// reply is a server's line of the Centrifuge protocol, in what a client needs of it.
type reply struct {
	ID        int           `json:"id"`
	Error     *replyError   `json:"error"`
	Connect   *struct{}     `json:"connect"`
	Subscribe *subscription `json:"subscribe"`
	Push      *struct {
		Pub         *publication `json:"pub"`
		Unsubscribe *closing     `json:"unsubscribe"`
		Disconnect  *closing     `json:"disconnect"`
	} `json:"push"`
}

type replyError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

type subscription struct {
	Epoch        string        `json:"epoch"`
	Offset       uint64        `json:"offset"`
	Recovered    bool          `json:"recovered"`
	Publications []publication `json:"publications"`
}

type publication struct {
	Offset uint64 `json:"offset"`
	Data   struct {
		ID string `json:"id"`
	} `json:"data"`
}

type closing struct {
	Code   int    `json:"code"`
	Reason string `json:"reason"`
}

// centrifuge follows the room by the Centrifuge protocol (JSON), and recovers as
// its SDKs do: an empty epoch and offset 0 ask for the room from its start.
func (c *Client) centrifuge(ctx context.Context, address string) error {
	header := http.Header{"Authorization": {"Bearer " + c.cfg.Token}}
	ws, resp, err := websocket.Dial(ctx, "ws://"+address+"/connection/websocket", &websocket.DialOptions{HTTPClient: c.http, HTTPHeader: header})
	if err != nil {
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			return refusal(resp)
		}
		return err
	}
	defer func() { _ = ws.CloseNow() }()
	ws.SetReadLimit(maxLine)
	var from history.Position
	if p := c.Position(); p != "" {
		if from, err = history.ParsePosition(p); err != nil {
			return err
		}
	}
	commands := fmt.Sprintf("{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":%q,\"recover\":true,\"epoch\":%q,\"offset\":%d}}",
		c.cfg.Room, from.Epoch, from.Offset)
	if err := ws.Write(ctx, websocket.MessageText, []byte(commands)); err != nil {
		return err
	}
	epoch := ""
	return c.readFrames(ctx, ws, func(frame []byte) error {
		for line := range bytes.Lines(frame) {
			if err := c.replied(ctx, ws, address, line, &epoch); err != nil {
				return err
			}
		}
		return nil
	})
}

// replied takes one line. Publications do not name their epoch: it is the subscription's.
func (c *Client) replied(ctx context.Context, ws *websocket.Conn, address string, line []byte, epoch *string) error {
	if len(bytes.TrimSpace(line)) <= len("{}") {
		// A ping, which wants a pong.
		return ws.Write(ctx, websocket.MessageText, []byte("{}"))
	}
	var r reply
	if err := json.Unmarshal(line, &r); err != nil {
		return err
	}
	switch {
	case r.Error != nil:
		return fmt.Errorf("command %d: %d %s", r.ID, r.Error.Code, r.Error.Message)
	case r.Subscribe != nil:
		*epoch = r.Subscribe.Epoch
		return c.subscribed(address, *r.Subscribe)
	case r.Push != nil && r.Push.Pub != nil:
		return c.published(*epoch, *r.Push.Pub)
	case r.Push != nil && r.Push.Unsubscribe != nil:
		return fmt.Errorf("unsubscribed: %d %s", r.Push.Unsubscribe.Code, r.Push.Unsubscribe.Reason)
	case r.Push != nil && r.Push.Disconnect != nil:
		return fmt.Errorf("disconnected: %d %s", r.Push.Disconnect.Code, r.Push.Disconnect.Reason)
	}
	return nil
}

// subscribed takes what was recovered; what was not is a gap up to where it goes on.
func (c *Client) subscribed(address string, s subscription) error {
	at := history.Position{Epoch: s.Epoch, Offset: s.Offset}
	if !s.Recovered {
		since := c.Position()
		if since == "" {
			since = history.Position{Epoch: s.Epoch}.String()
		}
		if err := c.missed(gap{Since: since, Position: at.String(), Reason: "not recovered"}); err != nil {
			return err
		}
	}
	for _, p := range s.Publications {
		if err := c.published(s.Epoch, p); err != nil {
			return err
		}
	}
	c.attach(address, at.String())
	return nil
}

func (c *Client) published(epoch string, p publication) error {
	at := history.Position{Epoch: epoch, Offset: p.Offset}
	m := message{Offset: p.Offset, Position: at.String()}
	m.Data.ID = p.Data.ID
	return c.received(m)
}
