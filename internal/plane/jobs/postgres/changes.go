package postgres

import (
	"context"
	"sync"

	"github.com/trellis-dev/trellis/internal/plane/jobs"
)

// changesKept is how many changes wait for a reader before it misses some.
const changesKept = 1024

// hub hands changes to the readers of this process.
type hub struct {
	mu      sync.Mutex
	readers map[*reader]struct{}
	closed  bool
	// pending are changes that other replicas are still to be told of.
	pending []jobs.Change
	kick    chan struct{}
}

type reader struct {
	changes chan jobs.Change
	missed  bool
}

func newHub() *hub { return &hub{readers: map[*reader]struct{}{}, kick: make(chan struct{}, 1)} }

// Changes implements jobs.Store.
func (s *Store) Changes(ctx context.Context) <-chan jobs.Change {
	r := &reader{changes: make(chan jobs.Change, changesKept)}
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		close(r.changes)
		return r.changes
	}
	h.readers[r] = struct{}{}
	context.AfterFunc(ctx, func() { h.drop(r) })
	return r.changes
}

func (h *hub) drop(r *reader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, reads := h.readers[r]; reads {
		delete(h.readers, r)
		close(r.changes)
	}
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for r := range h.readers {
		delete(h.readers, r)
		close(r.changes)
	}
}

// publish tells the readers of this process. None is waited for.
func (h *hub) publish(changes ...jobs.Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for r := range h.readers {
		r.tell(changes)
	}
}

// tell leaves out what does not fit. The last place is for Missed: a reader that comes to it has taken all before, and
// looks for itself after all that was left out until then.
func (r *reader) tell(changes []jobs.Change) {
	for _, c := range changes {
		switch waiting := len(r.changes); {
		case r.missed && waiting > 0:
			return
		case waiting < cap(r.changes)-1:
			r.missed = false
			r.changes <- c
		default:
			r.missed = true
			r.changes <- jobs.Change{Missed: true}
			return
		}
	}
}
