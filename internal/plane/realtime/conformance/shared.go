package conformance

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

var sharedTests = []test{
	{"PublishHereReceiveThere", testTwoReplicas},
	{"SameKeyOnTwoReplicasPublishesOnce", testIdempotentReplicas},
	{"EngineKilledLosesNothing", testEngineKilled},
	{"EngineWipedIsAGap", testEngineWiped},
	{"SubscriptionsCutAreResumed", testSubscriptionsCut},
	{"DrainHandsOver", testDrainHandsOver},
	{"StartsBeforeItsEngine", testEngineLate},
	{"ReplicasAnswerTogether", testReplicasTogether},
	{"PasswordRotatesWithoutLoss", testPasswordRotates},
}

func bigHistory(c *planeconfig.Config) { c.Realtime.History.Size = 10000 }

func testTwoReplicas(t *testing.T, start Factory) {
	target := start(t, Options{Replicas: 2})
	here, there := target.client(t), newClient(t, target.Replicas[1].URL, target.Token)
	var followers []*follower
	for _, p := range protocols {
		followers = append(followers, there.follow(p, "a", ""))
	}
	for i := range 50 {
		from := here
		if i%2 == 1 {
			from = there
		}
		from.publish("a", fmt.Sprint(i))
	}
	for _, f := range followers {
		f.awaitLast("49")
		var got []string
		for _, m := range check(t, f.protocol, f.history()) {
			got = append(got, m.Data)
		}
		if diff := cmp.Diff(numbers(0, 49), got); diff != "" {
			t.Errorf("%s (-published +seen):\n%s", f.protocol, diff)
		}
	}
}

func testIdempotentReplicas(t *testing.T, start Factory) {
	target := start(t, Options{Replicas: 2})
	one, two := target.client(t), newClient(t, target.Replicas[1].URL, target.Token)
	first := one.publish("a", "1", "Idempotency-Key", "k")
	again := two.publish("a", "1", "Idempotency-Key", "k")
	if again.Position != first.Position || !again.Replayed {
		t.Errorf("first %+v, again %+v", first, again)
	}
}

// publisher publishes numbers until it is told to stop, each with a key of its
// own and again until it is acknowledged, as a careful publisher does.
type publisher struct {
	stop   context.CancelFunc
	done   sync.WaitGroup
	mu     sync.Mutex
	acked  []string
	failed map[int]int
}

func (c *client) keepPublishing(room string) *publisher { return c.publishEvery(0, room) }

// publishEvery is keepPublishing with a pause after each message.
func (c *client) publishEvery(pause time.Duration, room string) *publisher {
	ctx, stop := context.WithCancel(context.Background())
	p := &publisher{stop: stop, failed: map[int]int{}}
	c = c.with(c.token)
	p.done.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			data := fmt.Sprint(i)
			for !p.try(c, room, data) {
				if ctx.Err() != nil && i > 0 {
					// The last one is brought to its end too, so that it is known.
					ctx = context.WithoutCancel(ctx)
				}
			}
			time.Sleep(pause)
		}
	})
	c.t.Cleanup(func() {
		stop()
		p.done.Wait()
	})
	return p
}

func (p *publisher) try(c *client, room, data string) bool {
	ctx, cancel := soon(context.Background())
	defer cancel()
	r, err := c.do(ctx, http.MethodPost, messagesPath(room), []byte(`{"data":`+data+`}`), "Idempotency-Key", "key-"+data)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.failed[0]++
		return false
	}
	if r.status != http.StatusCreated {
		p.failed[r.status]++
		return false
	}
	p.acked = append(p.acked, data)
	return true
}

func (p *publisher) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.acked)
}

func (p *publisher) failures(status int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed[status]
}

func (p *publisher) end() []string {
	p.stop()
	p.done.Wait()
	return p.acked
}

// published waits until n more messages are acknowledged.
func (p *publisher) more(t *testing.T, n int) {
	t.Helper()
	have := p.count()
	eventually(t, fmt.Sprintf("%d more messages to be acknowledged", n), func() bool { return p.count() >= have+n })
}

func testEngineKilled(t *testing.T, start Factory) {
	target := start(t, Options{Replicas: 2, Configure: bigHistory})
	here, there := target.client(t), newClient(t, target.Replicas[1].URL, target.Token)
	var followers []*follower
	for _, p := range protocols {
		followers = append(followers, there.follow(p, "a", ""))
	}
	pub := here.keepPublishing("a")
	for range 2 {
		pub.more(t, 20)
		before := pub.failures(http.StatusServiceUnavailable)
		target.Engine.Kill(t)
		eventually(t, "publishing to be refused", func() bool { return pub.failures(http.StatusServiceUnavailable) > before })
		r := there.must(http.StatusServiceUnavailable, http.MethodGet, messagesPath("a"), nil)
		if p := r.problem(t); p.Slug() != "engine-unavailable" || r.header.Get("Retry-After") == "" {
			t.Errorf("a poll is refused as %s, Retry-After %q", p.Slug(), r.header.Get("Retry-After"))
		}
		newClient(t, target.Replicas[1].Admin, "").must(http.StatusOK, http.MethodGet, "/readyz", nil)
		target.Engine.Start(t)
	}
	pub.more(t, 20)
	want := pub.end()
	if n := pub.failures(0); n > 0 {
		t.Errorf("%d requests found no plane", n)
	}
	for _, f := range followers {
		f.awaitLast(want[len(want)-1])
		seen := f.history()
		var got []string
		for _, m := range check(t, f.protocol, seen) {
			got = append(got, m.Data)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-acknowledged +seen):\n%s", f.protocol, diff)
		}
		if (f.protocol == sse || f.protocol == socketProto) && f.connections() != 1 {
			t.Errorf("%s connected %d times: it did not stay open", f.protocol, f.connections())
		}
	}
}

func testEngineWiped(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	c.publishN("a", 1, 5)
	var followers []*follower
	for _, p := range gapProtocols {
		followers = append(followers, c.follow(p, "a", ""))
	}
	target.Engine.Kill(t)
	target.Engine.Wipe(t)
	target.Engine.Start(t)
	eventually(t, "publishing to work again", func() bool {
		ctx, cancel := soon(context.Background())
		defer cancel()
		return c.status(ctx, http.MethodPost, messagesPath("a"), `{"data":"new"}`) == http.StatusCreated
	})
	for _, f := range followers {
		f.awaitLast(`"new"`)
		seen := f.history()
		check(t, f.protocol, seen)
		if len(seen) != 2 || seen[0].Gap != "epoch-changed" {
			t.Errorf("%s saw %+v, want a gap and one message", f.protocol, seen)
		}
	}
}

// testSubscriptionsCut breaks only what carries messages from the engine, again
// and again while messages are published: they reach nobody, and no call fails.
func testSubscriptionsCut(t *testing.T, start Factory) {
	target := start(t, Options{Configure: bigHistory})
	cutter, ok := target.Engine.(interface{ CutSubscriptions() error })
	if !ok {
		t.Fatal("the engine's subscriptions cannot be cut")
	}
	c := target.client(t)
	var followers []*follower
	for _, p := range protocols {
		followers = append(followers, c.follow(p, "a", ""))
	}
	ctx, mend := context.WithCancel(context.Background())
	var cutting sync.WaitGroup
	cutting.Go(func() {
		for ctx.Err() == nil {
			if err := cutter.CutSubscriptions(); err != nil {
				t.Errorf("cut the subscriptions: %v", err)
				return
			}
		}
	})
	for i := range 100 {
		c.publish("a", fmt.Sprint(i))
	}
	mend()
	cutting.Wait()
	// Nothing is published any more: the room is quiet, and must resume by itself.
	for _, f := range followers {
		f.awaitLast("99")
		var got []string
		for _, m := range check(t, f.protocol, f.history()) {
			got = append(got, m.Data)
		}
		if diff := cmp.Diff(numbers(0, 99), got); diff != "" {
			t.Errorf("%s (-published +seen):\n%s", f.protocol, diff)
		}
	}
}

func testDrainHandsOver(t *testing.T, start Factory) {
	target := start(t, Options{Replicas: 2, Configure: bigHistory})
	old, next := target.Replicas[0], target.Replicas[1]
	c := newClient(t, old.URL, target.Token)
	var followers []*follower
	for _, p := range protocols {
		f := c.follow(p, "a", "")
		f.turnTo(next.URL)
		followers = append(followers, f)
	}
	pub := newClient(t, next.URL, target.Token).keepPublishing("a")
	pub.more(t, 20)

	ctx, cancel := soon(context.Background())
	defer cancel()
	s, err := c.openSocket(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	events, _, err := c.openEvents(ctx, []string{"quiet"}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer events.close()
	at := c.poll("quiet").Next
	waiting := make(chan Page, 1)
	go func() { waiting <- c.poll("quiet", "since", at, "wait", "60s") }()
	eventually(t, "the poll to wait", func() bool { return target.connections(t, "longpolling") > 0 })

	drained := make(chan error, 1)
	go func() { drained <- old.Drain() }()
	f, err := s.next(ctx)
	if err != nil || f.Type != "reconnect" || f.AfterMs <= 0 {
		t.Errorf("the socket is told %s, %v; want reconnect", f.raw, err)
	}
	if code := s.closeCode(ctx); code != 3001 {
		t.Errorf("the socket was closed with %d, want 3001", code)
	}
	checkDrainedStream(t, events)
	if page := <-waiting; page.Next != at {
		t.Errorf("the waiting poll was answered %+v", page)
	}
	if err := <-drained; err != nil {
		t.Errorf("the drain ended with: %v", err)
	}
	pub.more(t, 20)
	want := pub.end()
	for _, f := range followers {
		f.awaitLast(want[len(want)-1])
		var got []string
		for _, m := range check(t, f.protocol, f.history()) {
			got = append(got, m.Data)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-acknowledged +seen):\n%s", f.protocol, diff)
		}
	}
}

func checkDrainedStream(t *testing.T, events *eventStream) {
	t.Helper()
	for {
		e, err := events.next()
		if err != nil {
			t.Errorf("the stream ended without a close event: %v", err)
			return
		}
		if e.Name == "close" {
			if e.Data != `{"code":3001,"reason":"shutdown"}` || e.Retry == "" {
				t.Errorf("the stream was closed with %+v", e)
			}
			return
		}
	}
}

func testEngineLate(t *testing.T, start Factory) {
	target := start(t, Options{})
	target.Engine.Kill(t)
	r := target.Add(t)
	admin, c := newClient(t, r.Admin, ""), newClient(t, r.URL, target.Token)
	admin.must(http.StatusServiceUnavailable, http.MethodGet, "/readyz", nil)
	admin.must(http.StatusOK, http.MethodGet, "/livez", nil)
	refused := c.must(http.StatusServiceUnavailable, http.MethodPost, messagesPath("a"), []byte(`{"data":1}`))
	if p := refused.problem(t); p.Slug() != "engine-unavailable" || refused.header.Get("Retry-After") == "" {
		t.Errorf("refused as %s", p.Slug())
	}
	target.Engine.Start(t)
	eventually(t, "the plane to be ready", func() bool {
		ctx, cancel := soon(context.Background())
		defer cancel()
		return admin.status(ctx, http.MethodGet, "/readyz", "") == http.StatusOK
	})
	c.publish("a", "1")
}
