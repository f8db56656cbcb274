package sinks

import (
	"context"
	"time"
)

const (
	// mostWaiting is how many events wait for one sink at the most: those that came first are given up for others.
	mostWaiting = 100_000
	// dropped are given up at a time. Where several replicas find too many at once, each gives up as many.
	dropped = 500
	// expiring is how long what is looked at for its age is this replica's: hardly, as most of it may be sent later.
	expiring = time.Second
)

// Counting is an Outbox that knows how many events wait. Without it, they are bounded by their age alone.
type Counting interface {
	// Waiting is how many events a sink has not got yet; it need not count further than atMost.
	Waiting(ctx context.Context, sink string, atMost int) (int, error)
}

// guard keeps the events that wait for a sink within bounds until ctx ends, whether it can be sent to or not. It is no part
// of accepting them, which so waits for nothing.
func (s *sink) guard(ctx context.Context) {
	counting, ok := s.outbox.(Counting)
	for ok && ctx.Err() == nil {
		if wait := s.trim(ctx, counting); wait > 0 {
			s.pause(ctx, wait)
		}
	}
}

// trim gives up some of those that are too many, and returns how long to wait before it is done again: not at all where there
// may be more, and only until they are free again where others look at those.
func (s *sink) trim(ctx context.Context, counting Counting) time.Duration {
	call, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	n, err := counting.Waiting(call, s.cfg.Name, s.most+dropped)
	if err != nil || n <= s.most {
		return look
	}
	events, err := s.outbox.Events(call, s.now(), s.cfg.Name, min(n-s.most, dropped), lease)
	switch {
	case err != nil:
		return look
	case len(events) == 0:
		return expiring
	}
	s.log.Error("events were given up, as too many wait", "sink", s.cfg.Name, "reason", reasonFull, "events", len(events),
		"most", s.most, "oldest", events[0].Time)
	if !s.drop(ctx, events, reasonFull) {
		return look
	}
	return 0
}

// expire gives up what has waited for too long for a sink that can not be sent to at all.
func (s *sink) expire(ctx context.Context) {
	for ctx.Err() == nil {
		call, cancel := context.WithTimeout(ctx, bound)
		events, err := s.outbox.Events(call, s.now(), s.cfg.Name, batch, expiring)
		cancel()
		var old []Event
		for _, e := range events {
			if s.now().Sub(e.Time) > keep {
				old = append(old, e)
			}
		}
		if err != nil || len(old) == 0 {
			return
		}
		s.log.Error("events were given up, as the sink could not be used for too long", "sink", s.cfg.Name, "reason", reasonExpired,
			"events", len(old), "oldest", old[0].Time)
		if !s.drop(ctx, old, reasonExpired) {
			return
		}
	}
}

// drop makes dead letters of events that were taken. It reports whether the outbox has forgotten them.
func (s *sink) drop(ctx context.Context, events []Event, reason string) bool {
	ids := make([]string, len(events))
	for i, e := range events {
		ids[i] = e.ID
	}
	if !s.forget(ctx, ids) {
		return false
	}
	for _, e := range events {
		s.metrics.dead(s.cfg.Name, reason)
		s.metrics.ended(s.cfg.Name, e)
	}
	return true
}
