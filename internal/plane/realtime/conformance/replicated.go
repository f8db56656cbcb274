package conformance

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var replicatedTests = []test{
	{"FailoverAnnouncesEveryLoss", testFailover},
	{"LostTailIsAGap", testLostTail},
	{"PasswordRotatesWithoutLoss", testPasswordRotates},
}

// Lagging is an engine whose replicas can be made to fall behind.
type Lagging interface {
	Engine
	// Freeze stops the replicas until thaw is called.
	Freeze(t *testing.T) (thaw func())
}

// testFailover kills the primary twice while messages are published. Whatever a
// follower did not see is behind a gap that it was told of.
func testFailover(t *testing.T, start Factory) {
	target := start(t, Options{Replicas: 2, Configure: bigHistory})
	here, there := target.client(t), newClient(t, target.Replicas[1].URL, target.Token)
	var followers []*follower
	for _, p := range protocols {
		followers = append(followers, there.follow(p, "a", ""))
	}
	pub := here.publishEvery(2*time.Millisecond, "a")
	for range 2 {
		pub.more(t, 20)
		target.Engine.Kill(t)
		// Only the promoted replica can acknowledge these.
		pub.more(t, 20)
		target.Engine.Start(t)
	}
	pub.more(t, 20)
	acked := pub.end()
	kept := here.pageAll("a")
	for _, f := range followers {
		f.awaitLast(acked[len(acked)-1])
		f.checkReplicated(kept)
	}
}

// testLostTail makes a promotion lose what was acknowledged and delivered, and
// publishes more than was lost before anybody resumes: without a new epoch, the
// offsets would match and messages be missing.
func testLostTail(t *testing.T, start Factory) {
	target := start(t, Options{Replicas: 2, Configure: bigHistory})
	engine, ok := target.Engine.(Lagging)
	if !ok {
		t.Fatal("the engine's replicas cannot be made to fall behind")
	}
	here, there := target.client(t), newClient(t, target.Replicas[1].URL, target.Token)
	var followers []*follower
	for _, p := range protocols {
		followers = append(followers, there.follow(p, "a", ""))
	}
	away := here.follow(polling, "a", "")
	publish := func(from, to int) {
		for i := from; i <= to; i++ {
			here.publishAgain("a", fmt.Sprint(i))
		}
	}
	publish(1, 5)
	thaw := engine.Freeze(t)
	publish(6, 9)
	for _, f := range append(followers, away) {
		f.awaitLast("9")
	}
	away.end()
	engine.Kill(t)
	thaw()
	publish(10, 20)
	kept := here.pageAll("a")
	if slices.ContainsFunc(kept, func(s Seen) bool { return s.Data == "9" }) {
		t.Fatal("nothing was lost: the replicas were not behind")
	}
	followers = append(followers, here.follow(polling, "a", away.at()))
	for _, f := range followers {
		eventually(t, f.protocol+" to be told of a gap", func() bool { return len(f.gaps()) > 0 })
	}
	publish(21, 21)
	kept = here.pageAll("a")
	for _, f := range followers {
		f.awaitLast("21")
		f.checkReplicated(kept)
	}
}

func (f *follower) gaps() []Seen {
	return slices.DeleteFunc(f.history(), func(s Seen) bool { return s.Gap == "" })
}

// checkReplicated holds what a follower saw against the model: in order, nothing
// missing without a gap, and after the last gap all that is kept. An SDK goes on
// with what is new instead.
func (f *follower) checkReplicated(kept []Seen) {
	f.t.Helper()
	seen := f.history()
	check(f.t, f.protocol, seen)
	last := -1
	for i, s := range seen {
		if s.Gap != "" {
			last = i
		}
	}
	if last < 0 {
		f.t.Errorf("%s was told of no gap: %+v", f.protocol, seen)
		return
	}
	seen = seen[last+1:]
	if f.protocol == centrifuge && len(seen) < len(kept) {
		kept = kept[len(kept)-len(seen):]
	}
	if diff := cmp.Diff(kept, seen); diff != "" {
		f.t.Errorf("%s after its last gap (-kept +seen):\n%s", f.protocol, diff)
	}
}

// publishAgain publishes as a careful publisher does: until it is acknowledged.
func (c *client) publishAgain(room, data string) {
	c.t.Helper()
	eventually(c.t, "publishing "+data, func() bool {
		ctx, cancel := soon(context.Background())
		defer cancel()
		r, err := c.do(ctx, http.MethodPost, messagesPath(room), []byte(`{"data":`+data+`}`), "Idempotency-Key", "key-"+data)
		return err == nil && r.status == http.StatusCreated
	})
}

// pageAll reads all that is kept of a room.
func (c *client) pageAll(room string) []Seen {
	c.t.Helper()
	var out []Seen
	for since := "oldest"; ; {
		page := c.poll(room, "since", since)
		for _, m := range page.Messages {
			out = append(out, Seen{Position: m.Position, Offset: m.Offset, Data: string(m.Data)})
		}
		if !page.More {
			return out
		}
		since = page.Next
	}
}
