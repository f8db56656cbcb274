package conformance

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"

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
	slow := openSlow(ctx, t, c)
	defer slow.close()

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
	for _, protocol := range []string{"websocket", "sse", "centrifuge"} {
		// The queue is full, or a write takes too long: whichever comes first.
		eventually(t, "the cut over "+protocol+" to be counted", func() bool {
			n := target.metric(t, "trellis_realtime_slow_consumers_total", `protocol="`+protocol+`"`)
			return n == 1 || n > 1 && protocol == "websocket" && quick.connections() > 1
		})
	}
	quick.awaitLast(`"end"`)
	if got := len(check(t, "the quick one", quick.history())); got != published+1 {
		t.Errorf("a client that reads saw %d messages, want %d", got, published+1)
	}
	slow.checkEnds(ctx, t)
}

// unread are clients that follow room a, one of each protocol that is held open.
type unread struct {
	socket *socket
	events *eventStream
	sdk    *sdk
}

func openSlow(ctx context.Context, t *testing.T, c *client) *unread {
	t.Helper()
	var u unread
	var err error
	if u.socket, err = c.narrow().openSocket(ctx); err != nil {
		t.Fatal(err)
	}
	if err := u.socket.send(ctx, `{"type":"subscribe","room":"a"}`); err != nil {
		t.Fatal(err)
	}
	if f, err := u.socket.next(ctx); err != nil || f.Type != "subscribed" {
		t.Fatalf("subscribe: %v %s", err, f.raw)
	}
	if u.events, _, err = c.narrow().openEvents(ctx, []string{"a"}, "", ""); err != nil || u.events == nil {
		t.Fatalf("open a stream: %v", err)
	}
	if e, err := u.events.nextNamed(); err != nil || e.Name != "ready" {
		t.Fatalf("the stream begins with %+v, %v", e, err)
	}
	if u.sdk, _, err = c.narrow().openSDK(ctx); err != nil {
		t.Fatal(err)
	}
	if err := u.sdk.subscribe(ctx, "a", ""); err != nil {
		t.Fatal(err)
	}
	if r, err := u.sdk.next(ctx); err != nil || r.Subscribe == nil {
		t.Fatalf("subscribe: %v %+v", err, r)
	}
	return &u
}

func (u *unread) close() {
	u.socket.close()
	u.events.close()
	u.sdk.close()
}

// checkEnds reads at last. What is said of the end is true, if it got through.
func (u *unread) checkEnds(ctx context.Context, t *testing.T) {
	t.Helper()
	if code := u.socket.closeCode(ctx); code != 3008 && code != -1 {
		t.Errorf("the slow socket was closed with %d, want 3008, or a broken connection", code)
	}
	if code := u.sdk.closeCode(ctx); code != 3008 && code != -1 {
		t.Errorf("the slow SDK was closed with %d, want 3008, or a broken connection", code)
	}
	for {
		e, err := u.events.next()
		if err != nil {
			return
		}
		if e.Name == "close" && !strings.Contains(e.Data, "3008") {
			t.Errorf("the slow stream was closed with %s", e.Data)
		}
	}
}
