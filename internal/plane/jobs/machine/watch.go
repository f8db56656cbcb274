package machine

import (
	"context"
	"sync"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
)

// pendingChanges is how many changes wait for a reader before they become one that says that some were missed.
const pendingChanges = 4096

// watchers tell readers of changes. None of them holds the others up.
type watchers struct {
	mu  sync.Mutex
	all map[*watcher]struct{}
}

// watcher is one reader, and what it has not read yet.
type watcher struct {
	mu      sync.Mutex
	pending []plane.Change
	// more has an element while there is something pending.
	more chan struct{}
}

// watch returns the changes from now on until ctx ends.
func (w *watchers) watch(ctx context.Context) <-chan plane.Change {
	r := &watcher{more: make(chan struct{}, 1)}
	w.mu.Lock()
	if w.all == nil {
		w.all = map[*watcher]struct{}{}
	}
	w.all[r] = struct{}{}
	w.mu.Unlock()
	out := make(chan plane.Change)
	go func() {
		defer close(out)
		defer func() {
			w.mu.Lock()
			delete(w.all, r)
			w.mu.Unlock()
		}()
		r.run(ctx, out)
	}()
	return out
}

func (w *watchers) tell(changes []plane.Change) {
	if len(changes) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for r := range w.all {
		r.add(changes)
	}
}

func (r *watcher) add(changes []plane.Change) {
	r.mu.Lock()
	if r.pending = append(r.pending, changes...); len(r.pending) > pendingChanges {
		r.pending = []plane.Change{{Missed: true, Due: true}}
	}
	r.mu.Unlock()
	select {
	case r.more <- struct{}{}:
	default:
	}
}

func (r *watcher) run(ctx context.Context, out chan<- plane.Change) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.more:
		}
		r.mu.Lock()
		changes := r.pending
		r.pending = nil
		r.mu.Unlock()
		for _, c := range changes {
			select {
			case <-ctx.Done():
				return
			case out <- c:
			}
		}
	}
}
