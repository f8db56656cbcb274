package mover_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/shards/mover"
	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/plane/shards/wire"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// TestWritesThatConflict has somebody else touch what is published before each second write. What members did is done: it
// is not asked for again.
func TestWritesThatConflict(t *testing.T) {
	t.Parallel()
	imports := func(of *atomic.Int64) func(int, bool, *http.Request) error {
		return func(_ int, after bool, r *http.Request) error {
			if !after && strings.HasSuffix(r.URL.Path, wire.Import) {
				of.Add(1)
			}
			return nil
		}
	}
	var undisturbed, disturbed atomic.Int64
	reshard(t, func(w *world) { w.faults.call = imports(&undisturbed) })
	defer func() {
		if disturbed.Load() != undisturbed.Load() {
			t.Errorf("%d imports were asked for, and %d where nothing conflicts", disturbed.Load(), undisturbed.Load())
		}
	}()
	reshard(t, func(w *world) {
		w.faults.call = imports(&disturbed)
		w.faults.write = func(n int, after bool) error {
			if after || n%2 == 1 {
				return nil
			}
			s, v, _ := w.store.Read(context.Background())
			_, err := w.store.Write(context.Background(), s, v)
			return err
		}
	})
}

// TestWritesOfUnknownOutcome come to pass, and the mover hears of an error.
func TestWritesOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	reshard(t, func(w *world) {
		w.faults.write = func(n int, after bool) error {
			if after && n%3 != 0 {
				return errors.New("the connection was cut")
			}
			return nil
		}
	})
}

// TestCallsThatAreCut fail before or after they reached a member.
func TestCallsThatAreCut(t *testing.T) {
	t.Parallel()
	reshard(t, func(w *world) {
		chance := rand.New(rand.NewPCG(6, 1))
		var mu sync.Mutex
		w.faults.call = func(int, bool, *http.Request) error {
			mu.Lock()
			defer mu.Unlock()
			if chance.IntN(8) == 0 {
				return errors.New("the connection was cut")
			}
			return nil
		}
	})
}

// TestTwoMoversThatBothBelieveTheyLead take over from each other while they move; whatever the deposed one still has
// under way does no harm.
func TestTwoMoversThatBothBelieveTheyLead(t *testing.T) {
	t.Parallel()
	reshard(t, func(w *world) {
		started := make(chan struct{}, 64)
		w.faults.call = func(_ int, after bool, r *http.Request) error {
			if !after && strings.HasSuffix(r.URL.Path, wire.Import) {
				select {
				case started <- struct{}{}:
				default:
				}
			}
			return nil
		}
		ctx, cancel := context.WithCancel(context.Background())
		w.t.Cleanup(cancel)
		w.work.Go(func() {
			// Its calls are not those of the other one: they are never cut short, as it does not know that it is deposed.
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			for range 5 {
				select {
				case <-started:
				case <-ctx.Done():
					return
				case <-time.After(time.Second):
				}
				m := w.newMover(w.store, transport)
				if err := m.Run(timed(ctx)); err != nil && !errors.Is(err, mover.ErrDeposed) {
					w.t.Errorf("the other mover ended: %v", err)
				}
			}
		})
	})
}

// timed ends a mover that nobody deposes.
func timed(ctx context.Context) context.Context {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
	context.AfterFunc(ctx, cancel)
	return ctx
}

// TestAPausedOwnerKeepsItsPartitions until it can be asked: while it is paused it learns of no table, and serves on.
func TestAPausedOwnerKeepsItsPartitions(t *testing.T) {
	t.Parallel()
	w, c := loaded(t, "a", "b")
	a := w.nodes["a"]
	a.deaf.shut()
	wanted := *w.wanted.Load()
	wanted.Members, wanted.PauseLimit = append(wanted.Members, ring.Member{ID: "c"}), 100*time.Millisecond
	w.change(wanted)
	w.await("a move from the paused owner to be given up", func(s table.State) bool {
		for _, f := range s.Failures {
			if f.From == "a" && strings.Contains(f.Reason, "had not seen the table of epoch") {
				return true
			}
		}
		return false
	})
	c.progress(20)
	wanted.PauseLimit = 20 * time.Second
	w.change(wanted)
	a.deaf.reopen()
	w.settled("a", "b", "c")
	c.progress(20)
	c.check(t)
}

// TestAMemberThatIsCutOff from the movers keeps what it has, and what is to come to it stays where it is.
func TestAMemberThatIsCutOff(t *testing.T) {
	t.Parallel()
	w, c := loaded(t, "a", "b")
	cut := newGate()
	cut.shut()
	w.faults.mu.Lock()
	w.faults.call = func(_ int, after bool, r *http.Request) error {
		cut.mu.Lock()
		open := cut.open
		cut.mu.Unlock()
		select {
		case <-open:
			return nil
		default:
			if w.at(r.URL.Host).id == "b" && !after {
				return errors.New("no route to host")
			}
			return nil
		}
	}
	w.faults.mu.Unlock()
	w.want(3, "a", "b", "c")
	held := w.await("all to have moved that can", func(s table.State) bool {
		left := ring.Diff(s.Table, s.Target)
		for _, m := range left {
			if m.From != "b" {
				return false
			}
		}
		return len(s.History) == 2 && len(left) > 0 && len(s.Table.Moves)+len(s.Dropping) == 0
	})
	if n := len(ring.Diff(held.Table, held.Target)); n == 0 {
		t.Error("a member that could not be asked gave its partitions away")
	}
	c.progress(20)
	cut.reopen()
	w.settled("a", "b", "c")
	c.check(t)
}

// TestTheMembersChangeWhilePartitionsMove, again and again: what is under way to who is to go is given up.
func TestTheMembersChangeWhilePartitionsMove(t *testing.T) {
	t.Parallel()
	w, c := loaded(t, "a", "b")
	for _, ids := range [][]string{{"a", "b", "c"}, {"b", "c"}, {"a", "b", "c"}, {"a", "c"}} {
		before, _, _ := w.store.Read(context.Background())
		w.want(2, ids...)
		w.await("a move", func(s table.State) bool { return s.Table.Epoch > before.Table.Epoch+1 })
	}
	s := w.settled("a", "c")
	replayed, err := ring.Replay(partitions, s.History)
	if err != nil || len(ring.Diff(s.Table, replayed)) > 0 {
		t.Errorf("the table is not what its history of memberships leads to: %v, %v", err, ring.Diff(s.Table, replayed))
	}
	c.progress(20)
	c.check(t)
}

// TestPausedMovesNothing, and goes on when it is over.
func TestPausedMovesNothing(t *testing.T) {
	t.Parallel()
	w, c := loaded(t, "a", "b")
	wanted := *w.wanted.Load()
	wanted.Members, wanted.Paused = append(wanted.Members, ring.Member{ID: "c"}), true
	w.change(wanted)
	s := w.await("the members to be taken up", func(s table.State) bool { return len(s.History) == 2 && len(s.Incarnations["c"]) > 0 })
	c.progress(20)
	if now, _, _ := w.store.Read(context.Background()); now.Table.Epoch != s.Table.Epoch || len(now.Table.Moves) > 0 {
		t.Errorf("moves %v began while there are to be none", now.Table.Moves)
	}
	wanted.Paused = false
	w.change(wanted)
	w.settled("a", "b", "c")
	c.check(t)
}

// TestALostTableIsMadeAnew from what the members have, while they serve on.
func TestALostTableIsMadeAnew(t *testing.T) {
	t.Parallel()
	w, c := loaded(t, "a", "b")
	w.want(2, "a", "b", "c")
	before := w.settled("a", "b", "c")
	_, v, _ := w.store.Read(context.Background())
	if _, err := w.store.Write(context.Background(), table.State{}, v); err != nil {
		t.Fatal(err)
	}
	w.nodes["a"].restart()
	after := w.await("a table", func(s table.State) bool { return s.Table.Partitions > 0 })
	if moved := ring.Diff(before.Table, after.Table); len(moved) > 0 || after.Table.Epoch <= before.Table.Epoch || after.Term <= before.Term {
		t.Errorf("the table was made anew with %v moved, epoch %d after %d, term %d after %d", moved, after.Table.Epoch, before.Table.Epoch, after.Term, before.Term)
	}
	c.progress(20)
	w.want(2, "b", "c")
	w.settled("b", "c")
	c.check(t)
}

// loaded is a world whose members are under load.
func loaded(t *testing.T, ids ...string) (*world, *clients) {
	t.Helper()
	w := newWorld(t, "Hook", "a", "b", "c")
	ctx, cancel := context.WithCancel(context.Background())
	w.want(2, ids...)
	w.supervise(ctx)
	t.Cleanup(func() {
		cancel()
		w.work.Wait()
	})
	w.settled(ids...)
	c := w.begin(4)
	t.Cleanup(c.end)
	c.progress(20)
	return w, c
}

// TestAFenceThatLiesIsFound breaks what all of it stands on, to see that the check of histories finds it: the old owner
// is not asked, and serves on by its old table.
func TestAFenceThatLiesIsFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "None", "a", "b")
	ctx, cancel := context.WithCancel(context.Background())
	w.want(1, "a")
	transport := &http.Transport{}
	w.work.Go(func() {
		defer transport.CloseIdleConnections()
		_ = w.newMover(w.store, lyingFence{transport}).Run(ctx)
	})
	t.Cleanup(func() {
		cancel()
		w.work.Wait()
	})
	first := w.settled("a")
	// It knows the table now, whatever it waited for.
	w.ask(t, "a", first.Table.Epoch)
	w.nodes["a"].deaf.shut()
	w.want(1, "b")
	s := w.await("the partitions to be another's", func(s table.State) bool {
		return len(s.Table.Moves) == 0 && len(ring.Diff(first.Table, s.Table)) == partitions
	})
	for _, by := range []struct {
		id    string
		epoch uint64
	}{{"a", first.Table.Epoch}, {"b", s.Table.Epoch}, {"a", first.Table.Epoch}} {
		w.ask(t, by.id, by.epoch)
	}
	if found := overlaps(w.log()); len(found) == 0 {
		t.Error("two owners of a partition were not found")
	}
	w.nodes["a"].deaf.reopen()
}

// ask a member for partition 0, by a table of the epoch.
func (w *world) ask(t *testing.T, id string, epoch uint64) {
	t.Helper()
	if status := w.askAt(t, w.nodes[id].address, 0, epoch); status != http.StatusOK {
		t.Errorf("%s answered %d in epoch %d", id, status, epoch)
	}
}

// askAt an address for partition p, by a table of the epoch.
func (w *world) askAt(t *testing.T, address string, p int, epoch uint64) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+address+"/counters/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(planeconfig.HeaderMemberToken, testToken)
	req.Header.Set(planeconfig.HeaderPartition, strconv.Itoa(p))
	req.Header.Set(planeconfig.HeaderEpoch, strconv.FormatUint(epoch, 10))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// lyingFence answers fences in the place of members.
type lyingFence struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (l lyingFence) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, wire.Drop) {
		return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Request: r}, nil
	}
	if !strings.HasSuffix(r.URL.Path, wire.Fence) {
		return l.RoundTripper.RoundTrip(r)
	}
	return &http.Response{StatusCode: http.StatusOK, Request: r, Body: io.NopCloser(bytes.NewReader([]byte(`{"member":"a","incarnation":"a-1"}`)))}, nil
}
