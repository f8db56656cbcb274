//go:build browser

package browser

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"
	. "github.com/onsi/gomega"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/test/browser/chromium"
)

var protocols = []string{"WebSocket", "SSE", "LongPolling", "Polling"}

// page is the page to try rooms, in a tab.
type page struct {
	*chromium.Tab
	t *testing.T
}

// open shows the page of a replica. When the test ends, no script of it may have failed.
func open(t *testing.T, r *replica) *page {
	t.Helper()
	p := &page{Tab: chrome.Open(t, r.page()), t: t}
	t.Cleanup(func() { NewWithT(t).Expect(p.Failures()).To(BeEmpty(), "errors of scripts on the page") })
	return p
}

// fill sets a field.
func (p *page) fill(id, text string) {
	p.t.Helper()
	chromium.Eval[bool](p.t, p.Tab, fmt.Sprintf(`(document.getElementById(%q).value = %s, true)`, id, quote(text)))
}

func (p *page) click(selector string) {
	p.t.Helper()
	p.Do(p.t, chromedp.Click(chromedp.CSS(selector)))
}

// follow connects over a protocol.
func (p *page) follow(protocol, token, rooms string) {
	p.t.Helper()
	p.click(fmt.Sprintf("label:has(input[value=%s])", protocol))
	p.fill("token", token)
	p.fill("rooms", rooms)
	p.click("#start")
}

// state is what the page says of its connection.
func (p *page) state() string {
	return chromium.Eval[string](p.t, p.Tab, `document.getElementById("state").dataset.state`)
}

func (p *page) awaitState(state string) {
	p.t.Helper()
	NewWithT(p.t).Eventually(p.state, patience, often).Should(Equal(state), func() string { return p.log() })
}

func (p *page) log() string { return p.Text(p.t, "log") }

// messages are what the page shows, as room#offset data, the oldest first.
func (p *page) messages() []string {
	return chromium.Eval[[]string](p.t, p.Tab, `[...document.querySelectorAll('#log li[data-kind=message]')].reverse()
		.map(row => row.dataset.room + "#" + row.dataset.offset + " " + row.querySelector("pre").textContent)`)
}

func (p *page) awaitMessages(want ...string) {
	p.t.Helper()
	NewWithT(p.t).Eventually(p.messages, patience, often).Should(Equal(want), func() string { return p.log() })
}

func (p *page) send(room, data string) {
	p.t.Helper()
	p.fill("to", room)
	p.fill("data", data)
	// What the last one ended with must not be taken for this one's.
	chromium.Eval[bool](p.t, p.Tab, `(document.getElementById("published").textContent = "", true)`)
	p.click("#send")
	NewWithT(p.t).Eventually(func() string { return p.Text(p.t, "published") }, patience, often).Should(ContainSubstring("stored as"))
}

// There is no page unless the configuration asks for it.
func TestOffUnlessAsked(t *testing.T) {
	t.Parallel()
	g := inMemory(t)
	g.change = func(c *planeconfig.Config) { c.Realtime.Playground = false }
	resp, err := http.Get(g.serve(t).page())
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	NewWithT(t).Expect(resp.Body.Close()).To(Succeed())
	NewWithT(t).Expect(resp.StatusCode).To(Equal(http.StatusUnauthorized))
}

// What one tab publishes, another sees, whichever protocol it follows by.
func TestOneTabPublishesAnotherSees(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			r := inMemory(t).serve(t)
			token := r.mint(map[string]any{"rooms": []string{"lobby", "news"}, "rights": []string{"subscribe", "publish"}})
			reader, writer := open(t, r), open(t, r)
			reader.follow(protocol, token, "lobby, news")
			reader.awaitState("connected")
			writer.fill("token", token)
			writer.send("lobby", `{"text": "hello"}`)
			writer.send("news", "not JSON")
			writer.send("lobby", "[1, 2]")
			NewWithT(t).Eventually(reader.messages, patience, often).Should(ConsistOf(
				`lobby#1 { "text": "hello" }`, `news#1 "not JSON"`, `lobby#2 [ 1, 2 ]`))
			NewWithT(t).Expect(reader.Text(t, "received")).To(Equal("3"))
			NewWithT(t).Expect(reader.Text(t, "faults")).To(Equal("0"))
			NewWithT(t).Expect(reader.Text(t, "positions")).To(And(ContainSubstring("lobby"), ContainSubstring(":2")))
			reader.click("#stop")
			reader.awaitState("idle")
		})
	}
}

// The replica of the page ends and comes back, and another one takes messages meanwhile.
func TestResumesWithoutLoss(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		for name, signal := range map[string]syscall.Signal{"drained": syscall.SIGTERM, "killed": syscall.SIGKILL} {
			t.Run(protocol+"/"+name, func(t *testing.T) {
				t.Parallel()
				g := onRedis(t)
				r, other := g.serve(t), g.serve(t)
				p := open(t, r)
				p.follow(protocol, bindingToken, "lobby")
				p.awaitState("connected")
				r.publish("lobby", 1)
				p.awaitMessages("lobby#1 1")

				r.process.end(signal)
				p.awaitState("waiting")
				other.publish("lobby", 2)
				other.publish("lobby", 3)
				r.start()
				p.awaitMessages("lobby#1 1", "lobby#2 2", "lobby#3 3")
				p.awaitState("connected")
				r.publish("lobby", 4)
				p.awaitMessages("lobby#1 1", "lobby#2 2", "lobby#3 3", "lobby#4 4")
				for id, want := range map[string]string{"faults": "0", "gaps": "0", "received": "4"} {
					NewWithT(t).Expect(p.Text(t, id)).To(Equal(want), "%s: %s", id, p.log())
				}
				NewWithT(t).Expect(p.Text(t, "reconnects")).NotTo(Equal("0"))
			})
		}
	}
}

// Rooms in memory are lost with the process, and the page says so.
func TestGapIsShown(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			r := inMemory(t).serve(t)
			p := open(t, r)
			p.follow(protocol, bindingToken, "lobby")
			p.awaitState("connected")
			r.publish("lobby", 1)
			p.awaitMessages("lobby#1 1")
			r.process.end(syscall.SIGKILL)
			p.awaitState("waiting")
			r.start()
			NewWithT(t).Eventually(func() string { return p.Text(t, "gaps") }, patience, often).Should(Equal("1"), func() string { return p.log() })
			NewWithT(t).Expect(p.log()).To(ContainSubstring("gap in lobby: epoch-changed"))
			r.publish("lobby", "after")
			p.awaitMessages("lobby#1 1", `lobby#1 "after"`)
			NewWithT(t).Expect(p.Text(t, "faults")).To(Equal("0"))
		})
	}
}

// Who is refused is told why, and nothing tries on.
func TestRefusalsAreExplained(t *testing.T) {
	t.Parallel()
	r := inMemory(t).serve(t)
	other := r.mint(map[string]any{"rooms": []string{"other"}})
	for name, tc := range map[string]struct{ token, rooms, want string }{
		"no token":                        {"", "lobby", "A token is needed (401)"},
		"neither the binding's nor a JWT": {"wrong", "lobby", "The token is not accepted (401)"},
		"a JWT of nobody":                 {"a.b.c", "lobby", "The token is not accepted (401)"},
		"a forged signature":              {other[:strings.LastIndexByte(other, '.')+1] + "AAAA", "other", "The token is not accepted (401)"},
		"another room's":                  {other, "lobby", "(403)"},
		"one room of two":                 {other, "other, lobby", "(403)"},
		"no room's name":                  {bindingToken, "-", "(400)"},
	} {
		for _, protocol := range protocols {
			t.Run(name+"/"+protocol, func(t *testing.T) {
				t.Parallel()
				p := open(t, r)
				p.follow(protocol, tc.token, tc.rooms)
				p.awaitState("refused")
				g := NewWithT(t)
				g.Expect(p.Text(t, "problem")).To(ContainSubstring(tc.want))
				g.Expect(chromium.Eval[bool](t, p.Tab, `document.getElementById("problem").checkVisibility() && !document.getElementById("start").disabled`)).To(BeTrue())
			})
		}
	}
}

// What messages hold is shown and never run.
func TestMarkupIsText(t *testing.T) {
	t.Parallel()
	r := inMemory(t).serve(t)
	p := open(t, r)
	p.follow("WebSocket", bindingToken, "lobby")
	p.awaitState("connected")
	for _, text := range []string{
		`<img src="x" onerror="window.hurt = 1">`, `<script>window.hurt = 1</script>`, `</pre><svg onload=window.hurt=1>`,
		`<iframe srcdoc="<script>parent.hurt = 1</script>"></iframe>`, `javascript:window.hurt=1`, `"><style>*{display:none}</style>`,
	} {
		p.send("lobby", quote(text))
		NewWithT(t).Eventually(p.messages, patience, often).Should(ContainElement(HaveSuffix(" " + quote(text))))
	}
	p.send("lobby", `{"<b>key</b>": "\u0000\u202e"}`)
	g := NewWithT(t)
	g.Eventually(p.messages, patience, often).Should(HaveLen(7))
	g.Expect(chromium.Eval[bool](t, p.Tab, `"hurt" in window`)).To(BeFalse())
	g.Expect(chromium.Eval[int](t, p.Tab, `document.querySelectorAll("#log :not(li, time, span, pre)").length`)).To(BeZero(), "elements made of data")
	// Were it set as markup by mistake, the page's policy would stop it.
	g.Expect(chromium.Eval[string](t, p.Tab, `(() => { try { document.body.innerHTML = "<b>"; return "set" } catch (e) { return e.name } })()`)).To(Equal("TypeError"))
}

// The binding's token opens all rooms: it goes into headers alone, and is kept nowhere.
func TestBindingTokenStaysInThePage(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			r := inMemory(t).serve(t)
			p := open(t, r)
			p.follow(protocol, bindingToken, "lobby")
			p.awaitState("connected")
			p.send("lobby", "1")
			p.awaitMessages("lobby#1 1")
			g := NewWithT(t)
			g.Expect(chromium.Eval[string](t, p.Tab, `JSON.stringify([{...sessionStorage}, {...localStorage}, document.cookie, location.href,
				performance.getEntries().map(e => e.name)])`)).NotTo(ContainSubstring(bindingToken))
			g.Expect(r.log.String()).NotTo(ContainSubstring(bindingToken))
			p.Do(t, chromedp.Reload())
			g.Expect(chromium.Eval[string](t, p.Tab, `document.getElementById("token").value`)).To(BeEmpty())
		})
	}
}

// A client token is kept for the tab, with what was typed, and not for others.
func TestTabRemembers(t *testing.T) {
	t.Parallel()
	r := inMemory(t).serve(t)
	token := r.mint(map[string]any{"rooms": []string{"news"}})
	p := open(t, r)
	p.follow("SSE", token, "news")
	p.awaitState("connected")
	p.Do(t, chromedp.Reload())
	fields := `["token", "rooms"].map(id => document.getElementById(id).value).join(" ") + " " + document.querySelector("[name=protocol]:checked").value`
	g := NewWithT(t)
	g.Expect(chromium.Eval[string](t, p.Tab, fields)).To(Equal(token + " news SSE"))
	g.Expect(chromium.Eval[string](t, open(t, r).Tab, fields)).To(Equal(" lobby WebSocket"))
}

// Every field has a name for those who do not see it, and no asset comes from outside.
func TestPageIsAccessible(t *testing.T) {
	t.Parallel()
	p := open(t, inMemory(t).serve(t))
	g := NewWithT(t)
	g.Expect(chromium.Eval[[]string](t, p.Tab, `[...document.querySelectorAll("input, select, textarea")].filter(e => !e.labels.length).map(e => e.outerHTML)`)).To(BeEmpty())
	g.Expect(chromium.Eval[int](t, p.Tab, `performance.getEntriesByType("resource").filter(e => !e.name.endsWith("/favicon.ico")).length`)).To(BeZero())
	for _, width := range []int64{320, 1280} {
		p.Do(t, chromedp.EmulateViewport(width, 800))
		g.Expect(chromium.Eval[bool](t, p.Tab, `document.documentElement.scrollWidth <= innerWidth`)).To(BeTrue(), "at %d pixels nothing is cut", width)
	}
}
