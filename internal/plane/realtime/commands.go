package realtime

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"unicode/utf8"

	"github.com/centrifugal/centrifuge"

	"github.com/trellis-dev/trellis/internal/plane"
)

// command is a frame that a client sends.
type command struct {
	ID             uint64          `json:"id"`
	Type           string          `json:"type"`
	Room           string          `json:"room"`
	Since          string          `json:"since"`
	Data           json.RawMessage `json:"data"`
	IdempotencyKey string          `json:"idempotencyKey"`
}

// parseCommand reads a frame. A frame that is not one JSON object ends the
// connection; one that asks for something not possible is answered.
func parseCommand(data []byte) (command, *plane.Problem) {
	var c command
	return c, plane.DecodeStrict(data, &c)
}

// socketClient runs what a client sends over its socket.
type socketClient struct {
	session *session
	id      plane.Identity
	key     string
}

func (c *socketClient) handle(data []byte) {
	cmd, problem := parseCommand(data)
	if problem != nil && (!utf8.Valid(data) || !json.Valid(data)) {
		c.session.disconnect(badRequest("frames must be JSON in UTF-8"))
		return
	}
	if problem == nil {
		problem = c.run(cmd)
	}
	if problem != nil {
		c.reply(errorFrame(cmd.ID, cmd.Room, problem))
	}
}

func (c *socketClient) run(cmd command) *plane.Problem {
	switch cmd.Type {
	case "subscribe":
		return c.subscribe(cmd)
	case "unsubscribe":
		return c.unsubscribe(cmd)
	case "publish":
		return c.publish(cmd)
	case "ping":
		answer := appendAnswer(nil, "pong", cmd.ID)
		answer[len(answer)-1] = '}'
		c.reply(answer)
		return nil
	}
	return problemInvalid("type must be subscribe, unsubscribe, publish or ping", plane.ProblemError{Location: "type", Message: "unknown"})
}

func (c *socketClient) subscribe(cmd command) *plane.Problem {
	s := c.session
	if problem := s.gw.mayUse(c.id, plane.RightSubscribe, cmd.Room); problem != nil {
		return problem
	}
	from, problem := parseSince(cmd.Since, sinceLatest)
	if problem != nil {
		return problem
	}
	if limit := s.gw.limits().RoomsPerConnection; s.count() >= limit {
		return problemRooms(limit)
	}
	f := &following{room: cmd.Room, request: cmd.ID}
	if !s.add(f) {
		return plane.NewProblem(409, "already-subscribed", "The room is subscribed already", "unsubscribe first to begin at another position")
	}
	c.do(func() { s.follow(f, from) })
	return nil
}

func (c *socketClient) unsubscribe(cmd command) *plane.Problem {
	if problem := checkRoom(cmd.Room); problem != nil {
		return problem
	}
	s := c.session
	if s.remove(cmd.Room) == nil {
		return plane.NewProblem(409, "not-subscribed", "The room is not subscribed", "subscribe first")
	}
	c.do(func() {
		s.unfollow(cmd.Room)
		c.reply(append(appendRoom(appendAnswer(nil, "unsubscribed", cmd.ID), cmd.Room), '}'))
	})
	return nil
}

func (c *socketClient) publish(cmd command) *plane.Problem {
	g := c.session.gw
	if problem := g.mayUse(c.id, plane.RightPublish, cmd.Room); problem != nil {
		return problem
	}
	m := NewMessage{Data: cmd.Data, IdempotencyKey: cmd.IdempotencyKey}
	if problem := g.checkMessage("frame", &m); problem != nil {
		return problem
	}
	if problem := g.mayPublish(c.key, 1); problem != nil {
		return problem
	}
	res, err := g.publish(context.Background(), c.id, cmd.Room, m)
	if err != nil {
		return g.problem(err)
	}
	c.reply(publishedFrame(cmd.ID, res))
	return nil
}

// do queues work for the driver. A client that asks faster than its requests
// can be done is cut.
func (c *socketClient) do(op func()) {
	if !c.session.do(op) {
		c.session.disconnect(centrifuge.DisconnectTooManyRequests)
	}
}

func (c *socketClient) reply(text []byte) {
	if err := c.session.write(func(out sink) error { return out.(*socketWriter).send(text) }); err != nil {
		c.session.disconnect(centrifuge.DisconnectWriteError)
	}
}

func appendRoom(dst []byte, room string) []byte {
	dst = append(dst, `"room":"`...)
	dst = append(dst, room...)
	return append(dst, '"')
}

func publishedFrame(request uint64, p Published) []byte {
	text := appendRoom(appendAnswer(nil, "published", request), p.Room)
	text = append(text, `,"offset":`...)
	text = strconv.AppendUint(text, p.Offset, 10)
	text = append(text, `,"position":"`...)
	text = append(text, p.Position...)
	text = append(text, '"')
	if p.Replayed {
		text = append(text, `,"replayed":true`...)
	}
	return append(text, '}')
}

// errorFrame answers a request with a problem. room is echoed only where it is
// the name of one, as it comes from the client.
func errorFrame(request uint64, room string, p *plane.Problem) []byte {
	text := appendAnswer(nil, "error", request)
	if validRoom(room) {
		text = append(appendRoom(text, room), ',')
	}
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte("{}")
	}
	text = append(text, `"problem":`...)
	return append(append(text, body...), '}')
}

// reconnectFrame asks the client to come back, spread over time.
func reconnectFrame() []byte {
	after := drainRetryLeast + rand.N(drainRetryMost-drainRetryLeast) //nolint:gosec // spreads reconnects; nothing secret
	text := strconv.AppendInt([]byte(`{"type":"reconnect","afterMs":`), after.Milliseconds(), 10)
	return append(text, '}')
}
