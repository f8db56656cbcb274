package conformance

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// narrow is a client whose connections take little before they are full.
func (c *client) narrow() *client {
	dialer := net.Dialer{}
	tr := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, addr)
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(64 << 10)
		}
		return conn, err
	}}
	c.t.Cleanup(tr.CloseIdleConnections)
	return &client{t: c.t, base: c.base, token: c.token, http: &http.Client{Transport: tr}}
}

// testSlow leaves a client of each protocol unread while more is published than
// may wait for it. It is cut, told why if that gets through, and nobody else waits.
func testSlow(t *testing.T, start Factory) {
	target := start(t, Options{Configure: func(c *planeconfig.Config) {
		c.Realtime.Limits.QueueBytes = 64 << 10
		c.Realtime.Limits.MessageBytes = 64 << 10
		// The quick one may be cut as well where the machine stalls, and resumes.
		c.Realtime.History.Size = 1000
	}})
	c := target.client(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	s, err := c.narrow().openSocket(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.send(ctx, `{"type":"subscribe","room":"a"}`); err != nil {
		t.Fatal(err)
	}
	if f, err := s.next(ctx); err != nil || f.Type != "subscribed" {
		t.Fatalf("subscribe: %v %s", err, f.raw)
	}
	events, _, err := c.narrow().openEvents(ctx, []string{"a"}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer events.close()
	if e, err := events.nextNamed(); err != nil || e.Name != "ready" {
		t.Fatalf("the stream begins with %+v, %v", e, err)
	}
	client, _, err := c.narrow().openSDK(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer client.close()
	if err := client.subscribe(ctx, "a", ""); err != nil {
		t.Fatal(err)
	}
	if r, err := client.next(ctx); err != nil || r.Subscribe == nil {
		t.Fatalf("subscribe: %v %+v", err, r)
	}

	quick := c.follow(socketProto, "a", "")
	data, err := json.Marshal(strings.Repeat("x", 60<<10))
	if err != nil {
		t.Fatal(err)
	}
	// More than the kernel takes for a connection, and the queue.
	const published = 200
	for range published {
		c.publish("a", string(data))
	}
	c.publish("a", `"end"`)
	eventually(t, "clients that read nothing to be cut", func() bool {
		open := c.stats().Total.Connections
		return open["websocket"] == 1 && open["sse"] == 0 && open["centrifuge"] == 0
	})
	quick.awaitLast(`"end"`)
	if got := len(check(t, "the quick one", quick.history())); got != published+1 {
		t.Errorf("a client that reads saw %d messages, want %d", got, published+1)
	}
	if code := s.closeCode(ctx); code != 3008 && code != -1 {
		t.Errorf("the slow socket was closed with %d, want 3008, or a broken connection", code)
	}
	for err == nil {
		_, err = client.next(ctx)
	}
	if code := websocket.CloseStatus(err); code != 3008 && code != -1 {
		t.Errorf("the slow SDK was closed with %d, want 3008, or a broken connection", code)
	}
	for {
		e, err := events.next()
		if err != nil {
			break
		}
		if e.Name == "close" && !strings.Contains(e.Data, "3008") {
			t.Errorf("the slow stream was closed with %s", e.Data)
		}
	}
}
