package front

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// longestBody of a request that is served here, in bytes.
	longestBody = 64 << 10
	// readBuffer holds the head of a request that is served here.
	readBuffer = 4 << 10
	// freshFor is how long a new connection is waited for when the server ends, as its first request may be on its way.
	freshFor = 5 * time.Second
	// acceptMost is the longest pause after a connection could not be taken.
	acceptMost = time.Second
)

// Options of New. All are needed but Takes.
type Options struct {
	// Handler gets the plain requests. Their context ends with the connection, and not with the request; their
	// connections can not be hijacked.
	Handler http.Handler
	// Takes reports whether a plain request is Handler's; all are by default.
	Takes func(*http.Request) bool
	// Rest has all other requests. Its timeouts hold for plain ones too.
	Rest *http.Server
	Log  *slog.Logger
}

// Server serves plain requests, and hands all others over.
type Server struct {
	Options
	rest *handedOver
	// closing is true from Shutdown on.
	closing atomic.Bool

	mu       sync.Mutex
	listener net.Listener
	conns    map[*conn]struct{}
	// gone is closed once there are no connections any more after closing began.
	gone chan struct{}
}

// New makes a server.
func New(o Options) *Server {
	return &Server{Options: o, rest: newHandedOver(), conns: map[*conn]struct{}{}, gone: make(chan struct{})}
}

// Serve takes connections from l until it is closed. It returns http.ErrServerClosed after Shutdown and Close.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	s.listener = l
	over := s.closing.Load()
	s.mu.Unlock()
	s.rest.address = l.Addr()
	if over {
		_ = l.Close()
		return http.ErrServerClosed
	}
	var rest sync.WaitGroup
	defer rest.Wait()
	rest.Go(func() { _ = s.Rest.Serve(s.rest) })
	err := s.accept(l)
	if s.closing.Load() {
		return http.ErrServerClosed
	}
	_ = s.Rest.Close()
	return err
}

func (s *Server) accept(l net.Listener) error {
	var wait time.Duration
	for {
		c, err := l.Accept()
		if err == nil {
			wait = 0
			s.begin(c)
			continue
		}
		var passing interface{ Temporary() bool }
		if s.closing.Load() || !errors.As(err, &passing) || !passing.Temporary() {
			return err
		}
		// Such as that there are too many files open.
		wait = min(max(2*wait, 5*time.Millisecond), acceptMost)
		s.Log.Warn("a connection could not be taken", "error", err)
		time.Sleep(wait)
	}
}

func (s *Server) begin(inner net.Conn) {
	c := newConn(s, inner)
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	go c.serve()
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.settle()
}

// settle needs s.mu.
func (s *Server) settle() {
	if s.closing.Load() && len(s.conns) == 0 {
		select {
		case <-s.gone:
		default:
			close(s.gone)
		}
	}
}

// Shutdown takes no more connections, closes those on which nothing is under way, and waits for the others until ctx
// ends.
func (s *Server) Shutdown(ctx context.Context) error {
	s.end()
	rest := make(chan error, 1)
	go func() { rest <- s.Rest.Shutdown(ctx) }()
	tick := time.NewTicker(freshFor / 20)
	defer tick.Stop()
	var err error
	for waiting := true; waiting; {
		s.closeIdle()
		select {
		case <-s.gone:
			waiting = false
		case <-ctx.Done():
			err, waiting = ctx.Err(), false
		case <-tick.C:
		}
	}
	return errors.Join(err, <-rest)
}

// end has nothing more be taken.
func (s *Server) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing.Store(true)
	if s.listener != nil {
		_ = s.listener.Close()
	}
	s.settle()
}

func (s *Server) closeIdle() {
	fresh := time.Now().Add(-freshFor)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.state.CompareAndSwap(idle, over) || c.began.Before(fresh) && c.state.CompareAndSwap(unused, over) {
			_ = c.inner.Close()
		}
	}
}

// Close cuts all connections.
func (s *Server) Close() error {
	s.end()
	s.mu.Lock()
	for c := range s.conns {
		c.state.Store(over)
		_ = c.inner.Close()
	}
	s.mu.Unlock()
	return s.Rest.Close()
}

// handedOver is a listener of the connections that are not served here.
type handedOver struct {
	address net.Addr
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func newHandedOver() *handedOver {
	return &handedOver{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// give reports false where nobody takes it any more.
func (h *handedOver) give(c net.Conn) bool {
	select {
	case h.conns <- c:
		return true
	case <-h.closed:
		return false
	}
}

// Accept implements net.Listener.
func (h *handedOver) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handedOver) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr implements net.Listener.
func (h *handedOver) Addr() net.Addr { return h.address }

// replayed is a connection of which some was read already.
type replayed struct {
	net.Conn
	before []byte
}

// Read implements net.Conn.
func (r *replayed) Read(p []byte) (int, error) {
	if len(r.before) > 0 {
		n := copy(p, r.before)
		r.before = r.before[n:]
		return n, nil
	}
	return r.Conn.Read(p)
}

// CloseWrite ends what is written, as net/http does before it closes.
func (r *replayed) CloseWrite() error {
	half, ok := r.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}
