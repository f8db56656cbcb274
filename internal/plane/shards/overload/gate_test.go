package overload

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// desk lets requests wait for a member that serves as many at once as it is told, and notes what becomes of each.
type desk struct {
	t *testing.T
	a *Adaptive
	// serving are those that hold a place.
	serving []func(Outcome)

	mu     sync.Mutex
	events []string
	all    sync.WaitGroup
}

// newDesk has no room left.
func newDesk(t *testing.T, o planeconfig.ShardOverload) *desk {
	t.Helper()
	o.MinConcurrency, o.MaxConcurrency = 2, 2
	d := &desk{t: t, a: New(Options{Config: o, Partitions: 16})}
	for range 2 {
		done, err := d.a.Admit(t.Context(), "orders-0", 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		d.serving = append(d.serving, done)
	}
	return d
}

// comes has a request wait, until all others stand still.
func (d *desk) comes(ctx context.Context, name string, class int) {
	d.all.Go(func() {
		done, err := d.a.Admit(ctx, "orders-0", 1, class)
		d.mu.Lock()
		defer d.mu.Unlock()
		var shed *ShedError
		switch {
		case errors.As(err, &shed):
			d.events = append(d.events, fmt.Sprintf("%s %s", name, shed.Reason))
		case err != nil:
			d.events = append(d.events, fmt.Sprintf("%s left", name))
		default:
			d.events = append(d.events, name+" in")
			d.serving = append(d.serving, done)
		}
	})
	synctest.Wait()
}

// ends one that is served.
func (d *desk) ends() {
	d.mu.Lock()
	done := d.serving[0]
	d.serving = d.serving[1:]
	d.mu.Unlock()
	done(Success)
	synctest.Wait()
}

func (d *desk) happened(want ...string) {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if diff := cmp.Diff(want, d.events); diff != "" {
		d.t.Errorf("what happened (-want +got):\n%s", diff)
	}
	d.events = nil
}

// over ends what is left.
func (d *desk) over() {
	for {
		d.mu.Lock()
		left := len(d.serving)
		d.mu.Unlock()
		if left == 0 {
			break
		}
		d.ends()
	}
	d.all.Wait()
	if diff := cmp.Diff([]int{0, 0}, []int{d.a.Stats()[0].InFlight, d.a.Stats()[0].Queued}); diff != "" {
		d.t.Errorf("in flight and queued in the end:\n%s", diff)
	}
}

func TestImportantFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, threeClasses)
		for _, name := range []string{"bronze 1", "silver 1", "bronze 2", "gold 1", "silver 2", "gold 2"} {
			d.comes(t.Context(), name, map[byte]int{'g': 0, 's': 1, 'b': 2}[name[0]])
		}
		d.happened()
		for range 6 {
			d.ends()
		}
		d.happened("gold 1 in", "gold 2 in", "silver 1 in", "silver 2 in", "bronze 1 in", "bronze 2 in")
		d.over()
	})
}

func TestFullQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := threeClasses
		o.Queue = 3
		d := newDesk(t, o)
		for _, name := range []string{"silver 1", "bronze 1", "bronze 2"} {
			d.comes(t.Context(), name, map[byte]int{'g': 0, 's': 1, 'b': 2}[name[0]])
		}
		d.comes(t.Context(), "bronze 3", 2)
		d.happened("bronze 3 queue")
		d.comes(t.Context(), "gold 1", 0)
		d.happened("bronze 2 displaced")
		d.comes(t.Context(), "silver 2", 1)
		d.happened("bronze 1 displaced")
		d.comes(t.Context(), "silver 3", 1)
		d.happened("silver 3 queue")
		d.comes(t.Context(), "gold 2", 0)
		d.happened("silver 2 displaced")
		if diff := cmp.Diff(map[string]uint64{"gold": 0, "silver": 2, "bronze": 3}, d.a.Stats()[0].Shed); diff != "" {
			t.Errorf("shed, as stats have it (-want +got):\n%s", diff)
		}
		d.ends()
		d.ends()
		d.ends()
		d.happened("gold 1 in", "gold 2 in", "silver 1 in")
		d.over()
	})
}

func TestWaitingIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, threeClasses)
		began := time.Now()
		gone, leave := context.WithCancel(t.Context())
		d.comes(gone, "client that goes", 0)
		d.comes(t.Context(), "patient one", 0)
		leave()
		synctest.Wait()
		d.happened("client that goes left")
		time.Sleep(time.Second)
		synctest.Wait()
		d.happened("patient one timeout")
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("waited %s", waited)
		}
		// Nothing has ended for as long as one may wait.
		time.Sleep(time.Millisecond)
		d.comes(t.Context(), "late one", 0)
		d.happened("late one stalled")
		d.ends()
		d.comes(t.Context(), "next one", 0)
		d.comes(t.Context(), "one after it", 0)
		d.happened("next one in")
		d.comes(gone, "one that is gone", 0)
		d.happened("one that is gone left")
		d.over()
	})
}

// What would wait in vain is told so at once: it knows how long requests take.
func TestRefusedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := threeClasses
		o.QueueTimeout = planeconfig.Duration(2 * time.Second)
		d := newDesk(t, o)
		// Two at once, each of which takes 200 ms: ten a second.
		for range 20 {
			time.Sleep(200 * time.Millisecond)
			d.ends()
			d.ends()
			d.comes(t.Context(), "gold", 0)
			d.comes(t.Context(), "gold", 0)
		}
		d.events = nil
		soon, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
		defer cancel()
		began := time.Now()
		d.comes(soon, "answer in time", 0)
		d.happened("answer in time deadline")
		for i := range 19 {
			d.comes(t.Context(), fmt.Sprintf("gold %d", i), 0)
		}
		d.happened()
		d.comes(t.Context(), "the twentieth", 0)
		d.comes(t.Context(), "the twenty-first", 0)
		d.happened("the twenty-first deadline")
		// All that was served lately was more important.
		d.comes(t.Context(), "silver", 1)
		d.happened("silver deadline")
		if time.Since(began) != 0 {
			t.Errorf("it took %s to refuse", time.Since(began))
		}
		for range 22 {
			time.Sleep(90 * time.Millisecond)
			d.ends()
		}
		d.over()
	})
}

// A quick member with which nothing happens for a moment is as quick as before: it may be that nobody had any CPU.
func TestAMomentIsNotTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, threeClasses)
		// Two at once, each of which takes 1 ms: two thousand a second.
		for range 400 {
			time.Sleep(time.Millisecond)
			d.ends()
			d.ends()
			d.comes(t.Context(), "gold", 0)
			d.comes(t.Context(), "gold", 0)
		}
		d.comes(t.Context(), "first", 0)
		time.Sleep(300 * time.Millisecond)
		d.events = nil
		for range 50 {
			d.comes(t.Context(), "gold", 0)
		}
		d.happened()
		d.over()
	})
}

// A queue is for a burst: one that stands is shorter.
func TestStandingQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, threeClasses)
		for range 20 {
			time.Sleep(200 * time.Millisecond)
			d.ends()
			d.ends()
			d.comes(t.Context(), "gold", 0)
			d.comes(t.Context(), "gold", 0)
		}
		d.events = nil
		// Ten a second are served.
		longest := func() (n int) {
			for {
				before := d.a.Stats()[0].Queued
				if d.comes(t.Context(), "gold", 0); d.a.Stats()[0].Queued == before {
					return n
				}
				n++
			}
		}
		if n := longest(); n != 10 {
			t.Errorf("%d wait in a queue that was empty, not as many as are served in a second", n)
		}
		for range 24 {
			time.Sleep(100 * time.Millisecond)
			d.ends()
			d.comes(t.Context(), "gold", 0)
		}
		waiting := d.a.Stats()[0].Queued
		if waiting == 0 || waiting > 2 {
			t.Errorf("%d wait in a queue that stands, not as many as are served in a quarter of a second", waiting)
		}
		d.over()
	})
}

func TestEndedOnce(t *testing.T) {
	t.Parallel()
	a := New(Options{Partitions: 16})
	done, err := a.Admit(t.Context(), "orders-0", 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	done(Success)
	done(Overloaded)
	if n := a.Stats()[0].InFlight; n != 0 {
		t.Errorf("%d in flight", n)
	}
}

func TestConfigure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, threeClasses)
		d.comes(t.Context(), "bronze 1", 2)
		d.comes(t.Context(), "silver 1", 1)
		d.comes(t.Context(), "gold 1", 0)
		// Silver and bronze are one now.
		d.a.Configure(planeconfig.ShardOverload{MinConcurrency: 2, MaxConcurrency: 2, Classes: []string{"gold", "rest"}})
		d.comes(t.Context(), "bronze of an older router", 2)
		d.happened()
		// More room lets in who waits.
		d.a.Configure(planeconfig.ShardOverload{MinConcurrency: 4, MaxConcurrency: 4, Classes: []string{"gold", "rest"}})
		synctest.Wait()
		d.mu.Lock()
		first := len(d.events)
		d.mu.Unlock()
		if first != 2 {
			t.Errorf("%d were let in", first)
		}
		d.ends()
		d.ends()
		d.all.Wait()
		if s := d.a.Stats()[0]; s.InFlight != 4 || s.Queued != 0 {
			t.Errorf("%+v", s)
		}
		d.over()
	})
}

func TestForgottenMembers(t *testing.T) {
	t.Parallel()
	a := New(Options{Partitions: 16})
	for i := range 3 {
		done, err := a.Admit(t.Context(), fmt.Sprintf("orders-%d", i), 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer done(Success)
	}
	a.Keep([]string{"orders-0", "orders-2", "orders-3"})
	var left []string
	for _, s := range a.Stats() {
		left = append(left, s.Member)
	}
	if diff := cmp.Diff([]string{"orders-0", "orders-2"}, left); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
}

func BenchmarkAdmit(b *testing.B) {
	a := New(Options{Config: threeClasses, Partitions: 1024})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		done, err := a.Admit(b.Context(), "orders-0", i&1023, 0)
		if err != nil {
			b.Fatal(err)
		}
		done(Success)
	}
}
