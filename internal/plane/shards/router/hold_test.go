package router

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// other is a shard that does not own partition p.
func (c *cluster) other(p int) string {
	owner, _ := c.state.Table.Owner(p)
	for _, m := range c.state.Table.Members {
		if m.ID != owner.ID {
			return m.ID
		}
	}
	c.t.Fatal("there is one shard only")
	return ""
}

// awaitHeld waits until so many requests wait for a partition, and for a shard.
func (c *cluster) awaitHeld(moving, absent int) {
	c.t.Helper()
	contracttest.Eventually(c.t, "requests to be held", func() bool {
		m, a := c.router.held.counts()
		return m == moving && a == absent
	})
}

// awaitEpoch waits until the router knows what was published.
func (c *cluster) awaitEpoch() {
	c.t.Helper()
	contracttest.Eventually(c.t, "the router to know the table", func() bool { return c.router.view.Load().table.Epoch == c.state.Table.Epoch })
}

func TestAMovingPartitionIsHeldAndReleasedToItsNewOwner(t *testing.T) {
	c := start(t, options{})
	to := c.other(3)
	c.pauses(3, to)
	c.awaitEpoch()
	if resp, _ := c.ask(http.MethodGet, "/", keyOf(4), nil); resp.StatusCode != http.StatusOK {
		t.Errorf("another partition: %d", resp.StatusCode)
	}
	// The body comes bit by bit: nobody asks for it while the request is held.
	body := &watched{Reader: strings.NewReader("hello")}
	type answered struct {
		status      int
		shard, text string
	}
	done := make(chan answered)
	go func() {
		resp, text, err := c.try(http.MethodPost, "/", keyOf(3), body, "Expect: 100-continue")
		if err != nil {
			t.Error(err)
			close(done)
			return
		}
		done <- answered{resp.StatusCode, resp.Header.Get("Shard"), text}
	}()
	c.awaitHeld(1, 0)
	if body.was() {
		t.Error("the body was read while the request is held")
	}
	c.commits(3)
	if diff := cmp.Diff(answered{200, to, "hello"}, <-done, cmp.AllowUnexported(answered{})); diff != "" {
		t.Error(diff)
	}
	c.noStrays()
}

// watched is a body that notes whether it was read.
type watched struct {
	io.Reader
	mu   sync.Mutex
	read bool
}

func (w *watched) Read(p []byte) (int, error) {
	w.mu.Lock()
	w.read = true
	w.mu.Unlock()
	return w.Reader.Read(p)
}

func (w *watched) was() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.read
}

func TestNotMoreAreHeldThanMay(t *testing.T) {
	c := start(t, options{change: func(cfg *planeconfig.Config) { cfg.Shards.Resharding.HeldRequests = 2 }})
	to := c.other(3)
	c.pauses(3, to)
	c.awaitEpoch()
	var waiting sync.WaitGroup
	for range 2 {
		waiting.Go(func() {
			if resp, _, err := c.try(http.MethodGet, "/", keyOf(3), nil); err != nil || resp.StatusCode != http.StatusOK {
				t.Errorf("a request that was held: %v", err)
			}
		})
	}
	c.awaitHeld(2, 0)
	resp, text := c.ask(http.MethodGet, "/", keyOf(3), nil)
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !strings.Contains(text, "held-full") {
		t.Errorf("beyond the bound: %d %s", resp.StatusCode, text)
	}
	c.commits(3)
	waiting.Wait()
	c.awaitHeld(0, 0)
}

func TestWhoIsHeldTooLongIsToldToComeBack(t *testing.T) {
	c := start(t, options{change: func(cfg *planeconfig.Config) {
		cfg.Shards.Resharding.PauseLimit = planeconfig.Duration(50 * time.Millisecond)
	}})
	c.pauses(3, c.other(3))
	c.awaitEpoch()
	resp, text := c.ask(http.MethodGet, "/", keyOf(3), nil)
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "1" || !strings.Contains(text, "partition-unavailable") {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	c.awaitHeld(0, 0)
}

func TestAClientThatGoesAwayLeavesTheQueue(t *testing.T) {
	c := start(t, options{})
	c.pauses(3, c.other(3))
	c.awaitEpoch()
	ctx, leave := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.replica.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Key", keyOf(3))
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if resp, err := c.client.Do(req); err == nil {
			_ = resp.Body.Close()
			t.Error("it was answered")
		}
	}()
	c.awaitHeld(1, 0)
	leave()
	<-gone
	c.awaitHeld(0, 0)
}

// TestWhoWaitsLongestGoesFirst, and who comes later does not overtake.
func TestWhoWaitsLongestGoesFirst(t *testing.T) {
	empty, err := ring.New(2)
	if err != nil {
		t.Fatal(err)
	}
	serving := &view{table: ring.Rebalance(empty, []ring.Member{{ID: "a"}}), serving: []*member{{id: "a"}, {id: "a"}}}
	paused := &view{table: serving.table, serving: []*member{nil, nil}}
	now := paused
	var mu sync.Mutex
	h := newHeld(100, func() *view {
		mu.Lock()
		defer mu.Unlock()
		return now
	})
	var order []int
	var all sync.WaitGroup
	const n = 50
	for i := range n {
		all.Go(func() {
			w, _, _, problem := h.join(0)
			if w == nil {
				t.Errorf("%d need not wait: %v", i, problem)
				return
			}
			<-w.turn
			// It is the only one whose turn it is.
			order = append(order, i)
			h.leave(w)
		})
		contracttest.Eventually(t, "it to wait", func() bool { m, _ := h.counts(); return m == i+1 })
	}
	mu.Lock()
	now = serving
	mu.Unlock()
	if w, _, _, _ := h.join(0); w == nil {
		t.Error("one that comes later overtakes")
	} else {
		h.leave(w)
	}
	h.release()
	all.Wait()
	for i, got := range order {
		if got != i {
			t.Fatalf("the order is %v", order)
		}
	}
	if len(order) != n {
		t.Errorf("%d of %d went on", len(order), n)
	}
	if m, _ := h.free(0); m == nil {
		t.Error("nobody waits, and still one must")
	}
}

// TestAShardThatComesBackElsewhereGetsWhatWasHeldForIt after its pod was made anew.
func TestAShardThatComesBackElsewhereGetsWhatWasHeldForIt(t *testing.T) {
	c := start(t, options{})
	owner, _ := c.state.Table.Owner(3)
	// Nobody listens at its address any more, which is still known; then it has none.
	gone := c.serve("nobody", echo("nobody"))
	gone.Close()
	c.where.set(owner.ID, gone.Listener.Addr().String())
	var waiting sync.WaitGroup
	ask := func() {
		waiting.Go(func() {
			if resp, _, err := c.try(http.MethodPost, "/", keyOf(3), strings.NewReader("x")); err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Shard") != owner.ID {
				t.Errorf("a request for a shard that comes back: %v %v", resp, err)
			}
		})
	}
	ask()
	c.awaitHeld(0, 1)
	c.where.set(owner.ID, "")
	ask()
	c.awaitHeld(0, 2)
	c.serve(owner.ID, echo(owner.ID))
	waiting.Wait()
	c.awaitHeld(0, 0)
	c.noStrays()
}

func TestAShardThatStaysAwayIsNotWaitedForLong(t *testing.T) {
	c := start(t, options{change: func(cfg *planeconfig.Config) {
		cfg.Shards.Resharding.PauseLimit = planeconfig.Duration(50 * time.Millisecond)
	}})
	owner, _ := c.state.Table.Owner(3)
	c.where.set(owner.ID, "")
	for range 2 {
		resp, text := c.ask(http.MethodPost, "/", keyOf(3), strings.NewReader("x"))
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "1" || !strings.Contains(text, "shard-unavailable") {
			t.Errorf("%d %s", resp.StatusCode, text)
		}
	}
}

// TestThoseWhoWaitForAShardLeaveRoom for partitions that move.
func TestThoseWhoWaitForAShardLeaveRoom(t *testing.T) {
	h := newHeld(4, func() *view { return &view{serving: []*member{nil}} })
	for range 2 {
		if _, problem := h.aside(); problem != nil {
			t.Fatal(problem)
		}
	}
	if _, problem := h.aside(); problem == nil {
		t.Error("more than half wait for a shard")
	}
	for range 2 {
		if w, _, _, problem := h.join(0); w == nil {
			t.Fatal(problem)
		}
	}
	if w, _, _, _ := h.join(0); w != nil {
		t.Error("more wait than may")
	}
}

// TestAnOlderOrLostTableTeachesNothing.
func TestAnOlderOrLostTableTeachesNothing(t *testing.T) {
	c := start(t, options{})
	known := c.router.view.Load()
	old := c.state
	old.Table = old.Table.Clone()
	old.Table.Epoch--
	broken := c.state
	broken.Table = broken.Table.Clone()
	broken.Table.Epoch++
	broken.Table.Owners[0] = 99
	for name, s := range map[string]table.State{"older": old, "lost": {}, "broken": broken} {
		c.router.learn(s)
		if c.router.view.Load() != known {
			t.Errorf("a table that is %s is used", name)
		}
	}
}
