package conformance

import (
	"context"
	"encoding/json"
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

// testSDKLimits holds the Centrifuge protocol to the same limits, in its words.
func testSDKLimits(t *testing.T, start Factory) {
	c := start(t, Options{Configure: limits(func(l *planeconfig.Limits) { l.RoomsPerConnection, l.PublishPerSecond = 2, 3 })}).client(t)
	ann := c.with(c.mint("ann", "subscribe,publish", "*"))
	ctx, cancel := soon(context.Background())
	defer cancel()
	s, _, err := ann.openSDK(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	code := func(command map[string]any) int {
		t.Helper()
		command["id"] = 2
		if err := s.send(ctx, command); err != nil {
			t.Fatal(err)
		}
		for {
			r, err := s.next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case r.Push != nil:
			case r.Error != nil:
				return r.Error.Code
			default:
				return 0
			}
		}
	}
	subscribe := func(room string) map[string]any { return map[string]any{"subscribe": map[string]any{"channel": room}} }
	publish := func(data any) map[string]any {
		return map[string]any{"publish": map[string]any{"channel": "a", "data": data}}
	}
	for _, step := range []struct {
		what    string
		command map[string]any
		want    int
	}{
		{"a room", subscribe("a"), 0},
		{"a second", subscribe("b"), 0},
		{"one too many", subscribe("c"), 106},
		{"to leave one", map[string]any{"unsubscribe": map[string]any{"channel": "a"}}, 0},
		{"its place", subscribe("c"), 0},
		{"a name that is none", subscribe("a/b"), 103},
		{"a message", publish(1), 0},
		{"a large one", publish(strings.Repeat("x", MessageBytes)), http.StatusRequestEntityTooLarge},
	} {
		if got := code(step.command); got != step.want {
			t.Errorf("%s is answered with code %d, want %d", step.what, got, step.want)
		}
	}
	// In one frame, so that they come together, however slow the machine is.
	one, err := json.Marshal(publish(1))
	if err != nil {
		t.Fatal(err)
	}
	const many = 50
	if err := s.ws.Write(ctx, websocket.MessageText, []byte(strings.Repeat(`{"id":2,`+string(one[1:])+"\n", many))); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for answers := 0; answers < many; {
		r, err := s.next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if r.Push == nil {
			answers++
		}
		if r.Error != nil && r.Error.Code != 111 {
			t.Errorf("a message beyond the rate is answered with code %d, want 111", r.Error.Code)
		}
		if r.Error != nil {
			refused++
		}
	}
	if refused == 0 {
		t.Errorf("%d messages at once were not too many", many)
	}
	// The server may end the connection, and the write fail, before all of it is sent.
	_ = s.send(ctx, publish(strings.Repeat("x", 3*MessageBytes)))
	if got := s.closeCode(ctx); got != 1009 {
		t.Errorf("a frame beyond the limit ended the connection with %d, want 1009", got)
	}
}
