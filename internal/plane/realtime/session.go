package realtime

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/centrifugal/centrifuge"
	"github.com/centrifugal/protocol"

	"github.com/trellis-dev/trellis/internal/plane"
)

// sink writes what a session has for its client, in the form of its protocol.
// Its methods are called one at a time.
type sink interface {
	// bind comes first: s is whose sink it is.
	bind(s *session)
	// subscribed says that a room is followed from f.pos on.
	subscribed(f *following) error
	// message writes a message of f; f.pos is after it already.
	message(f *following, m *frame) error
	// gap says that messages of f are lost; f.pos is where it goes on.
	gap(f *following, g *Gap) error
	// moved says that a room has another owner, and that it is resumed there.
	moved(f *following, m move) error
	// failed says that a room could not be subscribed.
	failed(f *following, p *plane.Problem) error
	heartbeat() error
	// flush hands over what the calls since the last flush wrote.
	flush() error
	// close says why the connection ends, and ends it.
	close(d centrifuge.Disconnect)
}

// following is one room of a session.
type following struct {
	room string
	// pos is the position after the last message written. Guarded by session.mu.
	pos Position
	// live is true while the library delivers the room's messages as they come.
	live bool
	// announced is true once the client knows the position it started at.
	announced bool
	// patient is true when a failing engine is waited for from the start;
	// otherwise the first subscription fails, and only later ones wait.
	patient bool
	// request is the id of the client's request, where its protocol has such.
	request uint64
}

// session is one open stream or socket: its link to the library, the rooms that
// it follows, and a driver that subscribes them, and does so again when the
// library finds that it may have missed something.
type session struct {
	gw       *Gateway
	link     atomic.Pointer[link]
	ctx      context.Context
	cancel   context.CancelFunc
	protocol string
	conn     *connection
	stats    *protocolStats

	// ending is why the session ends from our side; nil while it does not.
	ending atomic.Pointer[centrifuge.Disconnect]
	// replies hands subscribe replies from the library's writer to the driver; nil where there will be none.
	replies chan *protocol.Reply
	wg      sync.WaitGroup

	mu    sync.Mutex
	sink  sink
	rooms []*following
	// subscribing is what the driver awaits a subscribe reply for.
	subscribing *following
	// adrift is true from the end of a link to the next.
	adrift  bool
	closed  bool
	queue   []func()
	driving bool
}

type sessionKey struct{}

// newSession connects a client of the library that delivers to out. parent
// carries the identity.
func (g *Gateway) newSession(parent context.Context, node *centrifuge.Node, conn *connection, out sink) (*session, error) {
	s := &session{gw: g, protocol: conn.protocol, conn: conn, stats: g.stats[conn.protocol], sink: out, replies: make(chan *protocol.Reply, 1)}
	out.bind(s)
	s.ctx, s.cancel = context.WithCancel(context.WithValue(parent, sessionKey{}, s))
	if err := s.connect(node); err != nil {
		s.cancel()
		return nil, err
	}
	return s, nil
}

// end closes the session and waits for all that it started.
func (s *session) end() {
	s.ending.CompareAndSwap(nil, &centrifuge.DisconnectConnectionClosed)
	s.mu.Lock()
	if s.adrift {
		// There is no client whose end would close it.
		s.closed = true
	}
	s.mu.Unlock()
	_ = s.link.Load().leave()
	s.cancel()
	s.wg.Wait()
}

// do has the driver run op after those before it. It reports false when the
// client has asked for more than the driver can be behind.
func (s *session) do(op func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return true
	}
	if len(s.queue) > 2*s.gw.limits().RoomsPerConnection {
		return false
	}
	s.queueUp(op)
	return true
}

// queueUp has the driver run op. It needs s.mu.
func (s *session) queueUp(op func()) {
	s.queue = append(s.queue, op)
	if !s.driving {
		s.driving = true
		s.wg.Go(s.drive)
	}
}

// drive runs what is queued and ends; an idle session has no driver.
func (s *session) drive() {
	for {
		s.mu.Lock()
		if s.closed || len(s.queue) == 0 {
			s.driving, s.queue = false, nil
			s.mu.Unlock()
			return
		}
		op := s.queue[0]
		s.queue = s.queue[1:]
		s.mu.Unlock()
		op()
	}
}

// add starts to follow a room; false when it is followed already.
func (s *session) add(f *following) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(f.room) != nil {
		return false
	}
	s.rooms = append(s.rooms, f)
	return true
}

// remove stops following a room, and returns what it was.
func (s *session) remove(room string) *following {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.find(room)
	s.rooms = slices.DeleteFunc(s.rooms, func(g *following) bool { return g == f })
	return f
}

func (s *session) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.rooms)
}

// find needs s.mu. Sessions have few rooms, so a list beats a map in memory and time.
func (s *session) find(room string) *following {
	for _, f := range s.rooms {
		if f.room == room {
			return f
		}
	}
	return nil
}

// wants reports whether f is still followed.
func (s *session) wants(f *following) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.closed && s.find(f.room) == f
}

// write runs f on the sink and flushes, unless the session is closed.
func (s *session) write(f func(sink) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errSessionClosed
	}
	if err := f(s.sink); err != nil {
		return err
	}
	return s.sink.flush()
}
