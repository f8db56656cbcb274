package router

import (
	"context"
	"sync"

	"github.com/trellis-dev/trellis/internal/plane"
)

// opened are the answers that are held open. When the router drains they are told to end.
type opened struct {
	mu      sync.Mutex
	drained chan struct{}
	cuts    map[*func()]struct{}
	// gone is closed when there are none any more after they were told.
	gone chan struct{}
}

func newOpened() *opened {
	return &opened{drained: make(chan struct{}), cuts: map[*func()]struct{}{}, gone: make(chan struct{})}
}

// enter has cut be called when the router drains, once drained is closed.
func (o *opened) enter(cut func()) (drained <-chan struct{}, leave func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := &cut
	o.cuts[key] = struct{}{}
	if closed(o.drained) {
		cut()
	}
	return o.drained, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.cuts, key)
		o.settle()
	}
}

// settle needs o.mu.
func (o *opened) settle() {
	if len(o.cuts) == 0 && closed(o.drained) && !closed(o.gone) {
		close(o.gone)
	}
}

// count is how many there are.
func (o *opened) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.cuts)
}

// end all of them, and wait until they are gone or ctx ends.
func (o *opened) end(ctx context.Context) {
	o.mu.Lock()
	if !closed(o.drained) {
		close(o.drained)
		for cut := range o.cuts {
			(*cut)()
		}
		o.settle()
	}
	o.mu.Unlock()
	select {
	case <-o.gone:
	case <-ctx.Done():
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// stays reports whether the request has a place among those that are held open. It keeps it until it ends.
func (j *job) stays() bool {
	if !j.placed {
		j.placed = j.r.places.Take(1)
	}
	return j.placed
}

// crowded refuses what would be held open where there is no place.
func (r *Router) crowded() *plane.Problem {
	r.metrics.Rejected.WithLabelValues("connections").Inc()
	return problemOpen(r.places.Most)
}
