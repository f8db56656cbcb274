//go:build browser

package browser

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/test/browser/chromium"
	"github.com/trellis-dev/trellis/test/browser/sdk"
)

// fromAnywhere lets the page of the SDK in, which is of another origin.
func fromAnywhere(c *planeconfig.Config) { c.HTTP.AllowedOrigins = []string{"*"} }

func (r *replica) socket() string { return "ws://" + r.address + "/connection/websocket" }

// both are the rights to follow a room and to publish there.
var both = map[string]any{"rooms": []string{"lobby"}, "rights": []string{"subscribe", "publish"}}

// follower is a client of the SDK in a test.
type follower struct {
	*sdk.Client
	t *testing.T
}

func follow(t *testing.T, page *sdk.Page, name string, o sdk.Options) follower {
	t.Helper()
	o.Room = "lobby"
	c, err := page.Follow(name, o)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return follower{c, t}
}

// events of one kind, so far.
func (f follower) events(kind string) []sdk.Event {
	all, err := f.Events()
	NewWithT(f.t).Expect(err).NotTo(HaveOccurred())
	var out []sdk.Event
	for _, e := range all {
		if e.Type == kind {
			out = append(out, e)
		}
	}
	return out
}

// await waits for the nth event of a kind, counted from 1.
func (f follower) await(kind string, n int) sdk.Event {
	f.t.Helper()
	NewWithT(f.t).Eventually(func() int { return len(f.events(kind)) }, patience, often).Should(BeNumerically(">=", n), func() string {
		all, err := f.Events()
		return fmt.Sprintf("%s, of %+v (%v)", kind, all, err)
	})
	return f.events(kind)[n-1]
}

// received is the data of all publications, in order, each with its offset.
func (f follower) received() []string {
	var out []string
	for _, e := range f.events("publication") {
		out = append(out, fmt.Sprintf("#%d %s", e.Offset, e.Data))
	}
	return out
}

func (f follower) awaitReceived(want ...string) {
	f.t.Helper()
	NewWithT(f.t).Eventually(f.received, patience, often).Should(Equal(want))
}

// What the documentation shows works as it stands there, but for the position.
func TestDocumentedExample(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	text, err := os.ReadFile("../../docs/patterns/realtimegateway.md")
	g.Expect(err).NotTo(HaveOccurred())
	_, section, _ := strings.Cut(string(text), "\n## Centrifuge SDKs\n")
	code := regexp.MustCompile("(?s)```js\n(.*?)```").FindStringSubmatch(section)
	g.Expect(code).To(HaveLen(2), "the section's example")
	const place = `{epoch: "qWvTjcFk", offset: 2}`
	g.Expect(code[1]).To(ContainSubstring(place))

	for name, tc := range map[string]struct {
		known bool
		first string
	}{
		"inside the window": {true, `show 3`},
		"of another epoch":  {false, `reload`},
	} {
		t.Run(name, func(t *testing.T) {
			gw := inMemory(t)
			gw.change = fromAnywhere
			r := gw.serve(t)
			for n := range 3 {
				r.publish("lobby", n+1)
			}
			page, example := sdk.Open(t, chrome), code[1]
			if tc.known {
				example = strings.Replace(example, "qWvTjcFk", r.epoch("lobby"), 1)
			}
			chromium.Eval[bool](t, page.Tab, fmt.Sprintf(`((url, token) => {
				window.seen = [];
				const show = data => seen.push("show " + JSON.stringify(data)), reload = () => seen.push("reload");
				const getToken = async () => token;
				%s
				return true;
			})(%s, %s)`, example, quote("http://"+r.address), quote(r.mint(both))))
			seen := func() []string { return chromium.Eval[[]string](t, page.Tab, "seen") }
			NewWithT(t).Eventually(seen, patience, often).Should(HaveExactElements(tc.first))
			r.publish("lobby", name)
			NewWithT(t).Eventually(seen, patience, often).Should(HaveExactElements(tc.first, "show "+quote(name)))
		})
	}
}

// The SDK publishes and reads history as far as its token allows.
func TestSDKRights(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	gw := inMemory(t)
	gw.change = fromAnywhere
	r := gw.serve(t)
	page := sdk.Open(t, chrome)
	writer := follow(t, page, "writer", sdk.Options{URL: r.socket(), Token: r.mint(both)})
	reader := follow(t, page, "reader", sdk.Options{URL: r.socket(), Token: r.mint(map[string]any{"rooms": []string{"lobby"}})})
	writer.await("subscribed", 1)
	reader.await("subscribed", 1)

	for _, data := range []string{`{"n":1}`, `"two"`} {
		result, err := writer.Publish(data)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(result.Code).To(BeZero(), result.Reason)
	}
	refused, err := reader.Publish(`3`)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(refused.Code).To(Equal(103), "permission denied: %s", refused.Reason)
	for _, f := range []follower{writer, reader} {
		f.awaitReceived(`#1 {"n":1}`, `#2 "two"`)
	}

	result, err := reader.History(10)
	g.Expect(err).NotTo(HaveOccurred())
	var history struct {
		Publications []struct {
			Offset uint64
			Data   json.RawMessage
		}
		Epoch string
	}
	g.Expect(json.Unmarshal(result.Value, &history)).To(Succeed(), result.Reason)
	g.Expect(history.Epoch).To(Equal(r.epoch("lobby")))
	g.Expect(history.Publications).To(HaveLen(2))
	g.Expect(history.Publications[0].Offset).To(BeEquivalentTo(2), "the newest first, as it was asked for")

	stranger := follow(t, page, "stranger", sdk.Options{URL: r.socket(), Token: r.mint(map[string]any{"rooms": []string{"other"}})})
	g.Expect(stranger.await("unsubscribed", 1).Code).To(Equal(103))
	forger := follow(t, page, "forger", sdk.Options{URL: r.socket(), Token: "a.b.c"})
	g.Expect(forger.await("disconnected", 1).Code).To(Equal(3500))
}

// The SDK sees who is there, over two replicas, where its token gives it the right and the gateway keeps it.
func TestSDKPresence(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	gw := onRedis(t)
	gw.change = func(c *planeconfig.Config) {
		fromAnywhere(c)
		c.Realtime.Presence = true
	}
	r, other := gw.serve(t), gw.serve(t)
	page := sdk.Open(t, chrome)
	ann := follow(t, page, "ann", sdk.Options{URL: r.socket(), Token: r.mint(map[string]any{
		"rooms": []string{"lobby"}, "rights": []string{"subscribe", "presence"}, "subject": "ann"})})
	bob := follow(t, page, "bob", sdk.Options{URL: other.socket(), Token: r.mint(map[string]any{"rooms": []string{"lobby"}, "subject": "bob"})})
	ann.await("subscribed", 1)
	bob.await("subscribed", 1)

	users := func() []string {
		result, err := ann.Presence()
		g.Expect(err).NotTo(HaveOccurred())
		var value struct {
			Clients map[string]struct{ User string }
		}
		g.Expect(json.Unmarshal(result.Value, &value)).To(Succeed(), result.Reason)
		var out []string
		for _, c := range value.Clients {
			out = append(out, c.User)
		}
		return out
	}
	g.Eventually(users, patience, often).Should(ConsistOf("ann", "bob"))
	stats, err := ann.PresenceStats()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(stats.Value)).To(MatchJSON(`{"numClients": 2, "numUsers": 2}`), stats.Reason)
	refused, err := bob.Presence()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(refused.Code).To(Equal(103), "permission denied: %s", refused.Reason)
	g.Expect(bob.Stop()).To(Succeed())
	g.Eventually(users, patience, often).Should(ConsistOf("ann"))
}

// A page that may not use the gateway does not get as far as a token.
func TestSDKOfAnotherOrigin(t *testing.T) {
	t.Parallel()
	r := inMemory(t).serve(t)
	f := follow(t, sdk.Open(t, chrome), "stranger", sdk.Options{URL: r.socket(), Token: r.mint(both)})
	NewWithT(t).Eventually(func() []sdk.Event { return f.events("error") }, patience, often).ShouldNot(BeEmpty())
	NewWithT(t).Expect(f.events("connected")).To(BeEmpty())
	NewWithT(t).Expect(f.Stop()).To(Succeed())
}

// An SDK that can get a new token keeps its connection when the old one ends; one that can not is told so.
func TestSDKRefreshesItsToken(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	gw := inMemory(t)
	gw.change = fromAnywhere
	r := gw.serve(t)
	short := map[string]any{"rooms": []string{"lobby"}, "ttl": "10s", "subject": "42"}
	page := sdk.Open(t, chrome)
	var minted atomic.Int32
	renewing := follow(t, page, "renewing", sdk.Options{URL: r.socket(), Mint: func() (string, error) {
		minted.Add(1)
		return r.tryMint(short)
	}})
	fixed := follow(t, page, "fixed", sdk.Options{URL: r.socket(), Token: r.mint(short)})
	renewing.await("subscribed", 1)
	fixed.await("subscribed", 1)

	// The SDK renews once for the start, and then each time that a token is about to end.
	g.Eventually(minted.Load, patience, often).Should(BeNumerically(">=", 3))
	r.publish("lobby", "still here")
	renewing.awaitReceived(`#1 "still here"`)
	g.Expect(renewing.events("connecting")).To(HaveLen(1), "connected once")
	// Without a way to renew, the connection ends with its token; the next one is refused.
	fixed.await("disconnected", 1)
	g.Expect(fixed.events("publication")).To(BeEmpty())
}

// The replica ends while another takes messages. The SDK comes back and is given what it missed.
func TestSDKRecovers(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{"drained": syscall.SIGTERM, "killed": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			gw := onRedis(t)
			gw.change = fromAnywhere
			r, other := gw.serve(t), gw.serve(t)
			f := follow(t, sdk.Open(t, chrome), "f", sdk.Options{URL: r.socket(), Token: r.mint(both)})
			f.await("subscribed", 1)
			r.publish("lobby", 1)
			f.awaitReceived("#1 1")

			r.process.end(signal)
			if again := f.await("connecting", 2); signal == syscall.SIGTERM {
				g.Expect(again.Code).To(Equal(3001), "%+v", again)
			}
			other.publish("lobby", 2)
			other.publish("lobby", 3)
			r.start()
			f.awaitReceived("#1 1", "#2 2", "#3 3")
			back := f.await("subscribed", 2)
			g.Expect(back.WasRecovering && back.Recovered).To(BeTrue(), "%+v", back)
			r.publish("lobby", 4)
			f.awaitReceived("#1 1", "#2 2", "#3 3", "#4 4")
		})
	}
}

// What is lost is not given, and the SDK is told so: rooms in memory that ended, and more than the window holds.
func TestSDKIsToldOfGaps(t *testing.T) {
	t.Parallel()
	t.Run("the epoch changed", func(t *testing.T) {
		t.Parallel()
		gw := inMemory(t)
		gw.change = fromAnywhere
		r := gw.serve(t)
		f := follow(t, sdk.Open(t, chrome), "f", sdk.Options{URL: r.socket(), Token: r.mint(both)})
		f.await("subscribed", 1)
		r.publish("lobby", 1)
		f.awaitReceived("#1 1")
		r.process.end(syscall.SIGKILL)
		r.start()
		back := f.await("subscribed", 2)
		NewWithT(t).Expect(back.WasRecovering && !back.Recovered).To(BeTrue(), "%+v", back)
		r.publish("lobby", "after")
		f.awaitReceived("#1 1", `#1 "after"`)
	})
	t.Run("the window is exceeded", func(t *testing.T) {
		t.Parallel()
		gw := inMemory(t)
		gw.change = func(c *planeconfig.Config) {
			fromAnywhere(c)
			c.Realtime.History.Size = 2
		}
		r := gw.serve(t)
		for n := range 5 {
			r.publish("lobby", n+1)
		}
		page := sdk.Open(t, chrome)
		for offset, recovered := range map[uint64]bool{2: false, 3: true} {
			f := follow(t, page, fmt.Sprint(offset), sdk.Options{URL: r.socket(), Token: r.mint(both), Since: &sdk.Since{Epoch: r.epoch("lobby"), Offset: offset}})
			got := f.await("subscribed", 1)
			NewWithT(t).Expect(got.WasRecovering).To(BeTrue())
			NewWithT(t).Expect(got.Recovered).To(Equal(recovered), "from %d", offset)
		}
	})
}
