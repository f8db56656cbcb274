package router

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// idleLimit is how long a connection is kept unused: less than the shards keep theirs, so that it is closed here.
	idleLimit = 45 * time.Second
	// idleMost connections are kept for each shard.
	idleMost = 512
	// connBuffer is read at once from a shard.
	connBuffer = 8 << 10
)

// conn is a connection to a shard, used by one request at a time.
type conn struct {
	net.Conn
	address string
	reader  *bufio.Reader
	out     []byte
	// reused is true once a request was answered on it.
	reused bool
	idle   time.Time

	raw     syscall.RawConn
	quiet   bool
	looking func(fd uintptr) bool
}

func (r *Router) dial(ctx context.Context, address string) (*conn, error) {
	c, err := dialWithin(r.dialer, r.settings.Load().connect)(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return newConn(c, address), nil
}

// dialWithin opens connections to shards within a time.
func dialWithin(dial Dial, timeout time.Duration) Dial {
	if dial == nil {
		return (&net.Dialer{Timeout: timeout}).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return dial(ctx, network, address)
	}
}

func newConn(c net.Conn, address string) *conn {
	out := &conn{Conn: c, address: address, reader: bufio.NewReaderSize(c, connBuffer)}
	if sys, ok := c.(syscall.Conn); ok {
		out.raw, _ = sys.SyscallConn()
	}
	out.looking = out.look
	return out
}

// usable reports whether the other side has neither closed the connection nor said something that nobody asked for.
func (c *conn) usable() bool {
	if c.raw == nil {
		return true
	}
	c.quiet = false
	return c.raw.Read(c.looking) == nil && c.quiet
}

func (c *conn) look(fd uintptr) bool {
	var one [1]byte
	_, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	c.quiet = errors.Is(err, unix.EAGAIN)
	return true
}

// pool keeps the connections of a shard that are not in use, the last one on top.
type pool struct {
	mu     sync.Mutex
	idle   []*conn
	closed bool
}

// take returns nil where there is none to the address.
func (p *pool) take(address string) *conn {
	for {
		p.mu.Lock()
		if len(p.idle) == 0 {
			p.mu.Unlock()
			return nil
		}
		c := p.idle[len(p.idle)-1]
		p.idle[len(p.idle)-1] = nil
		p.idle = p.idle[:len(p.idle)-1]
		p.mu.Unlock()
		if c.address == address && c.usable() {
			return c
		}
		_ = c.Close()
	}
}

func (p *pool) put(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= idleMost {
		_ = c.Close()
		return
	}
	p.idle = append(p.idle, c)
}

// drop closes those to an address.
func (p *pool) drop(address string) { p.prune(func(c *conn) bool { return c.address == address }) }

// expire closes those that were not used since.
func (p *pool) expire(since time.Time) {
	p.prune(func(c *conn) bool { return c.idle.Before(since) })
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.prune(func(*conn) bool { return true })
}

func (p *pool) prune(over func(*conn) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.idle[:0]
	for _, c := range p.idle {
		if over(c) {
			_ = c.Close()
			continue
		}
		kept = append(kept, c)
	}
	clear(p.idle[len(kept):])
	p.idle = kept
}

// count is how many are idle.
func (p *pool) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle)
}
