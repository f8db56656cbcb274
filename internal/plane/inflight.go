package plane

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// queueWait is the longest a request waits for its turn.
	queueWait = time.Second
	// busyRetry is what a request that found the queue full is told to wait.
	busyRetry = time.Second
)

// InFlight bounds the requests that are served at once. As many again may wait
// for a moment; what comes on top is told to come back.
type InFlight struct {
	slots   chan struct{}
	waiting chan struct{}
	metrics *Metrics
	// wait is the longest a request waits for its turn.
	wait time.Duration
}

// NewInFlight bounds to n at once.
func NewInFlight(n int, m *Metrics) *InFlight {
	return &InFlight{slots: make(chan struct{}, n), waiting: make(chan struct{}, n), metrics: m, wait: queueWait}
}

// Serving is how many requests hold a slot.
func (f *InFlight) Serving() int { return len(f.slots) }

// turn is a request's slot, given back once. Without slots there is none.
type turn struct {
	slots chan struct{}
	ended atomic.Bool
}

func (t *turn) end() {
	if t.slots != nil && !t.ended.Swap(true) {
		<-t.slots
	}
}

// Hold gives the request's slot back early: for a response that is held open,
// and is bounded by the limits on connections instead. Its body has been read.
func Hold(ctx context.Context) {
	if s := scopeOf(ctx); s != nil {
		s.held = true
		s.turn.end()
		s.body.end()
	}
}

// Limit admits requests as slots come free.
func (f *InFlight) Limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !f.acquire(r.Context()) {
			f.metrics.Rejected.WithLabelValues("overloaded").Inc()
			writeRequestProblem(w, r, NewProblem(http.StatusServiceUnavailable, "overloaded", "Too many requests at once",
				"this replica serves as many requests as it may; try again").After(busyRetry))
			return
		}
		turn := &scopeOf(r.Context()).turn
		turn.slots = f.slots
		defer turn.end()
		next.ServeHTTP(w, r)
	})
}

func (f *InFlight) acquire(ctx context.Context) bool {
	select {
	case f.slots <- struct{}{}:
		return true
	default:
	}
	select {
	case f.waiting <- struct{}{}:
		defer func() { <-f.waiting }()
	default:
		return false
	}
	timer := time.NewTimer(f.wait)
	defer timer.Stop()
	select {
	case f.slots <- struct{}{}:
		return true
	case <-timer.C:
		return false
	case <-ctx.Done():
		return false
	}
}
