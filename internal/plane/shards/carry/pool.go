package carry

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
	// IdleLimit is how long a connection is kept unused: less than planes keep theirs, so that it is closed on this side,
	// and no request is sent on one that the other side closes at that moment.
	IdleLimit = 45 * time.Second
	// idleMost connections are kept for each server.
	idleMost = 512
	// connBuffer is read at once.
	connBuffer = 8 << 10
	// keptOut is the largest buffer of what is sent that a connection keeps.
	keptOut = 16 << 10
	// trusted is how lately a connection was used that is not looked at before a request that is harmless.
	trusted = 5 * time.Millisecond
)

// Dial opens a connection.
type Dial = func(ctx context.Context, network, address string) (net.Conn, error)

// Conn is a connection to a server, used by one request at a time.
type Conn struct {
	net.Conn
	Reader  *bufio.Reader
	source  *source
	address string
	out     []byte
	// reused is true once a request was answered on it.
	reused bool
	idle   time.Time
	// wary is true where the last answer had no body: a server that sends one all the same does so when it is not read any more.
	wary bool

	raw     syscall.RawConn
	quiet   bool
	looking func(fd uintptr) bool
}

// NewConn takes over a connection to an address.
func NewConn(c net.Conn, address string) *Conn {
	from := &source{c, -1}
	out := &Conn{Conn: c, address: address, source: from, Reader: bufio.NewReaderSize(from, connBuffer)}
	if sys, ok := c.(syscall.Conn); ok {
		out.raw, _ = sys.SyscallConn()
	}
	out.looking = out.look
	return out
}

// usable reports whether the other side has neither closed the connection nor said something that nobody asked for.
func (c *Conn) usable() bool {
	if c.raw == nil {
		return true
	}
	c.quiet = false
	return c.raw.Read(c.looking) == nil && c.quiet
}

func (c *Conn) look(fd uintptr) bool {
	var one [1]byte
	_, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	c.quiet = errors.Is(err, unix.EAGAIN)
	return true
}

var longAgo = time.Unix(1, 0)

// abort ends what is being read or written.
func (c *Conn) abort() { _ = c.SetDeadline(longAgo) }

// Pool keeps the connections to a server that are not in use, the last one on top. Its zero value is empty.
type Pool struct {
	mu     sync.Mutex
	idle   []*Conn
	closed bool
}

// take returns nil where there is none to the address. Who sends something harmless, which is sent again where the server
// did not answer, may have one that was used a moment before now without a look at it, which is a system call.
func (p *Pool) take(address string, harmless bool, now time.Time) *Conn {
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
		if c.address == address && (harmless && !c.wary && now.Sub(c.idle) < trusted || c.usable()) {
			return c
		}
		_ = c.Close()
	}
}

// Put gives a connection that nobody uses.
func (p *Pool) Put(c *Conn) {
	c.idle = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= idleMost {
		_ = c.Close()
		return
	}
	p.idle = append(p.idle, c)
}

// Drop closes those to an address.
func (p *Pool) Drop(address string) { p.prune(func(c *Conn) bool { return c.address == address }) }

// Expire closes those that were not used since.
func (p *Pool) Expire(since time.Time) {
	p.prune(func(c *Conn) bool { return c.idle.Before(since) })
}

// Close them all, and those that are given back from now on.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.prune(func(*Conn) bool { return true })
}

func (p *Pool) prune(over func(*Conn) bool) {
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

// Idle is how many there are.
func (p *Pool) Idle() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle)
}
