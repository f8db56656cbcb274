package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Protocols that a room can be followed over.
const (
	polling     = "Polling"
	longPolling = "LongPolling"
	sse         = "SSE"
	socketProto = "WebSocket"
	centrifuge  = "Centrifuge"
)

var protocols = []string{polling, longPolling, sse, socketProto, centrifuge}

// Seen is one thing a follower was told, in order.
type Seen struct {
	// Gap is the reason of a gap; empty for a message.
	Gap string
	// Position is after the message, or where it goes on after the gap.
	Position string
	Offset   uint64
	Data     string
}

// follower follows one room as a careful client does: it remembers the last
// position, and after whatever happens to its connection it resumes from there.
type follower struct {
	t        *testing.T
	protocol string
	room     string
	limit    int

	mu     sync.Mutex
	client *client
	seen   []Seen
	since  string
	cutNow context.CancelFunc
	conns  int
	ready  chan struct{}
	once   sync.Once

	stop context.CancelFunc
	done sync.WaitGroup
}

// follow starts a follower at since; empty is what is new from now on. It
// returns once the follower has a position to resume from.
func (c *client) follow(protocol, room, since string) *follower {
	c.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	f := &follower{t: c.t, protocol: protocol, room: room, limit: 7, client: c.with(c.token), since: since, ready: make(chan struct{}), stop: stop}
	f.done.Go(func() { f.run(ctx) })
	c.t.Cleanup(f.end)
	select {
	case <-f.ready:
	case <-time.After(patience):
		c.t.Fatalf("%s: no position after %v", protocol, patience)
	}
	return f
}

func (f *follower) end() {
	f.stop()
	f.done.Wait()
}

// cut breaks the follower's connection.
func (f *follower) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cutNow != nil {
		f.cutNow()
	}
}

// cutAndAwait is cut, and waits until the follower has connected again.
func (f *follower) cutAndAwait() {
	f.t.Helper()
	before := f.connections()
	f.cut()
	eventually(f.t, f.protocol+" to connect again", func() bool { return f.connections() > before })
}

// turnTo has the follower use another replica from its next connection on.
func (f *follower) turnTo(base string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.client = newClient(f.t, base, f.client.token)
}

func (f *follower) history() []Seen {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.seen)
}

// connections is how many times the follower has connected, from the first time that it got a position on.
func (f *follower) connections() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.conns
}

func (f *follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		conn, cut := context.WithCancel(ctx)
		f.mu.Lock()
		f.cutNow, f.conns = cut, f.conns+1
		c := f.client
		f.mu.Unlock()
		err := f.once1(conn, c)
		cut()
		if err == nil || ctx.Err() != nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(pace):
		}
	}
}

func (f *follower) once1(ctx context.Context, c *client) error {
	switch f.protocol {
	case polling:
		return f.poll(ctx, c, "")
	case longPolling:
		return f.poll(ctx, c, "10s")
	case sse:
		return f.events(ctx, c)
	case socketProto:
		return f.socket(ctx, c)
	}
	return f.sdk(ctx, c)
}

func (f *follower) at() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.since
}

// start records the position that a connection begins at. What was tried before the first one counts for nothing.
func (f *follower) start(position string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.since == "" || f.since == "oldest" {
		f.since = position
	}
	f.once.Do(func() { f.conns = 1; close(f.ready) })
}

func (f *follower) message(m Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = append(f.seen, Seen{Position: m.Position, Offset: m.Offset, Data: string(m.Data)})
	f.since = m.Position
}

func (f *follower) gap(reason, position string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = append(f.seen, Seen{Gap: reason, Position: position})
	f.since = position
}

func (f *follower) poll(ctx context.Context, c *client, wait string) error {
	since := f.at()
	if since == "" {
		since = "latest"
	}
	query := []string{"since", since, "limit", fmt.Sprint(f.limit)}
	if wait != "" && since != "latest" {
		query = append(query, "wait", wait)
	}
	r, err := c.do(ctx, http.MethodGet, messagesPath(f.room, query...), nil)
	if err != nil {
		return err
	}
	if r.status != http.StatusOK {
		return fmt.Errorf("status %d: %s", r.status, r.body)
	}
	var p Page
	if err := json.Unmarshal(r.body, &p); err != nil {
		return err
	}
	if p.Gap {
		from := p.Next
		if len(p.Messages) > 0 {
			epoch, _, _ := strings.Cut(p.Next, ":")
			from = fmt.Sprintf("%s:%d", epoch, p.Messages[0].Offset-1)
		}
		f.gap(p.Reason, from)
	}
	for _, m := range p.Messages {
		f.message(m)
	}
	if len(p.Messages) == 0 && !p.Gap {
		f.start(p.Next)
		if wait == "" {
			return errors.New("nothing new; ask again in a moment")
		}
	}
	f.start(p.Next)
	return nil
}

func (f *follower) events(ctx context.Context, c *client) error {
	since, last := f.at(), ""
	if strings.Contains(since, ":") {
		since, last = "", f.room+"="+since
	}
	s, r, err := c.openEvents(ctx, []string{f.room}, since, last)
	if err != nil {
		return err
	}
	if s == nil {
		return fmt.Errorf("status %d: %s", r.status, r.body)
	}
	defer s.close()
	for {
		e, err := s.nextNamed()
		if err != nil {
			return err
		}
		position := strings.TrimPrefix(e.ID, f.room+"=")
		switch e.Name {
		case "ready":
			f.start(position)
		case "gap":
			var g struct{ Reason string }
			if err := json.Unmarshal([]byte(e.Data), &g); err != nil {
				return err
			}
			f.gap(g.Reason, position)
		case "":
			var m Message
			if err := json.Unmarshal([]byte(e.Data), &m); err != nil {
				return err
			}
			if m.Position != position {
				f.t.Errorf("event id %q is not at the message's position %q", e.ID, m.Position)
			}
			f.message(m)
		}
	}
}

func (f *follower) socket(ctx context.Context, c *client) error {
	s, err := c.openSocket(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.send(ctx, map[string]any{"id": 1, "type": "subscribe", "room": f.room, "since": f.at()}); err != nil {
		return err
	}
	for {
		m, err := s.next(ctx)
		if err != nil {
			return err
		}
		switch m.Type {
		case "subscribed":
			f.start(m.Position)
		case "gap":
			f.gap(m.Reason, m.Position)
		case "message":
			f.message(m.Message)
		case "error":
			return errors.New(m.raw)
		}
	}
}

func (f *follower) sdk(ctx context.Context, c *client) error {
	s, r, err := c.openSDK(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	if r.Error != nil {
		return errors.New(r.Error.Message)
	}
	since := f.at()
	if since == "oldest" {
		return errors.New("the Centrifuge protocol has no oldest")
	}
	if err := s.subscribe(ctx, f.room, since); err != nil {
		return err
	}
	var epoch string
	for {
		r, err := s.next(ctx)
		if err != nil {
			return err
		}
		switch {
		case r.Error != nil:
			return errors.New(r.Error.Message)
		case r.Subscribe != nil:
			epoch = r.Subscribe.Epoch
			at := fmt.Sprintf("%s:%d", epoch, r.Subscribe.Offset)
			if since != "" && !r.Subscribe.Recovered {
				f.gap("not recovered", at)
			}
			f.start(at)
			for _, p := range r.Subscribe.Publications {
				f.publication(epoch, p)
			}
		case r.Push != nil && r.Push.Pub != nil:
			f.publication(epoch, *r.Push.Pub)
		case r.Push != nil && r.Push.Unsubscribe != nil:
			return errors.New("unsubscribed; subscribe again")
		}
	}
}

func (f *follower) publication(epoch string, p sdkPub) {
	f.message(Message{Room: f.room, Offset: p.Offset, Position: fmt.Sprintf("%s:%d", epoch, p.Offset), Data: p.Data})
}
