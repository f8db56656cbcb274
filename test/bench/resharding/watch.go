package resharding

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// move of a partition, as it was seen.
type move struct {
	ring.Move
	// began and ended are when the tables were seen that did.
	began, ended time.Time
	// done is false for one that was given up.
	done bool
	// exported and imported are when the old owner's container was asked, and the new one's had all.
	exported, imported time.Time
	// copied is how long the bare copy took; answer the longest that a client waited.
	copied, answer time.Duration
}

// watcher sees each table that is published.
type watcher struct {
	mu      sync.Mutex
	state   table.State
	under   map[ring.Move]time.Time
	moves   []move
	changed chan struct{}
}

func newWatcher() *watcher {
	return &watcher{under: map[ring.Move]time.Time{}, changed: make(chan struct{})}
}

func (w *watcher) seen(s table.State) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	still := map[ring.Move]time.Time{}
	for _, m := range s.Table.Moves {
		still[m] = now
		if began, known := w.under[m]; known {
			still[m] = began
		}
	}
	for m, began := range w.under {
		if _, goes := still[m]; !goes {
			owner, _ := s.Table.Owner(m.Partition)
			w.moves = append(w.moves, move{Move: m, began: began, ended: now, done: owner.ID == m.To})
		}
	}
	w.state, w.under = s, still
	close(w.changed)
	w.changed = make(chan struct{})
}

// settled waits until the members are so many, and all has become of them that is to.
func (w *watcher) settled(ctx context.Context, members int) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	for {
		w.mu.Lock()
		s, changed := w.state, w.changed
		w.mu.Unlock()
		if len(s.Target.Members) == members && len(s.Table.Moves)+len(s.Dropping)+len(ring.Diff(s.Table, s.Target)) == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("the table has %d moves under way and %d left: %w", len(s.Table.Moves), len(ring.Diff(s.Table, s.Target)),
				errors.Join(ctx.Err(), errors.New(reasons(s))))
		}
	}
}

func reasons(s table.State) (out string) {
	for _, f := range s.Failures {
		out += f.Reason + "; "
	}
	return "failures: " + out
}

// now is the table as it is, and take what moved since the last time.
func (w *watcher) now() ring.Table {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state.Table.Clone()
}

func (w *watcher) take() []move {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.moves
	w.moves = nil
	return out
}
