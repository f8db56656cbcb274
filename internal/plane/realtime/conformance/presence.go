package conformance

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

var presenceTests = []test{
	{"PresenceShowsWhoIsThere", testPresence},
	{"PresenceIsARightOfItsOwn", testPresenceRight},
	{"RoomsInPages", testRoomsInPages},
	{"StatsCount", testStats},
}

func withPresence(c *planeconfig.Config) { c.Realtime.Presence = true }

type presence struct {
	Count, Users int
	More         bool
	Clients      []struct{ Client, Subject, Protocol, Since string }
}

func (c *client) presence(room string) presence {
	c.t.Helper()
	return decode[presence](c.t, c.must(http.StatusOK, http.MethodGet, "/v1/rooms/"+room+"/presence", nil).body)
}

// who is "subject over protocol" of each client, sorted.
func (p presence) who() []string {
	var out []string
	for _, m := range p.Clients {
		out = append(out, m.Subject+" over "+m.Protocol)
	}
	slices.Sort(out)
	return out
}

// join follows a room over a protocol until the returned function is called.
func (c *client) join(ctx context.Context, protocol, room string) func() {
	t := c.t
	t.Helper()
	switch protocol {
	case sse:
		s, _, err := c.openEvents(ctx, []string{room}, "", "")
		if err != nil || s == nil {
			t.Fatalf("open a stream: %v", err)
		}
		if e, err := s.nextNamed(); err != nil || e.Name != "ready" {
			t.Fatalf("the stream begins with %+v, %v", e, err)
		}
		return s.close
	case socketProto:
		s, err := c.openSocket(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.send(ctx, map[string]any{"type": "subscribe", "room": room}); err != nil {
			t.Fatal(err)
		}
		if f, err := s.next(ctx); err != nil || f.Type != "subscribed" {
			t.Fatalf("subscribe: %v %s", err, f.raw)
		}
		return s.close
	}
	s, _, err := c.openSDK(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.subscribe(ctx, room, ""); err != nil {
		t.Fatal(err)
	}
	if r, err := s.next(ctx); err != nil || r.Subscribe == nil {
		t.Fatalf("subscribe: %v %+v", err, r)
	}
	return s.close
}

func testPresence(t *testing.T, start Factory) {
	target := start(t, Options{Configure: withPresence})
	c := target.client(t)
	ann, bob := c.with(c.mint("ann", "subscribe", "*")), c.with(c.mint("bob", "subscribe", "*"))
	ctx, cancel := soon(context.Background())
	defer cancel()
	if p := c.presence("a"); p.Count != 0 || p.Clients == nil {
		t.Errorf("an empty room shows %+v", p)
	}
	leave := ann.join(ctx, sse, "a")
	defer ann.join(ctx, socketProto, "a")()
	defer bob.join(ctx, centrifuge, "a")()
	defer bob.join(ctx, sse, "b")()
	all := []string{"ann over sse", "ann over websocket", "bob over centrifuge"}
	eventually(t, "all to be shown", func() bool { return cmp.Equal(all, c.presence("a").who()) })
	if p := c.presence("a"); p.Count != 3 || p.Users != 2 || p.More || p.Clients[0].Since == "" {
		t.Errorf("the room shows %+v", p)
	}
	p := decode[presence](t, c.must(http.StatusOK, http.MethodGet, "/v1/rooms/a/presence?limit=1", nil).body)
	if p.Count != 3 || len(p.Clients) != 1 || !p.More {
		t.Errorf("a list of one shows %+v", p)
	}
	leave()
	eventually(t, "who left to be gone", func() bool { return cmp.Equal(all[1:], c.presence("a").who()) })
}

func testPresenceRight(t *testing.T, start Factory) {
	off := start(t, Options{}).client(t)
	if p := off.must(http.StatusForbidden, http.MethodGet, "/v1/rooms/a/presence", nil).problem(t); p.Slug() != "presence-disabled" {
		t.Errorf("without presence: refused as %s", p.Slug())
	}
	c := start(t, Options{Configure: withPresence}).client(t)
	ctx, cancel := soon(context.Background())
	defer cancel()
	for rights, want := range map[string]int{"subscribe,publish": http.StatusForbidden, "presence": http.StatusOK, "subscribe,presence": http.StatusOK} {
		token := c.with(c.mint("ann", rights, "a"))
		token.must(want, http.MethodGet, "/v1/rooms/a/presence", nil)
		token.must(http.StatusForbidden, http.MethodGet, "/v1/rooms/b/presence", nil)
		s, _, err := token.openSDK(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		for _, command := range []string{"presence", "presence_stats"} {
			if err := s.send(ctx, map[string]any{"id": 2, command: map[string]any{"channel": "a"}}); err != nil {
				t.Fatal(err)
			}
			if r, err := s.next(ctx); err != nil || (r.Error == nil) != (want == http.StatusOK) {
				t.Errorf("%s with %q by an SDK: %v %+v", command, rights, err, r.Error)
			}
		}
	}
	c.must(http.StatusBadRequest, http.MethodGet, "/v1/rooms/a/presence?limit=1001", nil)
	c.must(http.StatusBadRequest, http.MethodGet, "/v1/rooms/a%20b/presence", nil)
}

type roomList struct {
	Replicas, Missing int
	Next              string
	Rooms             []struct {
		Room        string
		Subscribers int
	}
}

func (c *client) rooms(query string) roomList {
	c.t.Helper()
	return decode[roomList](c.t, c.must(http.StatusOK, http.MethodGet, "/v1/rooms"+query, nil).body)
}

func testRoomsInPages(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	if r := c.rooms(""); r.Rooms == nil || len(r.Rooms) != 0 || r.Replicas != len(target.Replicas) {
		t.Errorf("without rooms: %+v", r)
	}
	ctx, cancel := soon(context.Background())
	defer cancel()
	rooms := make([]string, 25)
	for i := range rooms {
		rooms[i] = fmt.Sprintf("r%02d", i)
	}
	s, _, err := c.openEvents(ctx, append(rooms, "other"), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	defer c.join(ctx, socketProto, "r03")()
	eventually(t, "all rooms to be listed", func() bool { return len(c.rooms("").Rooms) == 26 })
	var got []string
	for cursor := "?limit=10&prefix=r"; ; {
		page := c.rooms(cursor)
		for _, r := range page.Rooms {
			got = append(got, r.Room)
			if want := map[bool]int{true: 2, false: 1}[r.Room == "r03"]; r.Subscribers != want {
				t.Errorf("%s has %d subscribers, want %d", r.Room, r.Subscribers, want)
			}
		}
		if page.Next == "" {
			break
		}
		cursor = "?limit=10&prefix=r&cursor=" + page.Next
	}
	if diff := cmp.Diff(rooms, got); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	for _, query := range []string{"?limit=0", "?limit=1001", "?cursor=/", "?prefix=%00", "?page=2"} {
		c.must(http.StatusBadRequest, http.MethodGet, "/v1/rooms"+query, nil).problem(t)
	}
	ann := c.with(c.mint("ann", "subscribe,publish,presence", "*"))
	for _, path := range []string{"/v1/rooms", "/v1/stats"} {
		if p := ann.must(http.StatusForbidden, http.MethodGet, path, nil).problem(t); p.Slug() != "binding-needed" {
			t.Errorf("%s by a client: refused as %s", path, p.Slug())
		}
	}
}

type counts struct {
	Connections                            map[string]int
	Subscriptions, Published, Delivered    int
	PublishedPerSecond, DeliveredPerSecond float64
}

type stats struct {
	Replicas, Missing int
	Total             counts
	ByReplica         []struct {
		counts
		Replica string
		Rooms   int
	}
}

func (c *client) stats() stats {
	c.t.Helper()
	return decode[stats](c.t, c.must(http.StatusOK, http.MethodGet, "/v1/stats", nil).body)
}

func testStats(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	ctx, cancel := soon(context.Background())
	defer cancel()
	defer c.join(ctx, sse, "a")()
	defer c.join(ctx, socketProto, "a")()
	defer c.join(ctx, centrifuge, "b")()
	c.publishN("a", 1, 10)
	eventually(t, "what was delivered to be counted", func() bool { return c.stats().Total.Delivered == 20 })
	s := c.stats()
	rooms := 0
	for _, r := range s.ByReplica {
		rooms += r.Rooms
	}
	if n := len(target.Replicas); s.Total.Published != 10 || s.Total.Subscriptions != 3 || s.Replicas != n || len(s.ByReplica) != n || rooms != 2 {
		t.Errorf("counted %+v", s)
	}
	if diff := cmp.Diff(map[string]int{"sse": 1, "websocket": 1, "centrifuge": 1}, s.Total.Connections); diff != "" {
		t.Errorf("connections (-want +got):\n%s", diff)
	}
	eventually(t, "the rates to be told", func() bool {
		c.publish("a", "11")
		s := c.stats()
		return s.Total.PublishedPerSecond > 0 && s.Total.DeliveredPerSecond > 0
	})
}

// testReplicasTogether asks one replica about the clients of both.
func testReplicasTogether(t *testing.T, start Factory) {
	target := start(t, Options{Replicas: 2, Configure: withPresence})
	one, two, all := newClient(t, target.Replicas[0].URL, target.Token), newClient(t, target.Replicas[1].URL, target.Token), len(target.Replicas)
	ctx, cancel := soon(context.Background())
	defer cancel()
	defer one.join(ctx, sse, "both")()
	defer two.join(ctx, socketProto, "both")()
	defer two.join(ctx, centrifuge, "second")()
	for _, c := range []*client{one, two} {
		// A replica that answers late is missing; then it is asked again.
		want := map[string]int{"sse": 1, "websocket": 1, "centrifuge": 1}
		eventually(t, "the replicas to count the connections of both", func() bool {
			s := c.stats()
			return s.Replicas == all && s.Missing == 0 && cmp.Equal(want, s.Total.Connections)
		})
		eventually(t, "the replicas to list the rooms of both", func() bool {
			got := map[string]int{}
			for _, r := range c.rooms("").Rooms {
				got[r.Room] = r.Subscribers
			}
			return cmp.Equal(map[string]int{"both": 2, "second": 1}, got)
		})
		eventually(t, "both to be shown", func() bool { return cmp.Equal([]string{" over sse", " over websocket"}, c.presence("both").who()) })
	}
	if err := target.Replicas[1].Drain(); err != nil {
		t.Errorf("the drain ended with: %v", err)
	}
	eventually(t, "the replica that left to be forgotten", func() bool {
		s := one.stats()
		return s.Replicas == all-1 && s.Missing == 0
	})
	eventually(t, "its clients to be gone", func() bool { return cmp.Equal([]string{" over sse"}, one.presence("both").who()) })
	if r := one.rooms(""); len(r.Rooms) != 1 {
		t.Errorf("rooms after it: %+v", r)
	}
}
