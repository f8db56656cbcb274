package plane

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds on what is still read of a connection that this side has closed. The
// time is taken in steps, so that a machine that stalls loses one of them and
// not all.
const (
	lingerSteps = 4
	lingerStep  = 500 * time.Millisecond
	lingerBytes = 4 << 20
	// lingerMost are read on at once; what is closed beyond it is closed right away.
	lingerMost = 4096
)

// lingering closes connections so that what was written last arrives: TCP resets
// a connection that is closed with data unread, and a reset takes along the answer
// or the close frame that the client has not read yet (RFC 9112, section 9.6).
type lingering struct {
	step time.Duration

	mu    sync.Mutex
	open  int
	ended bool
	conns sync.WaitGroup
}

func newLingering() *lingering { return &lingering{step: lingerStep} }

// listen has the connections of l linger.
func (l *lingering) listen(inner net.Listener) net.Listener {
	return &lingeringListener{Listener: inner, all: l}
}

// begin reports whether one more may linger.
func (l *lingering) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || l.open >= lingerMost {
		return false
	}
	l.open++
	l.conns.Add(1)
	return true
}

func (l *lingering) done() {
	l.mu.Lock()
	l.open--
	l.mu.Unlock()
	l.conns.Done()
}

// end waits for those that linger; what is closed from now on does not.
func (l *lingering) end() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.conns.Wait()
}

type lingeringListener struct {
	net.Listener
	all *lingering
}

// Accept implements net.Listener.
func (l *lingeringListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &lingeringConn{Conn: conn, all: l.all}, nil
}

// lingeringConn is a connection whose Close says the end, and reads on beside
// until the client has seen it. Reads and writes end with Close at once.
type lingeringConn struct {
	net.Conn
	all *lingering
	// over is true when nothing more can come.
	over atomic.Bool

	// mu guards closed, and what must not begin after Close: reads, and changes
	// of the time limits.
	mu     sync.Mutex
	closed bool
	reads  sync.WaitGroup
}

// Read implements net.Conn.
func (c *lingeringConn) Read(p []byte) (int, error) {
	if !c.beginRead() {
		return 0, net.ErrClosed
	}
	defer c.reads.Done()
	n, err := c.Conn.Read(p)
	if err == nil {
		return n, nil
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		c.over.Store(true)
	} else if c.isClosed() {
		err = net.ErrClosed
	}
	return n, err
}

// Write implements net.Conn.
func (c *lingeringConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil && c.isClosed() {
		err = net.ErrClosed
	}
	return n, err
}

func (c *lingeringConn) beginRead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.reads.Add(1)
	return true
}

func (c *lingeringConn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// CloseWrite ends what is written, as net/http does before it closes.
func (c *lingeringConn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// Close implements net.Conn. It does not wait.
func (c *lingeringConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	if c.over.Load() || c.CloseWrite() != nil || !c.all.begin() {
		return c.Conn.Close()
	}
	// Whoever reads or writes stops.
	_ = c.Conn.SetDeadline(time.Unix(1, 0))
	go func() {
		defer c.all.done()
		c.readOn()
	}()
	return nil
}

// readOn discards what still comes, up to the client's end or a bound.
func (c *lingeringConn) readOn() {
	c.reads.Wait()
	defer func() { _ = c.Conn.Close() }()
	buf := make([]byte, 1<<10)
	left := lingerBytes
	for range lingerSteps {
		_ = c.Conn.SetReadDeadline(time.Now().Add(c.all.step))
		for {
			n, err := c.Conn.Read(buf)
			if left -= n; left <= 0 {
				return
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return
			}
		}
	}
}

// SetDeadline implements net.Conn.
func (c *lingeringConn) SetDeadline(t time.Time) error { return c.unlessClosed(c.Conn.SetDeadline, t) }

// SetReadDeadline implements net.Conn.
func (c *lingeringConn) SetReadDeadline(t time.Time) error {
	return c.unlessClosed(c.Conn.SetReadDeadline, t)
}

// SetWriteDeadline implements net.Conn.
func (c *lingeringConn) SetWriteDeadline(t time.Time) error {
	return c.unlessClosed(c.Conn.SetWriteDeadline, t)
}

func (c *lingeringConn) unlessClosed(set func(time.Time) error, t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	return set(t)
}
