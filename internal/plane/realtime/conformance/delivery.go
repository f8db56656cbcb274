package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var deliveryTests = []test{
	{"PollReadsWhatWasPublished", testPoll},
	{"PollAnswers304", testETag},
	{"PollPages", testPaging},
	{"LongPollWakes", testLongPollWakes},
	{"LongPollEndsEmpty", testLongPollEnds},
	{"LongPollLosesNoWakeUp", testLongPollRace},
	{"StreamOfSeveralRooms", testStreamRooms},
	{"SocketCommands", testSocketCommands},
	{"SDKPublishesAndSubscribes", testSDK},
	{"OneMessageOverAllProtocols", testSameMessage},
	{"OneOrderOverAllProtocols", testOneOrder},
	{"ProtocolsThatAreOff", testProtocolsOff},
}

func testPoll(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	empty := c.poll("a")
	if len(empty.Messages) != 0 || empty.Gap || empty.More || empty.Next == "" {
		t.Fatalf("an empty room answers %+v", empty)
	}
	first := c.publish("a", `{"b":[1, 2, "ü"] }`)
	second := c.publish("a", `null`)
	page := c.poll("a", "since", empty.Next)
	if diff := cmp.Diff([]string{first.Position, second.Position}, []string{page.Messages[0].Position, page.Messages[1].Position}); diff != "" {
		t.Errorf("positions (-published +read):\n%s", diff)
	}
	if got := string(page.Messages[0].Data); got != `{"b":[1,2,"ü"]}` {
		t.Errorf("data is %s", got)
	}
	if got := string(page.Messages[1].Data); got != "null" {
		t.Errorf("data is %s", got)
	}
	if page.Next != second.Position {
		t.Errorf("next is %s, want %s", page.Next, second.Position)
	}
	if latest := c.poll("a", "since", "latest"); len(latest.Messages) != 0 || latest.Next != second.Position {
		t.Errorf("since=latest answers %+v", latest)
	}
	if oldest := c.poll("a", "since", "oldest"); len(oldest.Messages) != 2 {
		t.Errorf("since=oldest answers %+v", oldest)
	}
	published, err := time.Parse(time.RFC3339, page.Messages[0].PublishedAt)
	if err != nil || time.Since(published) > time.Minute {
		t.Errorf("publishedAt is %q", page.Messages[0].PublishedAt)
	}
}

func testETag(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	c.publish("a", "1")
	path := messagesPath("a")
	first := c.must(http.StatusOK, http.MethodGet, path, nil)
	tag := first.header.Get("ETag")
	if tag == "" {
		t.Fatal("no ETag")
	}
	for _, given := range []string{tag, "W/" + tag, `"other", ` + tag} {
		r := c.must(http.StatusNotModified, http.MethodGet, path, nil, "If-None-Match", given)
		if len(r.body) != 0 || r.header.Get("ETag") != tag {
			t.Errorf("304 for %s has body %q and ETag %q", given, r.body, r.header.Get("ETag"))
		}
	}
	c.must(http.StatusOK, http.MethodGet, path, nil, "If-None-Match", `"other"`)
	c.publish("a", "2")
	second := c.must(http.StatusOK, http.MethodGet, path, nil, "If-None-Match", tag)
	if second.header.Get("ETag") == tag {
		t.Error("the ETag did not change with the content")
	}
}

func testPaging(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	c.publishN("a", 1, 25)
	var got []string
	since := "oldest"
	for range 10 {
		page := c.poll("a", "since", since, "limit", "10")
		for _, m := range page.Messages {
			got = append(got, string(m.Data))
		}
		since = page.Next
		if !page.More {
			break
		}
	}
	if diff := cmp.Diff(numbers(1, 25), got); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
}

func numbers(from, to int) []string {
	var out []string
	for i := from; i <= to; i++ {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

func testLongPollWakes(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	at := c.poll("a").Next
	woken := make(chan Page, 1)
	go func() { woken <- c.poll("a", "since", at, "wait", "30s") }()
	eventually(t, "the poll to wait", func() bool { return target.connections(t, "longpolling") == 1 })
	want := c.publish("a", "7")
	page := <-woken
	if len(page.Messages) != 1 || page.Messages[0].Position != want.Position || page.Next != want.Position {
		t.Errorf("woken with %+v", page)
	}
	eventually(t, "the poll to be gone", func() bool { return target.connections(t, "longpolling") == 0 })
}

func testLongPollEnds(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	at := c.publish("a", "1").Position
	page := c.poll("a", "since", at, "wait", "20ms")
	if len(page.Messages) != 0 || page.Next != at || page.Gap {
		t.Errorf("the end of the wait answers %+v", page)
	}
	if page = c.poll("a", "since", "oldest", "wait", "30s"); len(page.Messages) != 1 {
		t.Errorf("a poll that has an answer waited: %+v", page)
	}
}

// testLongPollRace publishes while polls begin to wait, at every possible moment.
func testLongPollRace(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	since := c.poll("a").Next
	for i := range 200 {
		var publish sync.WaitGroup
		publish.Go(func() { c.publish("a", fmt.Sprint(i)) })
		ctx, cancel := soon(context.Background())
		r, err := c.do(ctx, http.MethodGet, messagesPath("a", "since", since, "wait", "60s"), nil)
		cancel()
		publish.Wait()
		if err != nil {
			t.Fatalf("round %d: the wake-up was lost: %v", i, err)
		}
		page := decode[Page](t, r.body)
		if len(page.Messages) != 1 || string(page.Messages[0].Data) != fmt.Sprint(i) {
			t.Fatalf("round %d: answered %+v", i, page)
		}
		since = page.Next
	}
}

func testStreamRooms(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	c.publish("a", `"before"`)
	ctx, cancel := soon(context.Background())
	defer cancel()
	s, r, err := c.openEvents(ctx, []string{"a", "b", "a"}, "", "")
	if err != nil || s == nil {
		t.Fatalf("open: %v %s", err, r.body)
	}
	ready, err := s.nextNamed()
	if err != nil || ready.Name != "ready" || strings.Count(ready.ID, "=") != 2 {
		t.Fatalf("the first event is %+v, %v", ready, err)
	}
	a, b := c.publish("a", "1"), c.publish("b", "2")
	ids := map[string]bool{}
	var last serverEvent
	for range 2 {
		if last, err = s.nextNamed(); err != nil {
			t.Fatal(err)
		}
		m := decode[Message](t, []byte(last.Data))
		ids[m.Position] = true
	}
	if !ids[a.Position] || !ids[b.Position] {
		t.Errorf("saw %v, want %s and %s", ids, a.Position, b.Position)
	}
	s.close()

	// The last id resumes in both rooms; what came meanwhile is all that comes.
	a, b = c.publish("a", "3"), c.publish("b", "4")
	for _, how := range []string{"header", "query"} {
		since, lastID := "", last.ID
		if how == "query" {
			since, lastID = last.ID, ""
		}
		s, _, err = c.openEvents(ctx, []string{"a", "b"}, since, lastID)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for len(got) < 2 {
			e, err := s.nextNamed()
			if err != nil {
				t.Fatal(err)
			}
			if e.Name == "" {
				m := decode[Message](t, []byte(e.Data))
				got[m.Room] = m.Position
			}
		}
		s.close()
		if diff := cmp.Diff(map[string]string{"a": a.Position, "b": b.Position}, got); diff != "" {
			t.Errorf("resumed by %s (-want +got):\n%s", how, diff)
		}
	}
}

func testSocketCommands(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	ctx, cancel := soon(context.Background())
	defer cancel()
	s, err := c.openSocket(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	ask := func(text string) socketFrame {
		t.Helper()
		if err := s.send(ctx, text); err != nil {
			t.Fatal(err)
		}
		f, err := s.next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	type answer struct {
		Type string
		ID   uint64
		Room string
		Slug string
	}
	is := func(f socketFrame) answer {
		a := answer{Type: f.Type, ID: f.ID, Room: f.Room}
		if f.Type == "error" {
			a.Slug = f.Problem.Slug()
		}
		return a
	}
	for _, step := range []struct {
		send string
		want answer
	}{
		{`{"id":1,"type":"ping"}`, answer{Type: "pong", ID: 1}},
		{`{"type":"ping"}`, answer{Type: "pong"}},
		{`{"id":2,"type":"subscribe","room":"a"}`, answer{Type: "subscribed", ID: 2, Room: "a"}},
		{`{"id":3,"type":"subscribe","room":"a"}`, answer{Type: "error", ID: 3, Room: "a", Slug: "already-subscribed"}},
		{`{"id":4,"type":"unsubscribe","room":"b"}`, answer{Type: "error", ID: 4, Room: "b", Slug: "not-subscribed"}},
		{`{"id":5,"type":"unsubscribe","room":"a"}`, answer{Type: "unsubscribed", ID: 5, Room: "a"}},
		{`{"id":6,"type":"publish","room":"a","data":{"n":1},"idempotencyKey":"k"}`, answer{Type: "published", ID: 6, Room: "a"}},
		{`{"id":7,"type":"subscribe","room":"a","since":"oldest"}`, answer{Type: "subscribed", ID: 7, Room: "a"}},
		{``, answer{Type: "message", Room: "a"}},
		{`{"id":8,"type":"publish","room":"a","data":{"n":1},"idempotencyKey":"k"}`, answer{Type: "published", ID: 8, Room: "a"}},
		{`{"id":9,"type":"unsubscribe","room":"a"}`, answer{Type: "unsubscribed", ID: 9, Room: "a"}},
		{`{"id":10,"type":"subscribe","room":"a","since":"nonsense"}`, answer{Type: "error", ID: 10, Room: "a", Slug: "invalid-position"}},
		{`{"id":11,"type":"subscribe","room":"../b"}`, answer{Type: "error", ID: 11, Slug: "invalid-room"}},
		{`{"id":12,"type":"publish","room":"a"}`, answer{Type: "error", ID: 12, Room: "a", Slug: "invalid-request"}},
		{`{"id":13,"type":"fly"}`, answer{Type: "error", ID: 13, Slug: "invalid-request"}},
		{`{"id":14,"type":"ping","extra":1}`, answer{Type: "error", ID: 14, Slug: "invalid-request"}},
	} {
		var got socketFrame
		if step.send == "" {
			if got, err = s.next(ctx); err != nil {
				t.Fatal(err)
			}
		} else {
			got = ask(step.send)
		}
		if diff := cmp.Diff(step.want, is(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s%s", step.send, diff, got.raw)
		}
	}
}

func testSDK(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	ctx, cancel := soon(context.Background())
	defer cancel()
	s, r, err := c.openSDK(ctx)
	if err != nil || r.Error != nil || r.Connect == nil {
		t.Fatalf("connect: %v %+v", err, r)
	}
	defer s.close()
	at := c.publish("a", "1").Position
	c.publish("a", "2")
	if err := s.subscribe(ctx, "a", at); err != nil {
		t.Fatal(err)
	}
	if r, err = s.next(ctx); err != nil || r.Subscribe == nil || !r.Subscribe.Recovered || len(r.Subscribe.Publications) != 1 {
		t.Fatalf("subscribe with recovery: %v %+v", err, r)
	}
	if err := s.send(ctx, map[string]any{"id": 3, "publish": map[string]any{"channel": "a", "data": map[string]int{"n": 3}}}); err != nil {
		t.Fatal(err)
	}
	var published, pushed bool
	for !published || !pushed {
		r, err := s.next(ctx)
		if err != nil || r.Error != nil {
			t.Fatalf("publish: %v %+v", err, r)
		}
		published = published || r.Publish != nil
		pushed = pushed || r.Push != nil && r.Push.Pub != nil && string(r.Push.Pub.Data) == `{"n":3}`
	}
	if page := c.poll("a"); len(page.Messages) != 3 {
		t.Errorf("the room holds %+v", page.Messages)
	}
}

// testSameMessage reads one message over each protocol and compares it byte by byte.
func testSameMessage(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	c.publish("a", `{"text":"<b>\u2028 \"q\" \\ ü 😀</b>","n":1.50,"deep":[[[{}]]]}`)
	page := decode[struct{ Messages []json.RawMessage }](t, c.must(http.StatusOK, http.MethodGet, messagesPath("a"), nil).body)
	want := string(page.Messages[0])

	ctx, cancel := soon(context.Background())
	defer cancel()
	s, _, err := c.openEvents(ctx, []string{"a"}, "oldest", "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	var event serverEvent
	for event.Name = "ready"; event.Name != ""; {
		if event, err = s.nextNamed(); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, event.Data); diff != "" {
		t.Errorf("over SSE (-poll +event):\n%s", diff)
	}
	ws, err := c.openSocket(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.close()
	if err := ws.send(ctx, `{"type":"subscribe","room":"a","since":"oldest"}`); err != nil {
		t.Fatal(err)
	}
	var f socketFrame
	for f.Type != "message" {
		if f, err = ws.next(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(strings.Replace(want, "{", `{"type":"message",`, 1), f.raw); diff != "" {
		t.Errorf("over WebSocket (-poll +frame):\n%s", diff)
	}
	if !json.Valid([]byte(want)) {
		t.Errorf("not valid JSON: %s", want)
	}
}

// testOneOrder has publishers compete, and all followers agree on the outcome.
func testOneOrder(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	var followers []*follower
	for _, p := range protocols {
		followers = append(followers, c.follow(p, "a", ""))
	}
	const publishers, each = 4, 30
	var publish sync.WaitGroup
	for p := range publishers {
		publish.Go(func() {
			for i := range each {
				c.publish("a", fmt.Sprintf(`"%d/%d"`, p, i))
			}
		})
	}
	publish.Wait()
	var want []Seen
	for _, m := range c.poll("a", "limit", "1000").Messages {
		want = append(want, Seen{Position: m.Position, Offset: m.Offset, Data: string(m.Data)})
	}
	if len(want) != publishers*each {
		t.Fatalf("the room holds %d messages, want %d", len(want), publishers*each)
	}
	for _, f := range followers {
		f.awaitCount(len(want))
		sameOrder(t, want, check(t, f.protocol, f.history()), f.protocol)
	}
}

func testProtocolsOff(t *testing.T, start Factory) {
	paths := map[string]string{
		polling:     messagesPath("a"),
		longPolling: messagesPath("a", "wait", "1s"),
		sse:         "/v1/stream?room=a",
		socketProto: "/v1/ws",
		centrifuge:  "/connection/websocket",
	}
	for only, paths := range map[string]map[string]string{
		polling:     {longPolling: paths[longPolling], sse: paths[sse], socketProto: paths[socketProto], centrifuge: paths[centrifuge]},
		socketProto: {polling: paths[polling], longPolling: paths[longPolling], sse: paths[sse]},
	} {
		c := start(t, Options{Configure: only1(only)}).client(t)
		for name, path := range paths {
			p := c.must(http.StatusForbidden, http.MethodGet, path, nil).problem(t)
			if p.Slug() != "protocol-disabled" {
				t.Errorf("only %s: %s is refused as %s", only, name, p.Slug())
			}
		}
		c.publish("a", "1")
	}
}
