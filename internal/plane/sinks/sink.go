package sinks

import (
	"context"
	"sync"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// sink is one receiver.
type sink struct {
	*Delivery
	cfg planeconfig.Sink
	*shape
	*sender

	// backoff grows while nothing is taken.
	backoff time.Duration
	mu      sync.Mutex
	// hold is until when the receiver asked to be left alone.
	hold time.Time
}

// open makes what sends to the receiver.
func (s *sink) open() (err error) {
	if s.shape, err = newShape(s.cfg, s.Delivery.source); err != nil {
		return err
	}
	s.sender, err = newSender(s.cfg, s.Delivery.source)
	return err
}

func (s *sink) run(ctx context.Context) {
	defer s.close()
	timer := s.clock.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		// Before the look, so that no event falls between that and the wait.
		woken := s.nextWake()
		more, wait := s.round(ctx)
		if more {
			continue
		}
		if held := s.held(); held > 0 {
			// Woken or not, there is nothing to be done before.
			s.pause(ctx, held)
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-woken:
		case <-timer.C():
		}
	}
}

// round takes events and sends them. It reports whether there may be more at once, and else how long to wait.
func (s *sink) round(ctx context.Context) (more bool, wait time.Duration) {
	if s.held() > 0 {
		return false, look
	}
	if err := s.refresh(); err != nil {
		s.expire(ctx)
		s.metrics.failures.WithLabelValues(s.cfg.Name).Inc()
		return false, look
	}
	call, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	events, err := s.outbox.Events(call, s.now(), s.cfg.Name, batch, lease)
	if err != nil {
		return false, time.Second
	}
	if len(events) == 0 {
		return false, look
	}
	done := s.sendAll(ctx, events)
	if len(done) > 0 {
		s.backoff = 0
		return s.forget(ctx, done), time.Second
	}
	s.backoff = min(backoffMost, max(backoffLeast, 2*s.backoff))
	s.pause(ctx, s.backoff)
	return s.held() == 0, 0
}

// held is for how long the receiver is to be left alone.
func (s *sink) held() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(0, s.hold.Sub(s.now()))
}

// leaveAlone the receiver, as it asked.
func (s *sink) leaveAlone(wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if until := s.now().Add(wait); until.After(s.hold) {
		s.hold = until
	}
}

// forget tells the outbox what is done. What it does not hear of is sent again.
func (s *sink) forget(ctx context.Context, ids []string) bool {
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), bound)
	defer cancel()
	if err := s.outbox.Sent(call, s.cfg.Name, ids); err != nil {
		s.log.Warn("the outbox could not be told which events were sent; they are sent again", "sink", s.cfg.Name, "error", err)
		return false
	}
	return true
}

// sendAll sends the events of several keys at once, those of one key in their order, and returns the ids of those that are done.
func (s *sink) sendAll(ctx context.Context, events []Event) (done []string) {
	byKey, order := map[string][]Event{}, []string{}
	for _, e := range events {
		if byKey[e.Key] == nil {
			order = append(order, e.Key)
		}
		byKey[e.Key] = append(byKey[e.Key], e)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var mu sync.Mutex
	var work sync.WaitGroup
	others := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(done) > 0
	}
	slots := make(chan struct{}, senders)
	for _, key := range order {
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			for _, e := range byKey[key] {
				if !s.deliver(ctx, e, others) {
					s.metrics.waits(s.cfg.Name, e, s.held())
					return
				}
				s.metrics.ended(s.cfg.Name, e)
				mu.Lock()
				done = append(done, e.ID)
				mu.Unlock()
			}
		})
	}
	work.Wait()
	return done
}

// deliver sends an event until it is taken, is not wanted or is given up, or the time is over. One that fails while others
// are taken holds up nobody for that long.
func (s *sink) deliver(ctx context.Context, e Event, others func() bool) bool {
	m, name := s.metrics, s.cfg.Name
	l, fault := s.letter(e)
	switch {
	case fault != nil:
		s.giveUp(e, *fault)
		return true
	case l == nil:
		m.filtered.WithLabelValues(name).Inc()
		return true
	}
	wait := backoffLeast
	for try := 1; ctx.Err() == nil && s.held() == 0; try++ {
		outcome := s.send(ctx, l)
		if outcome.taken {
			m.sent.WithLabelValues(name).Inc()
			return true
		}
		if ctx.Err() != nil && outcome.err != nil {
			return false
		}
		m.failures.WithLabelValues(name).Inc()
		if outcome.refused {
			s.giveUp(e, cause{reason: reasonRefused, status: outcome.status})
			return true
		}
		if s.now().Sub(e.Time) > keep {
			s.giveUp(e, cause{reason: reasonExpired, status: outcome.status, err: outcome.err})
			return true
		}
		if outcome.after > patience {
			s.leaveAlone(outcome.after)
			return false
		}
		if try >= tries && others() {
			return false
		}
		s.pause(ctx, max(wait, outcome.after))
		wait = min(2*wait, backoffMost)
	}
	return false
}

// giveUp makes an event a dead letter.
func (s *sink) giveUp(e Event, why cause) {
	s.metrics.dead(s.cfg.Name, why.reason)
	s.log.Error("an event was given up", "sink", s.cfg.Name, "reason", why.reason, "event", e.ID, "type", e.Type, "key", e.Key,
		"status", why.status, "error", why.err)
}
