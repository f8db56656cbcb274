package machine

import (
	"context"
	"sync"
	"time"

	"k8s.io/utils/clock"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
)

// Replica is a State that is safe for concurrent use, and that tells of its changes.
type Replica struct {
	clock clock.WithTicker

	mu    sync.RWMutex
	state *State

	watchers watchers
	// nudge has an element after the time at which a job comes due next may have changed.
	nudge chan struct{}
}

// NewReplica of an empty queue. The clock is for telling of jobs that come due, and for nothing else.
func NewReplica(c clock.WithTicker) *Replica {
	return &Replica{clock: c, state: New(), nudge: make(chan struct{}, 1)}
}

// Apply applies commands, in one step for readers, and returns their results and the references of contents that
// no job has any more.
func (r *Replica) Apply(commands ...Command) (results []any, dropped []string) {
	return r.apply(commands, true)
}

// Follow applies commands that somebody else waits for.
func (r *Replica) Follow(commands ...Command) { r.apply(commands, false) }

func (r *Replica) apply(commands []Command, seen bool) (results []any, dropped []string) {
	results = make([]any, len(commands))
	var changes []plane.Change
	r.mu.Lock()
	r.state.unseen = !seen
	for i, c := range commands {
		result, effects := r.state.Apply(c)
		results[i] = result
		changes = append(changes, effects.Changes...)
		dropped = append(dropped, effects.Dropped...)
	}
	r.mu.Unlock()
	if len(changes) > 0 {
		r.watchers.tell(changes)
		r.poke()
	}
	return results, dropped
}

// Read calls f with the state, which f must neither change nor keep.
func (r *Replica) Read(f func(*State)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	f(r.state)
}

// Freeze copies the state, to be encoded without holding anybody up.
func (r *Replica) Freeze() *Frozen {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.state.Freeze()
}

// Reset has another state take the place of this one.
func (r *Replica) Reset(s *State) {
	r.mu.Lock()
	r.state = s
	r.mu.Unlock()
	r.watchers.tell([]plane.Change{{Missed: true, Due: true}})
	r.poke()
}

// Changes tells of every change from now on, until ctx ends.
func (r *Replica) Changes(ctx context.Context) <-chan plane.Change { return r.watchers.watch(ctx) }

func (r *Replica) poke() {
	select {
	case r.nudge <- struct{}{}:
	default:
	}
}

// lookAgain is the longest time until the clock is looked at again: it may have jumped.
const lookAgain = 10 * time.Second

// Run tells of jobs that come due by time alone, until ctx ends.
func (r *Replica) Run(ctx context.Context) {
	for {
		var next time.Time
		now := r.clock.Now()
		r.Read(func(s *State) { next = s.NextDue(now) })
		if next.IsZero() {
			select {
			case <-ctx.Done():
				return
			case <-r.nudge:
			}
			continue
		}
		timer := r.clock.NewTimer(min(max(next.Sub(now), 0), lookAgain))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-r.nudge:
			timer.Stop()
		case <-timer.C():
			if r.clock.Now().Before(next) {
				continue
			}
			r.watchers.tell([]plane.Change{{Due: true}})
			if !r.settle(ctx) {
				return
			}
		}
	}
}

// settle waits after a job came due until something is done with it, or a moment has passed: it stays due until
// somebody leases, which nobody may be there for.
func (r *Replica) settle(ctx context.Context) bool {
	timer := r.clock.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-r.nudge:
	case <-timer.C():
	}
	return true
}
