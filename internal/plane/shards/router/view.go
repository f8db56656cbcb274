package router

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// view is a table as requests are routed by it. It never changes.
type view struct {
	table ring.Table
	// serving has for each partition who serves it, nil where nobody does.
	serving []*member
	// members are those of the table, in the order of their IDs.
	members []*member
	// epoch is the table's, as a header's value.
	epoch string
	// next is closed once there is a newer view.
	next chan struct{}
}

// known reports whether a table was read at all.
func (v *view) known() bool { return v.table.Partitions > 0 }

// learn makes a view of a state and has held requests go on. A table that is older than the one known, or lost, teaches
// nothing: shards refuse what they do not own, so that the last one known stays in use.
func (r *Router) learn(s table.State) {
	if err := s.Table.Validate(); err != nil {
		if s.Table.Partitions != 0 {
			r.log.Error("the published table can not be used; the one known stays in use", "error", err)
		}
		return
	}
	r.learning.Lock()
	defer r.learning.Unlock()
	last := r.view.Load()
	if last.known() && s.Table.Epoch <= last.table.Epoch {
		return
	}
	next := &view{table: s.Table, serving: make([]*member, s.Table.Partitions), epoch: strconv.FormatUint(s.Table.Epoch, 10), next: make(chan struct{})}
	byID := make(map[string]*member, len(s.Table.Members))
	for _, m := range last.members {
		byID[m.id] = m
	}
	for _, m := range s.Table.Members {
		if byID[m.ID] == nil {
			byID[m.ID] = r.newMember(m.ID)
		}
		next.members = append(next.members, byID[m.ID])
	}
	for p, owner := range s.Table.Owners {
		if owner != ring.None {
			next.serving[p] = next.members[owner]
		}
	}
	for _, m := range s.Table.Moves {
		next.serving[m.Partition] = nil
	}
	r.view.Store(next)
	close(last.next)
	for _, m := range last.members {
		if !slices.Contains(next.members, m) {
			delete(byID, m.id)
			m.leave()
		}
	}
	r.metrics.epoch.Set(float64(s.Table.Epoch))
	r.metrics.moving.Set(float64(len(s.Table.Moves)))
	if l, ok := r.limiter.(interface{ Keep(members []string) }); ok {
		l.Keep(slices.Sorted(maps.Keys(byID)))
	}
	r.held.release()
	r.health.EngineOK()
}

// follow the published table until ctx ends.
func (r *Router) follow(ctx context.Context) {
	for ctx.Err() == nil {
		err := r.store.Watch(ctx, r.learn)
		if ctx.Err() != nil {
			return
		}
		err = cmp.Or(err, errWatchEnded)
		r.health.EngineFailed(err)
		r.log.Warn("the table can not be followed just now; the one known stays in use", "error", err)
		pause(ctx, watchAgain)
	}
}

// pause for a while, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
