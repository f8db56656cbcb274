package realtime

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/centrifugal/protocol"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/realtime/stateful"
)

var (
	errSessionClosed = errors.New("the session is closed")
	// errUnrecoverable means that what the history held a moment ago is no longer
	// all there: it is to be read again, and what is lost to be told.
	errUnrecoverable = errors.New("the position cannot be resumed any more")
)

// Waits between attempts while the engine does not answer.
const (
	retryFirst = 100 * time.Millisecond
	retryMost  = 3 * time.Second
)

// Ids of the commands that a session gives the library; replies carry them.
const (
	connectCommand     = 1
	subscribeCommand   = 2
	unsubscribeCommand = 3
)

// rejectUnrecovered has the library refuse to subscribe where it cannot resume,
// so that what is lost can be told before anything newer is delivered.
const rejectUnrecovered = 1 << 1

// follow subscribes f from s, in the driver, and returns once it is live. An
// engine that does not answer is waited for, if f is patient.
func (s *session) follow(f *following, from Since) {
	wait := retryFirst
	for s.wants(f) {
		err := s.attempt(f, &from)
		switch {
		case err == nil:
			return
		case errors.Is(err, errSessionClosed):
			return
		case errors.Is(err, errInterrupted), errors.Is(err, errEngine) && (f.patient || f.announced):
			if !s.pause(wait) {
				return
			}
			wait = min(2*wait, retryMost)
		default:
			s.refuse(f, err)
			return
		}
	}
	if !f.announced {
		// Every request is answered, also one that was taken back before its turn.
		_ = s.write(func(out sink) error { return out.failed(f, problemTakenBack()) })
	}
}

// pause waits about d, or less where the session ends.
func (s *session) pause(d time.Duration) bool {
	timer := time.NewTimer(d/2 + rand.N(d/2)) //nolint:gosec // spreads retries; nothing secret
	defer timer.Stop()
	select {
	case <-s.ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (s *session) refuse(f *following, err error) {
	s.remove(f.room)
	_ = s.write(func(out sink) error { return out.failed(f, s.gw.problem(err)) })
}

// attempt brings f from from to the present. from moves along as messages are
// written, so that another attempt repeats none.
func (s *session) attempt(f *following, from *Since) error {
	for {
		if from.kind != sinceLatest {
			if err := s.catchUp(f, from); err != nil {
				return err
			}
		}
		if err := s.subscribe(f, *from); !errors.Is(err, errUnrecoverable) {
			return err
		}
	}
}

// catchUp writes what the history holds after from, page by page, straight to
// the client: as fast as it reads, and past the queue that bounds a slow one.
func (s *session) catchUp(f *following, from *Since) error {
	resuming := from.kind == sincePosition
	for {
		p, err := readHistory(s.gw.Node(), f.room, *from, s.gw.pageSize)
		if err != nil {
			return err
		}
		if resuming {
			s.gw.metrics.recovered(p.gap)
			resuming = false
		}
		if err := s.writePage(f, p); err != nil {
			return err
		}
		*from = since(p.next)
		if !p.more {
			return nil
		}
	}
}

func (s *session) writePage(f *following, p page) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.find(f.room) != f {
		return errSessionClosed
	}
	f.pos = p.from
	if err := s.announce(f); err != nil {
		return s.broken(err)
	}
	if p.gap != nil {
		s.gw.metrics.gaps.WithLabelValues(p.gap.Reason).Inc()
		if err := s.sink.gap(f, p.gap); err != nil {
			return s.broken(err)
		}
	}
	for _, pub := range p.messages {
		if err := s.message(f, frameOfHistory(f.room, f.pos.Epoch, pub)); err != nil {
			return s.broken(err)
		}
	}
	if err := s.sink.flush(); err != nil {
		return s.broken(err)
	}
	return nil
}

// broken ends a session that can no longer be written to.
func (s *session) broken(err error) error {
	s.disconnect(centrifuge.DisconnectWriteError)
	return fmt.Errorf("%w: %w", errSessionClosed, err)
}

// subscribe has the library deliver f from from on, and awaits its reply. What
// was recovered has been written when it returns.
func (s *session) subscribe(f *following, from Since) error {
	req := &protocol.SubscribeRequest{Channel: f.room}
	if from.kind == sincePosition {
		req.Recover, req.Epoch, req.Offset, req.Flag = true, from.at.Epoch, from.at.Offset, rejectUnrecovered
	}
	if err := s.relink(); err != nil {
		return err
	}
	if !s.expect(f, from) {
		return errInterrupted
	}
	defer s.expectNothing()
	s.link.Load().client.HandleCommand(&protocol.Command{Id: subscribeCommand, Subscribe: req}, 0)
	select {
	case <-s.ctx.Done():
		return errSessionClosed
	case reply := <-s.replies:
		return subscribeError(reply)
	}
}

// expect says that the next reply is of f, and reports false where the session has no link that could bring one.
func (s *session) expect(f *following, from Since) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.adrift {
		return false
	}
	select {
	case <-s.replies:
	default:
	}
	s.subscribing = f
	if from.kind == sincePosition {
		f.pos = from.at
	}
	return true
}

func (s *session) expectNothing() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscribing = nil
}

func subscribeError(reply *protocol.Reply) error {
	switch {
	case reply == nil:
		return errInterrupted
	case reply.Error == nil:
		return nil
	case reply.Error.Code == centrifuge.ErrorUnrecoverablePosition.Code:
		return errUnrecoverable
	case reply.Error.Code == errEngine.Code:
		return errEngine
	}
	return &centrifuge.Error{Code: reply.Error.Code, Message: reply.Error.Message}
}

// lost has the driver resume a room that the library gave up, because it may
// have missed messages of it. It needs s.mu, and so queues without do.
func (s *session) lost(room string) {
	f := s.find(room)
	if f == nil || !f.live {
		return
	}
	f.live = false
	s.queueUp(func() { s.follow(f, s.position(f)) })
}

func (s *session) position(f *following) Since {
	s.mu.Lock()
	defer s.mu.Unlock()
	return since(f.pos)
}

// unfollow ends the library's subscription of a room that was removed.
func (s *session) unfollow(room string) {
	s.link.Load().client.HandleCommand(&protocol.Command{Id: unsubscribeCommand, Unsubscribe: &protocol.UnsubscribeRequest{Channel: room}}, 0)
}

// problem is what a client is told of err.
func (g *Gateway) problem(err error) *plane.Problem {
	var p *plane.Problem
	var refused *centrifuge.Error
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, stateful.ErrNoOwner), errors.Is(err, stateful.ErrUnknown):
		return problemOwner(err)
	case errors.Is(err, errEngine):
		return problemEngine(err)
	case errors.As(err, &refused) && refused.Code == centrifuge.ErrorLimitExceeded.Code:
		return problemRooms(g.limits().RoomsPerConnection)
	}
	return plane.NewProblem(500, "internal", "Something went wrong here", "The request could not be finished. Try again; if it stays so, look at the plane's log.").Because(err)
}
