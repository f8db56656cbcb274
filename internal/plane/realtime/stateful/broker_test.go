package stateful

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/centrifugal/centrifuge"
	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
)

func all(n int) bool  { return n == 64 }
func some(n int) bool { return n > 0 && n < 64 }

func publish(t *testing.T, b *Broker, room, data string) centrifuge.PublishResult {
	t.Helper()
	res, err := b.Publish(room, []byte(data), withHistory(""))
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// TestLateOwnerAppendsNothing has a replica be paused until another has taken over. Whatever it does next as the owner
// that it takes itself for, it appends nothing, and answers nothing from memory.
func TestLateOwnerAppendsNothing(t *testing.T) {
	t.Parallel()
	socket := startRedis(t)
	late, next := join(t, socket, "late"), join(t, socket, "next")
	owns(t, late, some)
	owns(t, next, some)
	room := roomOf(t, late)
	publish(t, late, room, `"before"`)
	v := late.members.view()
	at := v.owner(room)

	late.members.mu.Lock()
	owns(t, next, all)
	publish(t, next, room, `"after"`)
	for i := range 10 {
		_, err := late.rooms.publish(room, at, []byte(`"late"`), withHistory(fmt.Sprint(i)))
		if !errors.Is(err, errMoved) {
			t.Errorf("the late owner published: %v", err)
		}
	}
	pubs, top, err := late.historyHere(v, at, room, centrifuge.HistoryOptions{Filter: centrifuge.HistoryFilter{Limit: -1}})
	if err != nil || len(pubs) != 2 || top.Offset != 2 {
		t.Errorf("the late owner answers %d messages up to %+v, %v", len(pubs), top, err)
	}
	late.members.mu.Unlock()

	// It learns what it missed, and carries what it is asked to whoever owns the room.
	owns(t, late, some)
	publish(t, late, room, `"at last"`)
	if diff := cmp.Diff([]string{`"before"`, `"after"`, `"at last"`}, logOf(t, next, room)); diff != "" {
		t.Errorf("the room (-want +got):\n%s", diff)
	}
}

// TestLateCallAppendsNothing has a call arrive that its owner has given up, after one that it has made since.
func TestLateCallAppendsNothing(t *testing.T) {
	t.Parallel()
	b := join(t, startRedis(t), "alone")
	first := publish(t, b, "a", "1")
	at := b.members.view().owner("a")
	r, err := b.rooms.room("a", at)
	if err != nil {
		t.Fatal(err)
	}
	publish(t, b, "a", "2")
	status, _, err := b.rooms.append(r, first.StreamPosition, []*appending{{payload: "late"}})
	if status != "changed" || err != nil {
		t.Errorf("a late call is answered %q, %v", status, err)
	}
	if diff := cmp.Diff([]string{"1", "2"}, logOf(t, b, "a")); diff != "" {
		t.Errorf("the room (-want +got):\n%s", diff)
	}
}

// TestLostTable deletes the table: it is made anew, and no fence of the one before is good any more.
func TestLostTable(t *testing.T) {
	t.Parallel()
	b := join(t, startRedis(t), "alone")
	publish(t, b, "a", "1")
	before := b.members.view().owner("a")
	r, err := b.rooms.room("a", before)
	if err != nil {
		t.Fatal(err)
	}
	client := b.opts.Client
	if err := client.Do(t.Context(), client.B().Del().Key(RingKey(testPrefix)).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	publish(t, b, "a", "2")
	at, _ := r.where()
	status, _, err := b.rooms.append(r, at, []*appending{{payload: "late"}})
	if status != "moved" || err != nil {
		t.Errorf("under a fence of the lost table: %q, %v", status, err)
	}
	if after := b.members.view().owner("a"); after.fence == before.fence {
		t.Errorf("the fence is %s as before", after.fence)
	}
	if diff := cmp.Diff([]string{"1", "2"}, logOf(t, b, "a")); diff != "" {
		t.Errorf("the room (-want +got):\n%s", diff)
	}
}

// TestCarriedToTheOwner publishes and reads at a replica that does not own the room.
func TestCarriedToTheOwner(t *testing.T) {
	t.Parallel()
	socket := startRedis(t)
	here, there := join(t, socket, "here"), join(t, socket, "there")
	owns(t, here, some)
	owns(t, there, some)
	room := roomOf(t, there)
	const data = `"<b>&\u2028é"`
	first, err := here.Publish(room, []byte(data), withHistory("k"))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []*Broker{here, there} {
		again, err := b.Publish(room, []byte(data), withHistory("k"))
		if err != nil || !again.Suppressed || again.StreamPosition != first.StreamPosition {
			t.Errorf("the same key again: %+v, %v; want %+v", again, err, first)
		}
	}
	since := first.StreamPosition
	since.Offset--
	for _, b := range []*Broker{here, there} {
		pubs, top, err := b.History(room, centrifuge.HistoryOptions{Filter: centrifuge.HistoryFilter{Since: &since, Limit: 10}})
		if err != nil || top != first.StreamPosition || len(pubs) != 1 || string(pubs[0].Data) != data || pubs[0].Tags["t"] != "1" {
			t.Errorf("read %+v up to %+v, %v", pubs, top, err)
		}
	}
	if diff := cmp.Diff([]string{data}, logOf(t, here, room)); diff != "" {
		t.Errorf("the room (-want +got):\n%s", diff)
	}
}

// TestStrangersAreRefused shows a peer another token.
func TestStrangersAreRefused(t *testing.T) {
	t.Parallel()
	socket := startRedis(t)
	b := join(t, socket, "known")
	for name, tokens := range map[string][]string{"none": {""}, "another": {"another"}} {
		p := newPeers(func() []string { return tokens })
		_, err := p.publish(t.Context(), b.opts.Self.Address, "a", []byte("1"), withHistory(""))
		if !errors.Is(err, errToken) {
			t.Errorf("with %s token: %v", name, err)
		}
		p.close()
	}
	p := newPeers(func() []string { return []string{"newer", testToken} })
	defer p.close()
	if _, err := p.publish(t.Context(), b.opts.Self.Address, "a", []byte("1"), withHistory("")); err != nil {
		t.Errorf("with the token before: %v", err)
	}
}

// TestOrderAtTheOwner publishes much at once, here and there: each publisher's messages are in its order.
func TestOrderAtTheOwner(t *testing.T) {
	t.Parallel()
	socket := startRedis(t)
	change := func(o *Options) { o.HistorySize = 1000 }
	brokers := []*Broker{join(t, socket, "a", change), join(t, socket, "b", change)}
	owns(t, brokers[0], some)
	owns(t, brokers[1], some)
	const publishers, each = 8, 50
	var work sync.WaitGroup
	for i := range publishers {
		work.Go(func() {
			for n := range each {
				if _, err := brokers[i%2].Publish("a", fmt.Appendf(nil, "[%d,%d]", i, n), withHistory(fmt.Sprintf("%d-%d", i, n))); err != nil {
					t.Errorf("publish: %v", err)
				}
			}
		})
	}
	work.Wait()
	next := [publishers]int{}
	log := logOf(t, brokers[0], "a")
	for _, data := range log {
		var i, n int
		if _, err := fmt.Sscanf(data, "[%d,%d]", &i, &n); err != nil || n != next[i] {
			t.Fatalf("%s comes where %d of %d was to", data, next[i], i)
		}
		next[i]++
	}
	if len(log) != publishers*each {
		t.Errorf("%d messages of %d", len(log), publishers*each)
	}
}

// TestLeaving gives up what one owns at once, and the last one keeps it.
func TestLeaving(t *testing.T) {
	t.Parallel()
	socket := startRedis(t)
	first, second := join(t, socket, "first"), join(t, socket, "second")
	owns(t, first, some)
	owns(t, second, some)
	if err := first.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	owns(t, second, all)
	client := second.opts.Client
	if left, err := client.Do(t.Context(), client.B().Hexists().Key(first.members.membersKey()).Field(first.members.self).Build()).AsBool(); err != nil || left {
		t.Errorf("who left is a member: %t, %v", left, err)
	}
	publish(t, first, "a", "1")
	if err := second.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	publish(t, second, "a", "2")
	if n := len(ownedBy(second.members.view(), second.members.self)); n != 64 {
		t.Errorf("the last one owns %d partitions", n)
	}
	if diff := cmp.Diff([]string{"1", "2"}, logOf(t, second, "a")); diff != "" {
		t.Errorf("the room (-want +got):\n%s", diff)
	}
}

// TestOwnerGone has a replica vanish as in a crash, with a message on its way to it.
func TestOwnerGone(t *testing.T) {
	t.Parallel()
	socket := startRedis(t)
	here, gone := join(t, socket, "here"), join(t, socket, "gone")
	owns(t, here, some)
	owns(t, gone, some)
	room := roomOf(t, gone)
	before := here.members.view()
	gone.Abandon()
	publish(t, here, room, "1")
	ctx, cancel := contracttest.Soon(context.Background())
	defer cancel()
	here.members.await(ctx, before)
	// What was not the other's has not moved.
	after := here.members.view()
	for _, p := range ownedBy(before, here.members.self) {
		if after.moved(before, p) {
			t.Errorf("partition %d has moved, and needed not", p)
		}
	}
}

// TestHungOwner sends a message without a key to an owner that never answers: it is published by the next one, once, also
// when the first one wakes up.
func TestHungOwner(t *testing.T) {
	t.Parallel()
	socket := startRedis(t)
	asked, wake := make(chan struct{}, 10), make(chan struct{})
	here := join(t, socket, "here")
	hung := join(t, socket, "hung", func(o *Options) {
		accepts := o.Accepts
		o.Accepts = func(token string) bool {
			asked <- struct{}{}
			<-wake
			return accepts(token)
		}
	})
	owns(t, here, some)
	owns(t, hung, some)
	room := roomOf(t, hung)
	published := make(chan centrifuge.PublishResult)
	go func() {
		res, err := here.Publish(room, []byte("1"), withHistory(""))
		if err != nil {
			t.Errorf("publish: %v", err)
		}
		published <- res
	}()
	<-asked
	hung.members.mu.Lock()
	if res := <-published; res.Suppressed || res.Offset != 1 {
		t.Errorf("published as %+v", res)
	}
	close(wake)
	hung.members.mu.Unlock()
	owns(t, hung, some)
	publish(t, here, room, "2")
	if diff := cmp.Diff([]string{"1", "2"}, logOf(t, here, room)); diff != "" {
		t.Errorf("the room (-want +got):\n%s", diff)
	}
}
