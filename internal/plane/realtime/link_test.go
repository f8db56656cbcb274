package realtime

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/centrifugal/centrifuge"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// interrupting resumes all rooms in the middle of a subscription, for as many times as are left.
type interrupting struct {
	*centrifuge.MemoryBroker
	node *centrifuge.Node
	left atomic.Int64
}

// History implements centrifuge.Broker. Only whoever subscribes a room reads its history after having joined it.
func (b *interrupting) History(room string, opts centrifuge.HistoryOptions) ([]*centrifuge.Publication, centrifuge.StreamPosition, error) {
	if b.node.Hub().NumSubscribers(room) > 0 && b.left.Add(-1) >= 0 {
		resume(b.node)
	}
	return b.MemoryBroker.History(room, opts)
}

// listener is a sink that hands on what it is told.
type listener struct {
	recorder
	offsets chan uint64
	ends    chan uint32
}

func (l *listener) message(_ *following, m *frame) error {
	l.offsets <- m.offset
	return nil
}

func (l *listener) close(d centrifuge.Disconnect) { l.ends <- d.Code }

// interrupted is a gateway whose engine is interrupting.
func interrupted(t *testing.T) (*Gateway, *interrupting) {
	t.Helper()
	l := contracttest.NewLocal(t, t.TempDir(), planeconfig.Config{
		Kind: "RealtimeGateway", Name: "gateway", Engine: planeconfig.Engine{Type: "Memory"},
		Realtime: &planeconfig.Realtime{
			Protocols: []string{ProtocolSSE}, History: planeconfig.History{Size: 10, TTL: planeconfig.Duration(time.Hour)},
		},
	}, contracttest.Options{}, nil)
	p, err := plane.New(l.Config, plane.Options{Title: "test", Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	g, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	c, err := g.tryConnect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.node.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		c.closeEngine()
	})
	memory, ok := c.broker.Broker.(*centrifuge.MemoryBroker)
	if !ok {
		t.Fatalf("the engine is a %T", c.broker.Broker)
	}
	b := &interrupting{MemoryBroker: memory, node: c.node}
	c.broker.Broker = b
	g.core.Store(c)
	return g, b
}

// listen has a session follow room a from its oldest message on.
func listen(t *testing.T, g *Gateway) (*session, *listener) {
	t.Helper()
	out := &listener{offsets: make(chan uint64), ends: make(chan uint32, 1)}
	conn, problem := g.conns.admit(labelSSE)
	if problem != nil {
		t.Fatal(problem)
	}
	id := plane.Identity{Binding: true, Grant: plane.Grant{All: true}}
	s, err := g.newSession(plane.WithIdentity(t.Context(), id), g.Node(), conn, out)
	if err != nil {
		t.Fatal(err)
	}
	f := &following{room: "a", patient: true, announced: true}
	s.add(f)
	s.do(func() { s.follow(f, Since{kind: sinceOldest}) })
	return s, out
}

func (l *listener) await(t *testing.T, want uint64) {
	t.Helper()
	select {
	case got := <-l.offsets:
		if got != want {
			t.Fatalf("message %d comes, want %d", got, want)
		}
	case code := <-l.ends:
		t.Fatalf("message %d is awaited, and the stream ends with %d", want, code)
	case <-time.After(contracttest.Patience):
		t.Fatalf("message %d does not come", want)
	}
}

// TestInterruptedSubscriptionsEndNoStream resumes all rooms while a session subscribes one, at first and again.
func TestInterruptedSubscriptionsEndNoStream(t *testing.T) {
	t.Parallel()
	g, engine := interrupted(t)
	next := uint64(1)
	publish := func() {
		t.Helper()
		if _, err := g.Node().Publish("a", []byte("{}"), g.kept); err != nil {
			t.Fatal(err)
		}
	}
	publish()
	engine.left.Store(2)
	s, out := listen(t, g)
	for range 3 {
		out.await(t, next)
		contracttest.Eventually(t, "all interruptions", func() bool { return engine.left.Load() <= 0 })
		next++
		publish()
		out.await(t, next)
		engine.left.Store(2)
		resume(g.Node())
		next++
		publish()
	}
	out.await(t, next)
	s.end()
}

// TestInterruptedSessionsEnd ends sessions whose subscriptions are interrupted for ever.
func TestInterruptedSessionsEnd(t *testing.T) {
	t.Parallel()
	g, engine := interrupted(t)
	for range 20 {
		engine.left.Store(1 << 30)
		s, out := listen(t, g)
		contracttest.Eventually(t, "an interruption", func() bool { return engine.left.Load() < 1<<30 })
		s.disconnect(centrifuge.DisconnectForceNoReconnect)
		select {
		case code := <-out.ends:
			if code != centrifuge.DisconnectForceNoReconnect.Code {
				t.Errorf("the stream ended with %d", code)
			}
		case <-time.After(contracttest.Patience):
			t.Fatal("the stream does not end")
		}
		s.end()
		s, _ = listen(t, g)
		s.end()
	}
	contracttest.Eventually(t, "the library to have forgotten all", func() bool { return g.Node().Hub().NumClients() == 0 })
}
