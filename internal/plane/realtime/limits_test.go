package realtime

import (
	"net/http"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

func TestPublishersAreHeldToTheirRate(t *testing.T) {
	now := time.Unix(1000, 0)
	p := newPublishers(func() int { return 10 }, func() time.Time { return now })
	for i := range 10 {
		if problem := p.take("ann", 1); problem != nil {
			t.Fatalf("message %d: %v", i, problem)
		}
	}
	problem := p.take("ann", 5)
	if problem == nil || problem.Status != http.StatusTooManyRequests || problem.RetryAfter != 1 {
		t.Errorf("beyond the rate: %+v", problem)
	}
	if p.take("bob", 10) != nil {
		t.Error("another client is held to it too")
	}
	if p.take("", 1000) != nil {
		t.Error("the binding's holder is held to it")
	}
	now = now.Add(500 * time.Millisecond)
	if p.take("ann", 5) != nil || p.take("ann", 1) == nil {
		t.Error("half a second is not worth half of the rate")
	}
	now = now.Add(idlePublisher + time.Second)
	if problem := p.take("carl", 1); problem != nil {
		t.Error(problem)
	}
	if len(p.clients) != 1 {
		t.Errorf("%d clients are remembered, want the last only", len(p.clients))
	}
}

func TestConnectionsAreCounted(t *testing.T) {
	m := newMetrics(plane.NewMetrics(planeconfig.Config{}, "test"))
	c := newConnections(func() planeconfig.Limits { return planeconfig.Limits{Connections: 3, ConnectionsPerClient: 1} }, m)
	one, problem := c.admit("sse")
	if problem != nil || one.of("ann") != nil || one.of("ann") != nil {
		t.Fatal("the first is refused")
	}
	two, _ := c.admit("sse")
	if problem := two.of("ann"); problem == nil || problem.Status != http.StatusTooManyRequests {
		t.Errorf("a second of one client: %v", problem)
	}
	three, _ := c.admit("websocket")
	if _, problem := c.admit("sse"); problem == nil || problem.Status != http.StatusServiceUnavailable {
		t.Errorf("one too many: %v", problem)
	}
	one.close()
	one.close()
	if c.count() != 2 || two.of("ann") != nil {
		t.Errorf("%d are counted, want 2, and ann's place is free", c.count())
	}
	two.close()
	three.close()
	if c.count() != 0 || len(c.client) != 0 {
		t.Errorf("%d are counted at the end, and %v", c.count(), c.client)
	}
}

func TestClientKey(t *testing.T) {
	for _, c := range []struct {
		id   plane.Identity
		addr string
		want string
	}{
		{plane.Identity{Binding: true}, "10.0.0.1:5", ""},
		{plane.Identity{Subject: "ann"}, "10.0.0.1:5", "subject ann"},
		{plane.Identity{}, "10.0.0.1:5", "address 10.0.0.1"},
		{plane.Identity{}, "[::1]:5", "address ::1"},
		{plane.Identity{Subject: ""}, "odd", "address odd"},
	} {
		if got := clientKey(c.id, c.addr); got != c.want {
			t.Errorf("%+v from %s: %q, want %q", c.id, c.addr, got, c.want)
		}
	}
}
