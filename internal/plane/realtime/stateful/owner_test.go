package stateful

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// TestReadsAllThatTheEngineHas reads a room at its owner and elsewhere while much is published: what the engine had before
// one asked is in the answer, be it from memory.
func TestReadsAllThatTheEngineHas(t *testing.T) {
	t.Parallel()
	socket := startRedis(t)
	keeps := func(o *Options) { o.HistorySize = 10000 }
	here, there := join(t, socket, "here", keeps), join(t, socket, "there", keeps)
	owns(t, here, some)
	owns(t, there, some)
	room := roomOf(t, there)
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	work.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			if _, err := here.Publish(room, fmt.Append(nil, n), withHistory("")); err != nil {
				t.Errorf("publish: %v", err)
				return
			}
		}
	})
	for range 300 {
		for _, b := range []*Broker{here, there} {
			_, has, err := b.RedisBroker.History(room, centrifuge.HistoryOptions{})
			if err != nil {
				t.Fatal(err)
			}
			_, answered, err := b.History(room, centrifuge.HistoryOptions{})
			if err != nil || answered.Epoch != has.Epoch || answered.Offset < has.Offset {
				t.Fatalf("it answers that the room is at %+v, %v, which was at %+v before it was asked", answered, err, has)
			}
		}
	}
}

// TestPeerThatIsNotTheOwner asks a replica for a room of another's: it does nothing.
func TestPeerThatIsNotTheOwner(t *testing.T) {
	t.Parallel()
	socket := startRedis(t)
	here, there := join(t, socket, "here"), join(t, socket, "there")
	owns(t, here, some)
	owns(t, there, some)
	room := roomOf(t, there)
	p := newPeers(func() []string { return []string{testToken} })
	defer p.close()
	if _, err := p.publish(t.Context(), here.opts.Self.Address, room, []byte("1"), withHistory("")); !errors.Is(err, errMoved) {
		t.Errorf("published: %v", err)
	}
	if _, _, err := p.history(t.Context(), here.opts.Self.Address, room, centrifuge.HistoryFilter{}); !errors.Is(err, errMoved) {
		t.Errorf("read: %v", err)
	}
	if diff := cmp.Diff([]string(nil), logOf(t, here, room)); diff != "" {
		t.Errorf("the room (-want +got):\n%s", diff)
	}
}

// TestARoomUnderAnotherFence is not the one that it was: what is known of it under an older fence may have changed since, and
// under one that is not the table's now there is none.
func TestARoomUnderAnotherFence(t *testing.T) {
	t.Parallel()
	v, err := newView(8)
	if err != nil {
		t.Fatal(err)
	}
	v.ID, v.token, v.Table = "table", "token", ring.Rebalance(v.Table, []ring.Member{{ID: "alone"}})
	o := &owner{view: func() *view { return v }, now: time.Now, rooms: map[string]*room{}}
	before := v.owner("a")
	old, err := o.room("a", before)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := o.room("a", before); again != old || err != nil {
		t.Errorf("under the same fence it is another one, %v", err)
	}
	v.Fences[before.partition]++
	if r, err := o.room("a", before); r != nil || !errors.Is(err, errMoved) {
		t.Errorf("under the older fence: %v, %v", r, err)
	}
	at := v.owner("a")
	r, err := o.room("a", at)
	if err != nil {
		t.Fatal(err)
	}
	if r == old || r.fence != at.fence || !old.gone {
		t.Errorf("under the new fence it is the one with %q, and that before is gone: %t", r.fence, old.gone)
	}
}

// TestOutcomeUnknown has the engine not answer an owner in time. What becomes of the message is not known; until the next
// one is stored, the owner answers nothing from memory.
func TestOutcomeUnknown(t *testing.T) {
	t.Parallel()
	socket := startRedis(t)
	b := join(t, socket, "alone")
	publish(t, b, "a", "1")
	at := b.members.view().owner("a")
	r, err := b.rooms.room("a", at)
	if err != nil {
		t.Fatal(err)
	}
	fromMemory := func() bool {
		_, _, ok := r.read(centrifuge.HistoryFilter{}, b.rooms.keeps, time.Now())
		return ok
	}
	// What waits on a connection holds up all that comes after it there.
	client := newTestClient(t, socket)
	defer client.Close()
	pause := client.B().ClientPause().Timeout(contracttest.Patience.Milliseconds()).Write().Build()
	if err := client.Do(t.Context(), pause).Error(); err != nil {
		t.Fatal(err)
	}
	b.rooms.timeout = 200 * time.Millisecond
	if _, err := b.rooms.publish("a", at, []byte("2"), withHistory("")); err == nil {
		t.Error("it was published")
	}
	b.rooms.timeout = contracttest.Patience
	if err := client.Do(t.Context(), client.B().ClientUnpause().Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.History("a", centrifuge.HistoryOptions{}); err != nil || fromMemory() {
		t.Errorf("in doubt, it answers from memory: %t, %v", fromMemory(), err)
	}
	publish(t, b, "a", "3")
	if !fromMemory() {
		t.Error("it is in doubt after the next message was stored")
	}
	log := logOf(t, b, "a")
	if last := log[len(log)-1]; last != "3" {
		t.Errorf("after the last message comes %s: %v", last, log)
	}
}

// TestLateProposal proposes a table after one that has been replaced: the engine keeps the newer one.
func TestLateProposal(t *testing.T) {
	t.Parallel()
	socket := startRedis(t)
	late := join(t, socket, "late")
	before := late.members.view()
	other := join(t, socket, "other")
	owns(t, late, some)
	owns(t, other, some)
	m := late.members
	m.mu.Lock()
	now := m.current.Swap(before)
	won, err := m.propose(t.Context(), []string{m.self}, nil)
	m.current.Store(now)
	token, tokenErr := m.token(t.Context())
	m.mu.Unlock()
	if won || err != nil || tokenErr != nil || token != now.token {
		t.Errorf("the late table is taken: %t, %v; in force is %s and was %s, %v", won, err, token, now.token, tokenErr)
	}
}

// TestSilenceOfTheEngine counts nobody's silence while the engine does not answer.
func TestSilenceOfTheEngine(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	client := newTestClient(t, startRedis(t))
	client.Close()
	first, err := newView(64)
	if err != nil {
		t.Fatal(err)
	}
	m := &membership{
		client: client, prefix: testPrefix, partitions: 64, self: "self#1", log: slog.New(slog.DiscardHandler), now: func() time.Time { return now },
		timeout: time.Minute, dead: time.Second, seen: map[string]sighting{"other#1": {entry: entry{Peer: Peer{Address: "other"}}, at: now.Add(-time.Hour)}},
	}
	m.current.Store(first)
	if err := m.look(t.Context()); err == nil {
		t.Fatal("an engine that is closed answered")
	}
	if alive, gone := m.alive(); len(gone) > 0 || len(alive) != 1 {
		t.Errorf("alive are %v, and gone %v", alive, gone)
	}
}

// TestForgetsWhatMoved has an owner keep nothing in memory of rooms that are another's.
func TestForgetsWhatMoved(t *testing.T) {
	t.Parallel()
	socket := startRedis(t)
	b := join(t, socket, "first")
	var rooms []string
	for i := range 20 {
		rooms = append(rooms, fmt.Sprintf("room-%d", i))
		publish(t, b, rooms[i], "1")
	}
	other := join(t, socket, "second")
	owns(t, other, some)
	owns(t, b, some)
	v := b.members.view()
	b.rooms.sweep(v)
	want, got := map[string]bool{}, map[string]bool{}
	b.rooms.mu.Lock()
	defer b.rooms.mu.Unlock()
	for _, room := range rooms {
		want[room] = v.owner(room).member == b.members.self
		_, got[room] = b.rooms.rooms[room]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rooms in memory (-want +got):\n%s", diff)
	}
}
