package jobs

import (
	"context"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trellis-dev/trellis/internal/plane"
)

// maxHeld bounds the waiting requests and streams of one replica.
const maxHeld = 4096

// Labels of what is held open.
const (
	labelLease  = "lease"
	labelPoll   = "longpolling"
	labelStream = "sse"
)

// held counts what is held open, and ends it when the plane drains.
type held struct {
	mu       sync.Mutex
	open     int
	draining chan struct{}
	empty    broadcast
	gauges   map[string]prometheus.Gauge
	rejected prometheus.Counter
}

func newHeld(m *plane.Metrics) *held {
	h := &held{draining: make(chan struct{}), gauges: map[string]prometheus.Gauge{}, rejected: m.Rejected.WithLabelValues("connections")}
	for _, label := range []string{labelLease, labelPoll, labelStream} {
		h.gauges[label] = m.Connections.WithLabelValues(label)
	}
	return h
}

// hold lets a request be held open: it gives its slot back, and is ended by a drain. end is to be called once.
func (h *held) hold(ctx context.Context, label string) (end func(), problem *plane.Problem) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open >= maxHeld {
		h.rejected.Inc()
		return nil, problemHeld()
	}
	h.open++
	h.gauges[label].Inc()
	plane.Hold(ctx)
	return func() {
		h.gauges[label].Dec()
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.open--; h.open == 0 {
			h.empty.tell()
		}
	}, nil
}

// drain ends what is held, and waits until it is gone or ctx ends.
func (h *held) drain(ctx context.Context) {
	h.mu.Lock()
	select {
	case <-h.draining:
	default:
		close(h.draining)
	}
	h.mu.Unlock()
	for {
		gone := h.empty.next()
		h.mu.Lock()
		open := h.open
		h.mu.Unlock()
		if open == 0 {
			return
		}
		select {
		case <-gone:
		case <-ctx.Done():
			return
		}
	}
}
