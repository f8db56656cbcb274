package mover_test

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/shards/mover"
	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// forced deletes a's pod by force while it runs on, and waits until the one that has its name now is named. It returns
// where the old one is, one of a's partitions, and how the old one hears of tables.
func forced(t *testing.T, deaf bool) (w *world, old table.Member, p int, hears *gate) {
	t.Helper()
	w, c := loaded(t, "a", "b")
	c.end()
	a := w.nodes["a"]
	old, hears = *a.seen.Load(), a.deaf
	if deaf {
		hears.shut()
	}
	a.deaf = newGate()
	t.Cleanup(a.replace("a-2", true))
	s := w.await("the new pod to be named", func(s table.State) bool { return slices.Equal(s.Incarnations["a"], []string{"a-2", "a-1"}) })
	return w, old, slices.IndexFunc(s.Table.Owners, func(i int) bool { return s.Table.Members[i].ID == "a" }), hears
}

// TestAPodDeletedByForceServesNoMore once it hears of the one that has its name now, though it runs on.
func TestAPodDeletedByForceServesNoMore(t *testing.T) {
	t.Parallel()
	w, old, p, _ := forced(t, false)
	a := w.nodes["a"]
	now := *a.seen.Load()
	w.answers(t, old.Address, p, http.StatusMisdirectedRequest)
	w.answers(t, now.Address, p, http.StatusOK)
	// What is known of the EndpointSlices may be old for a while, and name the one that was: it does not come back.
	a.seen.Store(&old)
	before, _, _ := w.store.Read(t.Context())
	w.want(2, "a", "b", "c")
	w.await("another table", func(s table.State) bool { return s.Table.Epoch > before.Table.Epoch })
	w.answers(t, old.Address, p, http.StatusMisdirectedRequest)
	a.seen.Store(&now)
	w.wake()
	if s := w.settled("a", "b", "c"); s.Incarnations["a"][0] != "a-2" {
		t.Errorf("the pods of a are %v", s.Incarnations["a"])
	}
}

// TestAPodDeletedByForceThatHearsNothing is what stays open: it serves who reaches it, until it hears.
func TestAPodDeletedByForceThatHearsNothing(t *testing.T) {
	t.Parallel()
	w, old, p, hears := forced(t, true)
	w.answers(t, old.Address, p, http.StatusOK)
	hears.reopen()
	w.answers(t, old.Address, p, http.StatusMisdirectedRequest)
}

// answers waits until who is at an address answers a request of partition p like that.
func (w *world) answers(t *testing.T, address string, p, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for got := 0; got != status; rest(ctx) {
		if ctx.Err() != nil {
			t.Fatalf("%s answers %d, want %d", address, got, status)
		}
		got = w.askAt(t, address, p, 0)
	}
}

// TestWhatFailedWithAPodIsTriedAgainWithTheNext at once, however long it was to be left alone.
func TestWhatFailedWithAPodIsTriedAgainWithTheNext(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "Hook", "a", "b")
	ctx, cancel := context.WithCancel(context.Background())
	fails := func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet {
			http.Error(w, "no", http.StatusInternalServerError)
		}
		return r.Method == http.MethodGet
	}
	w.nodes["a"].container.misbehave.Store(&fails)
	w.want(1, "a")
	m := mover.New(mover.Options{
		Wanted: func() mover.Wanted { return *w.wanted.Load() }, Store: w.store, Members: w, Token: func() string { return testToken },
		Client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, Backoff: mover.Backoff{First: time.Hour, Most: time.Hour},
	})
	w.movers = append(w.movers, m)
	w.work.Go(func() { _ = m.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		w.work.Wait()
	})
	w.settled("a")
	w.want(1, "a", "b")
	w.await("all moves to have failed", func(s table.State) bool {
		return len(s.Failures) == min(table.MaxFailures, len(ring.Diff(s.Table, s.Target))) && len(s.Failures) > 0 && len(s.Dropping)+len(s.Table.Moves) == 0
	})
	w.nodes["a"].container.misbehave.Store(nil)
	w.nodes["a"].replace("a-2", false)
	w.settled("a", "b")
}

// TestAShardThatIsGoneForGoodIsGivenUp by bringing its pod back on an empty claim: it owns the partitions still, without
// what was in them, and they can be moved again. Until then nobody serves them, and nothing of the others is lost.
func TestAShardThatIsGoneForGoodIsGivenUp(t *testing.T) {
	t.Parallel()
	w, c := loaded(t, "a", "b")
	c.progress(60)
	c.end()
	a, b := w.nodes["a"], w.nodes["b"]
	a.container = newContainer("a")
	a.replace("a-2", false)
	w.await("the new pod to be named", func(s table.State) bool { return s.Incarnations["a"][0] == "a-2" })
	kept := len(b.container.keys())
	w.want(2, "b")
	w.settled("b")
	if now := len(b.container.keys()); kept == 0 || now != kept {
		t.Errorf("b has %d keys, and had %d: those of a are lost", now, kept)
	}
	again := w.begin(4)
	again.progress(20)
	again.end()
}
