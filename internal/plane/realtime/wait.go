package realtime

import (
	"context"
	"time"

	"github.com/centrifugal/centrifuge"

	"github.com/trellis-dev/trellis/internal/plane"
)

// waiter is the sink of a waiting poll: it takes what comes first.
type waiter struct {
	limit int
	// arrived is closed when there is something to answer with.
	arrived chan struct{}
	done    bool
	got     reading
	problem *plane.Problem
}

func (w *waiter) bind(*session)                {}
func (w *waiter) subscribed(*following) error  { return nil }
func (w *waiter) moved(*following, move) error { return nil }
func (w *waiter) heartbeat() error             { return nil }
func (w *waiter) close(centrifuge.Disconnect)  { _ = w.end() }

func (w *waiter) end() error {
	if !w.done {
		w.done = true
		close(w.arrived)
	}
	return nil
}

func (w *waiter) message(f *following, m *frame) error {
	switch {
	case w.done:
	case len(w.got.list.frames) == w.limit:
		w.got.more = true
	default:
		w.got.list.frames = append(w.got.list.frames, m)
		w.got.next = f.pos
	}
	return nil
}

func (w *waiter) gap(f *following, g *Gap) error {
	if !w.done {
		w.got.gap, w.got.from, w.got.next = g, f.pos, f.pos
	}
	return nil
}

func (w *waiter) failed(_ *following, p *plane.Problem) error {
	w.problem = p
	return w.end()
}

// flush answers with all that one write brought.
func (w *waiter) flush() error {
	if len(w.got.list.frames) > 0 || w.got.gap != nil {
		return w.end()
	}
	return nil
}

// wait follows room from at until something comes, the time is over, or the
// plane drains. It is a session like any other, so that no message slips
// through between the last answer and this one.
func (g *Gateway) wait(ctx context.Context, room string, at Position, limit int, most time.Duration) (reading, error) {
	node, conn, problem := g.admit(ctx, labelLongPolling)
	if problem != nil {
		return reading{}, problem
	}
	defer conn.close()

	w := &waiter{limit: limit, arrived: make(chan struct{}), got: reading{page: page{from: at, next: at}}}
	s, err := g.newSession(ctx, node, conn, w)
	if err != nil {
		return reading{}, err
	}
	f := &following{room: room, announced: true}
	s.add(f)
	s.do(func() { s.follow(f, since(at)) })
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-w.arrived:
	case <-timer.C:
	case <-ctx.Done():
	}
	s.end()
	plane.AnswerLater(ctx)
	if w.problem != nil {
		return reading{}, w.problem
	}
	return w.got, nil
}
