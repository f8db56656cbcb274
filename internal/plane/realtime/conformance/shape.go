package conformance

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

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
