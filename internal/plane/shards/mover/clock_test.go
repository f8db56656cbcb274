package mover_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// jumping is a clock that is set by hand while it runs. What waits for a time then waits for less, or for longer.
type jumping struct {
	clock.RealClock
	mu      sync.Mutex
	ahead   time.Duration
	pending map[*alarm]struct{}
}

type alarm struct {
	of   *jumping
	due  time.Time
	real *time.Timer
}

func newJumping() *jumping { return &jumping{pending: map[*alarm]struct{}{}} }

// Now implements clock.Clock.
func (j *jumping) Now() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.now()
}

// now is without the reading of the process's own clock, as that does not jump. It needs j.mu.
func (j *jumping) now() time.Time { return time.Now().Round(0).Add(j.ahead) }

// Since implements clock.Clock.
func (j *jumping) Since(t time.Time) time.Duration { return j.Now().Sub(t) }

// AfterFunc implements clock.WithDelayedExecution.
func (j *jumping) AfterFunc(d time.Duration, f func()) clock.Timer {
	j.mu.Lock()
	defer j.mu.Unlock()
	a := &alarm{of: j, due: j.now().Add(d)}
	j.pending[a] = struct{}{}
	a.real = time.AfterFunc(d, func() {
		if a.Stop() {
			f()
		}
	})
	return a
}

// C implements clock.Timer.
func (a *alarm) C() <-chan time.Time { return nil }

// Reset implements clock.Timer.
func (a *alarm) Reset(time.Duration) bool { panic("nobody does") }

// Stop implements clock.Timer. It reports true once.
func (a *alarm) Stop() bool {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	_, pending := a.of.pending[a]
	delete(a.of.pending, a)
	a.real.Stop()
	return pending
}

// jump ahead, or back.
func (j *jumping) jump(by time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ahead += by
	for a := range j.pending {
		a.real.Reset(max(a.due.Sub(j.now()), 0))
	}
}

// TestAClockThatJumps by hours while partitions move, again and again: what has a limit is given up too early, or not in
// time, and what is tried again is so at once, or much later. Nobody ever serves what is another's.
func TestAClockThatJumps(t *testing.T) {
	t.Parallel()
	undisturbed := reshard(t, nil)
	jumps := 0
	disturbed := reshard(t, func(w *world) {
		w.clock = newJumping()
		ctx, cancel := context.WithCancel(context.Background())
		var setting sync.WaitGroup
		w.over = func() {
			cancel()
			setting.Wait()
		}
		w.t.Cleanup(w.over)
		setting.Go(func() {
			every := time.NewTicker(15 * time.Millisecond)
			defer every.Stop()
			by := []time.Duration{3 * time.Hour, -5 * time.Hour, time.Second, 2 * time.Hour}
			for ; ; jumps++ {
				select {
				case <-every.C:
					w.clock.jump(by[jumps%len(by)])
				case <-ctx.Done():
					return
				}
			}
		})
	})
	// Each jump gives up what is under way, and has it begun anew: no more than that is done because of it.
	if most := undisturbed.writes + 16*(jumps+1); disturbed.writes > most {
		t.Errorf("%d writes with %d jumps, and %d without: want %d at most", disturbed.writes, jumps, undisturbed.writes, most)
	}
	t.Logf("%d writes with %d jumps, and %d without", disturbed.writes, jumps, undisturbed.writes)
}

// TestALimitIsKeptByTheClock and by nothing else: what hangs is given up once it is over, however far the clock jumps, and
// tried again.
func TestALimitIsKeptByTheClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "Hook", "a", "b")
	w.clock = newJumping()
	hung := make(chan struct{}, 64)
	gone := make(chan struct{})
	hang := func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			hung <- struct{}{}
			select {
			case <-r.Context().Done():
			case <-gone:
			}
		}
		return r.Method == http.MethodPut
	}
	w.nodes["b"].container.misbehave.Store(&hang)
	ctx, cancel := context.WithCancel(context.Background())
	w.want(1, "a")
	w.supervise(ctx)
	t.Cleanup(func() {
		cancel()
		w.work.Wait()
	})
	w.settled("a")
	c := w.begin(2)
	t.Cleanup(c.end)
	c.progress(60)
	wanted := *w.wanted.Load()
	wanted.Members, wanted.PauseLimit = []ring.Member{{ID: "a"}, {ID: "b"}}, time.Hour
	w.change(wanted)
	<-hung
	// Back is later: nothing is given up.
	w.clock.jump(-24 * time.Hour)
	if s, _, _ := w.store.Read(t.Context()); len(s.Table.Moves) != 1 || len(s.Failures) != 0 {
		t.Errorf("after a jump back there are the moves %v and the failures %v", s.Table.Moves, s.Failures)
	}
	w.clock.jump(25 * time.Hour)
	w.await("the move to be given up", func(s table.State) bool {
		return len(s.Failures) > 0 && strings.Contains(s.Failures[0].Reason, "it was not done within 1h0m0s")
	})
	w.nodes["b"].container.misbehave.Store(nil)
	close(gone)
	w.settled("a", "b")
	c.check(t)
}
