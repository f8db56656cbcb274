package conformance

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

var limitTests = []test{
	{"Connections", testConnections},
	{"ConnectionsPerClient", testConnectionsPerClient},
	{"RoomsPerConnection", testRooms},
	{"MessageBytes", testMessageBytes},
	{"PublishPerSecond", testRate},
	{"LimitsOfSDKs", testSDKLimits},
	{"SlowConsumersAreCut", testSlow},
}

func limits(change func(*planeconfig.Limits)) func(*planeconfig.Config) {
	return func(c *planeconfig.Config) { change(&c.Realtime.Limits) }
}

func testConnections(t *testing.T, start Factory) {
	target := start(t, Options{Configure: limits(func(l *planeconfig.Limits) { l.Connections = 2 })})
	c := target.client(t)
	ctx, cancel := soon(context.Background())
	defer cancel()
	s, err := c.openSocket(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	sdk, _, err := c.openSDK(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v1/stream?room=a", messagesPath("a", "wait", "10s")} {
		r := c.must(http.StatusServiceUnavailable, http.MethodGet, path, nil)
		if p := r.problem(t); p.Slug() != "too-many-connections" || r.header.Get("Retry-After") == "" {
			t.Errorf("%s: refused as %s, Retry-After %q", path, p.Slug(), r.header.Get("Retry-After"))
		}
	}
	for _, path := range []string{"/v1/ws", "/connection/websocket"} {
		if _, resp, err := c.dial(ctx, path); err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s: opened, or refused by %+v", path, resp)
		}
	}
	c.poll("a")
	sdk.close()
	eventually(t, "the place to be free again", func() bool { return target.connections(t, "centrifuge") == 0 })
	events, _, err := c.openEvents(ctx, []string{"a"}, "", "")
	if err != nil || events == nil {
		t.Fatalf("the place of a closed connection is not free: %v", err)
	}
	events.close()
}

func testConnectionsPerClient(t *testing.T, start Factory) {
	target := start(t, Options{Configure: limits(func(l *planeconfig.Limits) { l.ConnectionsPerClient = 2 })})
	c := target.client(t)
	ann, bob := c.with(c.mint("ann", "subscribe", "*")), c.with(c.mint("bob", "subscribe", "*"))
	ctx, cancel := soon(context.Background())
	defer cancel()
	for range 2 {
		s, err := ann.openSocket(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
	}
	r := ann.must(http.StatusTooManyRequests, http.MethodGet, "/v1/stream?room=a", nil)
	if p := r.problem(t); p.Slug() != "too-many-client-connections" || r.header.Get("Retry-After") == "" {
		t.Errorf("refused as %s", p.Slug())
	}
	if s, _, err := ann.openSDK(ctx); websocket.CloseStatus(err) != 3504 {
		t.Errorf("the SDK's connection: %v, %v; want close code 3504", s, err)
	}
	for _, other := range []*client{bob, c, c} {
		s, err := other.openSocket(ctx)
		if err != nil {
			t.Fatalf("another client is held to the limit: %v", err)
		}
		defer s.close()
	}
}

func testRooms(t *testing.T, start Factory) {
	c := start(t, Options{Configure: limits(func(l *planeconfig.Limits) { l.RoomsPerConnection = 2 })}).client(t)
	p := c.must(http.StatusUnprocessableEntity, http.MethodGet, "/v1/stream?room=a&room=b&room=c", nil).problem(t)
	if p.Slug() != "too-many-rooms" {
		t.Errorf("refused as %s", p.Slug())
	}
	ctx, cancel := soon(context.Background())
	defer cancel()
	s, err := c.openSocket(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	subscribe := func(room string) socketFrame {
		if err := s.send(ctx, `{"id":1,"type":"subscribe","room":"`+room+`"}`); err != nil {
			t.Fatal(err)
		}
		f, err := s.next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, room := range []string{"a", "b"} {
		if f := subscribe(room); f.Type != "subscribed" {
			t.Fatalf("room %s: %s", room, f.raw)
		}
	}
	if f := subscribe("c"); f.Type != "error" || f.Problem.Slug() != "too-many-rooms" {
		t.Errorf("a room too many: %s", f.raw)
	}
	if err := s.send(ctx, `{"id":2,"type":"unsubscribe","room":"a"}`); err != nil {
		t.Fatal(err)
	}
	if f, err := s.next(ctx); err != nil || f.Type != "unsubscribed" {
		t.Fatalf("unsubscribe: %v %s", err, f.raw)
	}
	if f := subscribe("c"); f.Type != "subscribed" {
		t.Errorf("the place of a room that was left is not free: %s", f.raw)
	}
}

func testMessageBytes(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	fits := `"` + strings.Repeat("x", MessageBytes-2) + `"`
	c.publish("a", fits)
	over := `"` + strings.Repeat("x", MessageBytes-1) + `"`
	if p := c.must(http.StatusRequestEntityTooLarge, http.MethodPost, messagesPath("a"), []byte(`{"data":`+over+`}`)).problem(t); p.Slug() != "message-too-large" {
		t.Errorf("refused as %s", p.Slug())
	}
	ctx, cancel := soon(context.Background())
	defer cancel()
	s, err := c.openSocket(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for data, want := range map[string]string{fits: "published", over: "error"} {
		if err := s.send(ctx, `{"id":1,"type":"publish","room":"a","data":`+data+`}`); err != nil {
			t.Fatal(err)
		}
		if f, err := s.next(ctx); err != nil || f.Type != want {
			t.Errorf("%d bytes: %v %.200s, want %s", len(data), err, f.raw, want)
		}
	}
	s.sendLast(ctx, websocket.MessageText, `{"type":"publish","room":"a","data":"`+strings.Repeat("x", 3*MessageBytes)+`"}`)
	if code := s.closeCode(ctx); code != 1009 {
		t.Errorf("a frame beyond the limit ended the socket with %d, want 1009", code)
	}
	if page := c.poll("a"); len(page.Messages) != 2 {
		t.Errorf("the room holds %d messages, want 2", len(page.Messages))
	}
}

func testRate(t *testing.T, start Factory) {
	c := start(t, Options{Configure: limits(func(l *planeconfig.Limits) { l.PublishPerSecond = 5 })}).client(t)
	ann := c.with(c.mint("ann", "publish", "*"))
	// Each takes all that a second allows; they come together, however slow the machine is.
	replies := make(chan reply, 50)
	var publish sync.WaitGroup
	for range cap(replies) {
		publish.Go(func() {
			replies <- ann.try(http.MethodPost, messagesPath("a"), []byte(`{"messages":[`+repeat(`{"data":1}`, 5)+`]}`))
		})
	}
	publish.Wait()
	close(replies)
	var refused *reply
	for r := range replies {
		if r.status != http.StatusCreated {
			refused = &r
		}
	}
	if refused == nil {
		t.Fatal("50 times what a second allows was not too much")
	}
	p := refused.problem(t)
	after, err := strconv.Atoi(refused.header.Get("Retry-After"))
	if refused.status != http.StatusTooManyRequests || p.Slug() != "too-many-messages" || err != nil || after < 1 || after > 2 {
		t.Errorf("refused with %d as %s, Retry-After %q", refused.status, p.Slug(), refused.header.Get("Retry-After"))
	}
	ann.must(http.StatusBadRequest, http.MethodPost, messagesPath("a"), []byte(`{"messages":[`+repeat(`{"data":1}`, 6)+`]}`))
	c.publishN("a", 1, 100)
}
