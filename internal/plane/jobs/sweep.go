package jobs

import (
	"context"
	"sync"
	"time"
)

const (
	// sweepAtLeast is how often a replica sweeps at the least: for leases of a replica that is gone.
	sweepAtLeast = 5 * time.Second
	// sweepPause is the least time between two sweeps, and sweepRetry that after a fault.
	sweepPause = 20 * time.Millisecond
	sweepRetry = time.Second
)

// sweeper says when to sweep next.
type sweeper struct {
	mu    sync.Mutex
	next  time.Time
	nudge chan struct{}
}

// by has a sweep made at the time t, at the latest.
func (s *sweeper) by(t time.Time) {
	if t.IsZero() {
		return
	}
	s.mu.Lock()
	earlier := s.next.IsZero() || t.Before(s.next)
	if earlier {
		s.next = t
	}
	s.mu.Unlock()
	if earlier {
		poke(s.nudge)
	}
}

// take is the time until the next sweep, which is forgotten once it is over.
func (s *sweeper) wait(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next.IsZero() {
		return sweepAtLeast
	}
	return min(sweepAtLeast, max(sweepPause, s.next.Sub(now)))
}

func (s *sweeper) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = time.Time{}
}

// sweep ends what is over, in time, until ctx ends.
func (q *Queue) sweep(ctx context.Context) {
	timer := q.clock.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.sweeper.nudge:
			timer.Reset(q.sweeper.wait(q.now()))
			continue
		case <-timer.C():
		}
		timer.Reset(q.sweepOnce(ctx))
	}
}

// sweepOnce returns how long to wait for the next one.
func (q *Queue) sweepOnce(ctx context.Context) time.Duration {
	q.sweeper.begin()
	call, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	swept, err := q.store.Sweep(call, q.now())
	if err != nil {
		if ctx.Err() == nil {
			q.metrics.EngineErrors.WithLabelValues("sweep").Inc()
			q.log.Debug("a sweep failed; it is tried again", "error", err)
		}
		return sweepRetry
	}
	q.metrics.swept(swept)
	q.sweeper.by(swept.Next)
	return q.sweeper.wait(q.now())
}
