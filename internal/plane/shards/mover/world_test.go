package mover_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/shards/member"
	"github.com/trellis-dev/trellis/internal/plane/shards/mover"
	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

const (
	testToken  = "the-members-token"
	partitions = 16
	// patience is far longer than anything takes, so that a machine that stalls fails no test.
	patience = 90 * time.Second
)

// world is a ShardSet in one process: members and movers are the real ones, over loopback.
type world struct {
	t      *testing.T
	store  *table.Memory
	nodes  map[string]*node
	wanted atomic.Pointer[mover.Wanted]
	mode   string

	mu     sync.Mutex
	movers []*mover.Mover
	work   sync.WaitGroup
	// calls of movers and writes go through these.
	faults *faults
	// over is called, where it is set, before what became of it all is looked at.
	over func()
	// clock of movers; their own where it is nil.
	clock *jumping
	// front is where the router is that clients go through; they route by themselves where it is empty.
	front string
}

// faults are what happens to the n-th write or call of movers. A returned error is what the mover gets.
type faults struct {
	mu     sync.Mutex
	writes int
	calls  int
	write  func(n int, after bool) error
	call   func(n int, after bool, r *http.Request) error
}

func (f *faults) count(of *int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	*of++
	return *of
}

func newWorld(t *testing.T, mode string, ids ...string) *world {
	w := &world{t: t, store: &table.Memory{}, nodes: map[string]*node{}, mode: mode, faults: &faults{}}
	for _, id := range ids {
		w.nodes[id] = w.newNode(id)
	}
	t.Cleanup(func() {
		for _, n := range w.nodes {
			n.stop()
		}
	})
	return w
}

// Member implements table.Members.
func (w *world) Member(id string) (table.Member, bool) {
	n, ok := w.nodes[id]
	if !ok {
		return table.Member{}, false
	}
	return *n.seen.Load(), true
}

// want members from now on.
func (w *world) want(maxMoving int, ids ...string) {
	wanted := mover.Wanted{Partitions: partitions, MaxMoving: maxMoving, PauseLimit: patience}
	for _, id := range ids {
		wanted.Members = append(wanted.Members, ring.Member{ID: id})
	}
	w.change(wanted)
}

func (w *world) change(wanted mover.Wanted) {
	w.wanted.Store(&wanted)
	w.wake()
}

// wake the movers, as a change of what is wanted or of the EndpointSlices does.
func (w *world) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.movers {
		m.Wake()
	}
}

// newMover on the world's store, or on another view of it.
func (w *world) newMover(store table.Store, transport http.RoundTripper) *mover.Mover {
	opts := mover.Options{
		Wanted: func() mover.Wanted { return *w.wanted.Load() }, Store: store, Members: w,
		Client: &http.Client{Transport: transport}, Token: func() string { return testToken },
		Backoff: mover.Backoff{First: 2 * time.Millisecond, Most: 50 * time.Millisecond},
	}
	if w.clock != nil {
		opts.Clock = w.clock
	}
	m := mover.New(opts)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.movers = append(w.movers, m)
	return m
}

// supervise has a mover run until ctx ends, and another one whenever it was killed.
func (w *world) supervise(ctx context.Context) {
	transport := &http.Transport{}
	w.work.Go(func() {
		defer transport.CloseIdleConnections()
		for ctx.Err() == nil {
			life, kill := context.WithCancel(ctx)
			store := &faultyStore{Store: w.store, faults: w.faults, kill: kill}
			m := w.newMover(store, &faultyTransport{RoundTripper: transport, faults: w.faults, kill: kill})
			if err := m.Run(life); err != nil && life.Err() == nil && !errors.Is(err, mover.ErrDeposed) {
				w.t.Errorf("the mover ended: %v", err)
			}
			kill()
		}
	})
}

// errKilled is what a mover gets that dies.
var errKilled = errors.New("killed")

type faultyStore struct {
	table.Store
	faults *faults
	kill   func()
}

// Write implements table.Store.
func (s *faultyStore) Write(ctx context.Context, state table.State, v table.Version) (table.Version, error) {
	n := s.faults.count(&s.faults.writes)
	if s.faults.write == nil {
		return s.Store.Write(ctx, state, v)
	}
	if err := s.faults.write(n, false); err != nil {
		return "", s.died(err)
	}
	out, err := s.Store.Write(ctx, state, v)
	if err == nil {
		if err := s.faults.write(n, true); err != nil {
			return "", s.died(err)
		}
	}
	return out, err
}

func (s *faultyStore) died(err error) error {
	if errors.Is(err, errKilled) {
		s.kill()
	}
	return err
}

type faultyTransport struct {
	http.RoundTripper
	faults *faults
	kill   func()
}

// RoundTrip implements http.RoundTripper.
func (f *faultyTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	n := f.faults.count(&f.faults.calls)
	if f.faults.call == nil {
		return f.RoundTripper.RoundTrip(r)
	}
	if err := f.faults.call(n, false, r); err != nil {
		return nil, f.died(err)
	}
	resp, err := f.RoundTripper.RoundTrip(r)
	if err == nil {
		if err := f.faults.call(n, true, r); err != nil {
			_ = resp.Body.Close()
			return nil, f.died(err)
		}
	}
	return resp, err
}

func (f *faultyTransport) died(err error) error {
	if errors.Is(err, errKilled) {
		f.kill()
	}
	return err
}

// settled waits until the members are who they are to be, all moves are over, and nothing is left to forget.
func (w *world) settled(ids ...string) table.State {
	w.t.Helper()
	return w.await(fmt.Sprintf("the table to be settled on %v", ids), func(s table.State) bool {
		if len(s.History) == 0 || len(s.Table.Moves)+len(s.Dropping)+len(ring.Diff(s.Table, s.Target)) > 0 {
			return false
		}
		var have []string
		for _, m := range s.Table.Members {
			have = append(have, m.ID)
		}
		return slices.Equal(have, ids)
	})
}

func (w *world) await(what string, ok func(table.State) bool) table.State {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var last table.State
	found := false
	_ = w.store.Watch(ctx, func(s table.State) {
		last = s
		if !found && ok(s) {
			found = true
			cancel()
		}
	})
	if !found {
		w.t.Fatalf("waited in vain for %s: epoch %d, moves %v, dropping %v, failures %v", what, last.Table.Epoch, last.Table.Moves, last.Dropping, last.Failures)
	}
	return last
}

// node is a pod: a container that stays, and a member in front of it that may be started again.
type node struct {
	w         *world
	id        string
	container *container
	address   string
	// uid of the pod that has the name now, and seen is what the EndpointSlices say of it.
	uid  string
	seen atomic.Pointer[table.Member]
	// deaf has the member learn of no table while it is closed to it.
	deaf *gate

	mu sync.Mutex
	process
}

// process of a member, and its way to the container.
type process struct {
	door   *door
	server *httptest.Server
	http   *http.Server
	cancel context.CancelFunc
	done   chan struct{}
}

// halt it as SIGKILL does. What it had passed on ends before: that is what a member waits for with its Settle, which is no
// matter of these tests.
func (p *process) halt() {
	_ = p.http.Close()
	p.cancel()
	<-p.done
	p.door.shut()
	p.server.CloseClientConnections()
	p.server.Close()
}

func (w *world) newNode(id string) *node {
	n := &node{w: w, id: id, container: newContainer(id), deaf: newGate(), uid: id + "-1"}
	n.start(n.listen())
	return n
}

// listen at an address of its own, as a new pod does.
func (n *node) listen() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.w.t.Fatal(err)
	}
	n.address = l.Addr().String()
	n.seen.Store(&table.Member{Address: n.address, Incarnation: n.uid, Ready: true})
	return l
}

func (n *node) start(l net.Listener) {
	n.door = &door{container: n.container}
	n.server = httptest.NewServer(n.door)
	at, err := url.Parse(n.server.URL)
	if err != nil {
		n.w.t.Fatal(err)
	}
	m, err := member.New(member.Options{
		Config: planeconfig.Config{Kind: "ShardSet", Shards: &planeconfig.Shards{
			Container:  planeconfig.ShardContainer{Port: 1, DrainTimeout: planeconfig.Duration(patience)},
			Resharding: planeconfig.ShardResharding{Mode: n.w.mode, ExportPath: "/hook/{partition}", ImportPath: "/hook/{partition}"},
		}},
		Store: &gatedStore{Store: n.w.store, gate: n.deaf}, ID: n.id, Incarnation: n.uid, Container: at,
		Admits: func(r *http.Request) bool { return r.Header.Get(planeconfig.HeaderMemberToken) == testToken },
		Token:  func() string { return testToken }, Settle: time.Nanosecond, Probe: time.Hour,
	})
	if err != nil {
		n.w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &http.Server{Handler: m}
	done := make(chan struct{})
	n.http, n.cancel, n.done = s, cancel, done
	var both sync.WaitGroup
	both.Go(func() { _ = s.Serve(l) })
	both.Go(func() { _ = m.Run(ctx) })
	go func() {
		both.Wait()
		close(done)
	}()
}

func (n *node) stop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.halt()
}

// restart kills the member's process and starts another one.
func (n *node) restart() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.halt()
	l, err := net.Listen("tcp", n.address)
	if err != nil {
		n.w.t.Errorf("listen again: %v", err)
		return
	}
	n.start(l)
}

// replace the pod by a new one of its name, on its claim. Where it was deleted by force, the old one runs on; end stops it.
func (n *node) replace(uid string, byForce bool) (end func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	end = func() {}
	if byForce {
		end = sync.OnceFunc((&process{n.door, n.server, n.http, n.cancel, n.done}).halt)
	} else {
		n.halt()
	}
	n.uid = uid
	n.start(n.listen())
	n.w.wake()
	return end
}

// gate lets through while it is open.
type gate struct {
	mu   sync.Mutex
	open chan struct{}
}

func newGate() *gate {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	return g
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = make(chan struct{})
}

func (g *gate) reopen() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.open)
}

func (g *gate) wait(ctx context.Context) {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	select {
	case <-open:
	case <-ctx.Done():
	}
}

// gatedStore shows nothing while its gate is shut.
type gatedStore struct {
	table.Store
	gate *gate
}

// Watch implements table.Store.
func (s *gatedStore) Watch(ctx context.Context, seen func(table.State)) error {
	return s.Store.Watch(ctx, func(state table.State) {
		s.gate.wait(ctx)
		seen(state)
	})
}
