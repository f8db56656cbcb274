package mover_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// reshard from two members to three, and back to two others, under load. It returns what movers wrote and called.
func reshard(t *testing.T, prepare func(*world)) *faults {
	t.Helper()
	w := newWorld(t, "Hook", "a", "b", "c")
	ctx, cancel := context.WithCancel(context.Background())
	defer w.work.Wait()
	defer cancel()
	if prepare != nil {
		prepare(w)
	}
	w.want(3, "a", "b")
	w.supervise(ctx)
	first := w.settled("a", "b")
	c := w.begin(4)
	defer c.end()
	c.progress(20)
	w.want(3, "a", "b", "c")
	second := w.settled("a", "b", "c")
	c.progress(20)
	w.want(3, "b", "c")
	third := w.settled("b", "c")
	c.progress(20)
	if w.over != nil {
		w.over()
	}
	c.check(t)
	asPlanned(t, first, second)
	asPlanned(t, second, third)
	return w.faults
}

// asPlanned holds the table to what pkg/ring makes of the memberships.
func asPlanned(t *testing.T, before, after table.State) {
	t.Helper()
	members := after.History[len(after.History)-1].Members
	want := ring.Diff(before.Table, ring.Rebalance(before.Target, members))
	if diff := cmp.Diff(want, ring.Diff(before.Table, after.Table)); diff != "" {
		t.Errorf("other partitions moved than planned (-want +got):\n%s", diff)
	}
	if after.Table.Epoch <= before.Table.Epoch {
		t.Errorf("the epoch went from %d to %d", before.Table.Epoch, after.Table.Epoch)
	}
}

func TestReshardsUnderLoad(t *testing.T) {
	t.Parallel()
	reshard(t, nil)
}

// TestAMoverMayDieAnywhere kills it before and after each of its writes and calls; another one goes on.
func TestAMoverMayDieAnywhere(t *testing.T) {
	t.Parallel()
	undisturbed := reshard(t, nil)
	t.Logf("undisturbed: %d writes, %d calls", undisturbed.writes, undisturbed.calls)
	for _, after := range []bool{false, true} {
		for n := 1; n <= undisturbed.writes; n++ {
			t.Run(fmt.Sprintf("write %d, after %t", n, after), func(t *testing.T) {
				t.Parallel()
				reshard(t, func(w *world) {
					w.faults.write = func(i int, a bool) error { return killAt(i == n && a == after) }
				})
			})
		}
		for n := 1 + odd(after); n <= undisturbed.calls; n += 2 {
			t.Run(fmt.Sprintf("call %d, after %t", n, after), func(t *testing.T) {
				t.Parallel()
				reshard(t, func(w *world) {
					w.faults.call = func(i int, a bool, _ *http.Request) error { return killAt(i == n && a == after) }
				})
			})
		}
	}
}

// odd has what comes after a call tried at others than what comes before it.
func odd(after bool) int {
	if after {
		return 1
	}
	return 0
}

func killAt(now bool) error {
	if now {
		return errKilled
	}
	return nil
}

// TestAMoverMayDieAgainAndAgain after each third of its writes.
func TestAMoverMayDieAgainAndAgain(t *testing.T) {
	t.Parallel()
	reshard(t, func(w *world) {
		w.faults.write = func(i int, after bool) error { return killAt(i%3 == 2 && after == (i%2 == 0)) }
	})
}

// TestAMemberMayDieAnywhere starts a member anew before and after each call of the mover to it.
func TestAMemberMayDieAnywhere(t *testing.T) {
	t.Parallel()
	undisturbed := reshard(t, nil)
	for _, after := range []bool{false, true} {
		for n := 1 + odd(after); n <= undisturbed.calls; n += 3 {
			t.Run(fmt.Sprintf("call %d, after %t", n, after), func(t *testing.T) {
				t.Parallel()
				reshard(t, func(w *world) {
					w.faults.call = func(i int, a bool, r *http.Request) error {
						if i == n && a == after {
							w.at(r.URL.Host).restart()
						}
						return nil
					}
				})
			})
		}
	}
}

func (w *world) at(address string) *node {
	for _, n := range w.nodes {
		if n.seen.Load().Address == address {
			return n
		}
	}
	w.t.Fatalf("nobody is at %s", address)
	return nil
}
