package conformance

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

var resumeTests = []test{
	{"ResumeMissesNothing", testResume},
	{"ResumeFromAnEmptyRoom", testResumeEmpty},
	{"ResumeOverManyPages", testResumeLong},
	{"GapWhenTheWindowIsExceeded", testGapWindow},
	{"GapWhenTheHistoryHasExpired", testGapExpired},
	{"GapWhenTheEpochIsAnother", testGapEpoch},
	{"GapWhenThePositionIsAhead", testGapAhead},
	{"ResumeAcrossProtocols", testResumeAcross},
}

func only1(protocol string) func(*planeconfig.Config) {
	return func(c *planeconfig.Config) { c.Realtime.Protocols = []string{protocol} }
}

// testResume cuts connections at random while messages are published. What the
// followers saw must be the room's order, whole.
func testResume(t *testing.T, start Factory) {
	c := start(t, Options{Configure: func(c *planeconfig.Config) { c.Realtime.History.Size = 5000 }}).client(t)
	var followers []*follower
	for _, p := range protocols {
		followers = append(followers, c.follow(p, "a", ""))
	}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a fixed sequence, so that a failure can be repeated
	const n = 600
	for i := range n {
		c.publish("a", fmt.Sprint(i))
		if random.IntN(6) == 0 {
			followers[random.IntN(len(followers))].cut()
		}
		if i%100 == 99 {
			for _, f := range followers {
				f.cutAndAwait()
			}
		}
	}
	for _, f := range followers {
		f.awaitLast(fmt.Sprint(n - 1))
		var got []string
		for _, m := range check(t, f.protocol, f.history()) {
			got = append(got, m.Data)
		}
		if diff := cmp.Diff(numbers(0, n-1), got); diff != "" {
			t.Errorf("%s (-published +seen):\n%s", f.protocol, diff)
		}
		if f.protocol != polling && f.connections() < 5 {
			t.Errorf("%s connected %d times: the test cut nothing", f.protocol, f.connections())
		}
	}
}

// testResumeEmpty takes the position of a room without messages, and resumes from it.
func testResumeEmpty(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	for _, p := range protocols {
		t.Run(p, func(t *testing.T) {
			c := newClient(t, c.base, c.token)
			room := "empty-" + p
			f := c.follow(p, room, "")
			at := f.at()
			f.end()
			c.publish(room, "1")
			again := c.follow(p, room, at)
			again.awaitLast("1")
			if got := check(t, p, again.history()); len(got) != 1 || len(again.history()) != 1 {
				t.Errorf("saw %+v", again.history())
			}
		})
	}
}

// testResumeLong resumes over more than fits into a page, or into a client's queue.
func testResumeLong(t *testing.T, start Factory) {
	const n = 1500
	c := start(t, Options{Configure: func(c *planeconfig.Config) {
		c.Realtime.History.Size = 2 * n
		c.Realtime.Limits.MessageBytes = 1 << 10
		c.Realtime.Limits.QueueBytes = 1 << 10
	}}).client(t)
	at := c.poll("a").Next
	c.publishN("a", 1, n)
	for _, p := range protocols {
		f := c.follow(p, "a", at)
		f.awaitLast(fmt.Sprint(n))
		var got []string
		for _, m := range check(t, p, f.history()) {
			got = append(got, m.Data)
		}
		if diff := cmp.Diff(numbers(1, n), got); diff != "" {
			t.Errorf("%s (-published +seen):\n%s", p, diff)
		}
		if !strings.Contains(p, "olling") && f.connections() != 1 {
			t.Errorf("%s connected %d times: the recovery did not fit through the client's queue", p, f.connections())
		}
		f.end()
	}
}

// wantGap follows from since, and wants one gap of the reason first.
func wantGap(t *testing.T, c *client, p, room, since, reason string, then []string) {
	t.Helper()
	f := c.follow(p, room, since)
	if len(then) > 0 {
		f.awaitLast(then[len(then)-1])
	} else {
		eventually(t, p+" to announce the gap", func() bool { return len(f.history()) > 0 })
	}
	seen := f.history()
	f.end()
	if p == centrifuge {
		reason = "not recovered"
		// An SDK is not given what is left of the history; it goes on with what is new.
		then = nil
	}
	if len(seen) == 0 || seen[0].Gap != reason {
		t.Fatalf("%s: the first event is not the gap %q: %+v", p, reason, seen[:min(1, len(seen))])
	}
	var got []string
	for _, m := range check(t, p, seen) {
		got = append(got, m.Data)
	}
	if diff := cmp.Diff(then, got); diff != "" {
		t.Errorf("%s after the gap (-want +got):\n%s", p, diff)
	}
}

// gapProtocols are those that are told the reason, and given what is left.
var gapProtocols = slices.DeleteFunc(slices.Clone(protocols), func(p string) bool { return p == centrifuge })

func testGapWindow(t *testing.T, start Factory) {
	c := start(t, Options{Configure: func(c *planeconfig.Config) { c.Realtime.History.Size = 10 }}).client(t)
	at := c.publish("a", "0").Position
	c.publishN("a", 1, 30)
	for _, p := range gapProtocols {
		wantGap(t, c, p, "a", at, "window-exceeded", numbers(21, 30))
	}
	wantGap(t, c, centrifuge, "a", at, "", nil)
	// One message inside the window is no gap.
	page := c.poll("a", "since", "oldest", "limit", "1")
	for _, p := range protocols {
		f := c.follow(p, "a", page.Next)
		f.awaitLast("30")
		if got := f.history(); len(got) != 9 || got[0].Gap != "" {
			t.Errorf("%s inside the window: %+v", p, got)
		}
		f.end()
	}
}

func testGapExpired(t *testing.T, start Factory) {
	c := start(t, Options{Configure: func(c *planeconfig.Config) { c.Realtime.History.TTL = planeconfig.Duration(time.Second) }}).client(t)
	at := c.publish("a", "1").Position
	last := c.publish("a", "2").Position
	eventually(t, "the history to expire", func() bool { return len(c.poll("a").Messages) == 0 })
	for _, p := range gapProtocols {
		wantGap(t, c, p, "a", at, "window-exceeded", nil)
	}
	for _, p := range protocols {
		f := c.follow(p, "a", last)
		if got := f.history(); len(got) != 0 {
			t.Errorf("%s: nothing was missed, and yet %+v", p, got)
		}
		f.end()
	}
}

func testGapEpoch(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	c.publishN("a", 1, 3)
	for _, p := range gapProtocols {
		wantGap(t, c, p, "a", "anotherEpoch:2", "epoch-changed", numbers(1, 3))
	}
	wantGap(t, c, centrifuge, "a", "anotherEpoch:2", "", nil)
}

func testGapAhead(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	c.publishN("a", 1, 3)
	var epoch string
	if _, err := fmt.Sscanf(c.poll("a").Next, "%8s", &epoch); err != nil {
		t.Fatal(err)
	}
	for _, p := range gapProtocols {
		wantGap(t, c, p, "a", epoch+":99", "position-ahead", numbers(1, 3))
	}
	wantGap(t, c, centrifuge, "a", epoch+":99", "", nil)
}

// testResumeAcross takes the position from each protocol to the next.
func testResumeAcross(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	at := c.poll("a").Next
	for i := range 15 {
		p := protocols[i%len(protocols)]
		c.publish("a", fmt.Sprint(i))
		f := c.follow(p, "a", at)
		f.awaitLast(fmt.Sprint(i))
		if got := f.history(); len(got) != 1 {
			t.Fatalf("%s saw %+v", p, got)
		}
		at = f.at()
		f.end()
	}
	ctx, cancel := soon(context.Background())
	defer cancel()
	s, _, err := c.openEvents(ctx, []string{"a"}, at, "")
	if err != nil || s == nil {
		t.Fatalf("a stream of one room does not take a position: %v", err)
	}
	s.close()
}
