package front

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/httphead"
)

// States of a connection. What was not used yet, and what is idle, is closed when the server ends; what is busy is not.
const (
	unused int32 = iota
	idle
	busy
	over
)

const (
	// watchAfter is how long a request is under way before it is watched whether its client is still there: most are
	// answered long before.
	watchAfter = 50 * time.Millisecond
	// idleSlack is by how much a connection may be idle for less than the limit, so that the limit is not set for each request.
	idleSlack = time.Second
)

var longAgo = time.Unix(1, 0)

// conn is a connection that is served here, by one goroutine.
type conn struct {
	s      *Server
	inner  net.Conn
	r      *bufio.Reader
	w      *bufio.Writer
	began  time.Time
	state  atomic.Int32
	remote string
	ctx    context.Context
	cancel context.CancelFunc
	// blank is a request with the connection's context, which others are made of.
	blank *http.Request
	// until is when reading ends, zero where that is not known; limited is true where writing has a limit.
	until   time.Time
	limited bool
	watch   watch
	head    []byte
}

func newConn(s *Server, inner net.Conn) *conn {
	c := &conn{s: s, inner: inner, began: time.Now(), remote: inner.RemoteAddr().String()}
	c.r, c.w = bufio.NewReaderSize(inner, readBuffer), bufio.NewWriter(inner)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.blank = (&http.Request{RemoteAddr: c.remote}).WithContext(c.ctx)
	c.watch.timer = time.AfterFunc(time.Hour, func() { c.look() })
	c.watch.timer.Stop()
	return c
}

// serve requests until the connection ends or is handed over.
func (c *conn) serve() {
	defer c.s.forget(c)
	defer c.cancel()
	for {
		r, plain := c.next()
		if r == nil {
			if plain || !c.handOver() {
				_ = c.inner.Close()
			}
			return
		}
		if !c.answer(r) {
			_ = c.inner.Close()
			return
		}
		if !c.state.CompareAndSwap(busy, idle) {
			_ = c.inner.Close()
			return
		}
		if c.s.closing.Load() && c.state.CompareAndSwap(idle, over) {
			_ = c.inner.Close()
			return
		}
	}
}

// next request that is plain. Where there is none, plain says whether the connection is simply over; what is not plain is
// unread still.
func (c *conn) next() (r *http.Request, plain bool) {
	if c.r.Buffered() == 0 {
		c.await()
		if _, err := c.r.Peek(1); err != nil {
			return nil, true
		}
	}
	if !c.state.CompareAndSwap(idle, busy) && !c.state.CompareAndSwap(unused, busy) {
		return nil, true
	}
	b, _ := c.r.Peek(c.r.Buffered())
	if httphead.End(b) == 0 {
		if b = c.more(); b == nil {
			return nil, false
		}
	}
	return c.take(b), false
}

// more is read until a head is whole; nil where it does not come in time, is too long, or has lines that end with LF alone.
func (c *conn) more() []byte {
	c.readUntil(after(c.s.Rest.ReadHeaderTimeout))
	defer c.readUntil(time.Time{})
	for {
		b, _ := c.r.Peek(c.r.Buffered())
		switch {
		case httphead.End(b) > 0:
			return b
		case len(b) == c.r.Size(), bytes.Contains(b, []byte("\n\n")), bytes.Contains(b, []byte("\n\r\n")):
			return nil
		}
		if _, err := c.r.Peek(len(b) + 1); err != nil {
			return nil
		}
	}
}

// after a time; 0 is never.
func after(d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}

// take the request that b begins with; nil where it is not plain.
func (c *conn) take(b []byte) *http.Request {
	r := new(http.Request)
	*r = *c.blank
	n := httphead.Request(b, r)
	if n == 0 || r.ContentLength > longestBody || c.s.Takes != nil && !c.s.Takes(r) {
		return nil
	}
	_, _ = c.r.Discard(n)
	return r
}

// await gives the next request as long as a connection may be idle, and the first one as long as a head may take.
func (c *conn) await() {
	limit := c.s.Rest.IdleTimeout
	if c.state.Load() == unused {
		limit = c.s.Rest.ReadHeaderTimeout
	}
	if left := time.Until(c.until); left < limit-idleSlack || left > limit {
		c.readUntil(after(limit))
	}
}

func (c *conn) readUntil(t time.Time) {
	c.until = t
	_ = c.inner.SetReadDeadline(t)
}

// handOver has net/http have the connection, from what is unread on.
func (c *conn) handOver() bool {
	_ = c.inner.SetDeadline(time.Time{})
	b, _ := c.r.Peek(c.r.Buffered())
	if c.s.rest.give(&replayed{c.inner, append([]byte(nil), b...)}) {
		return true
	}
	// The server ends.
	_, _ = io.WriteString(c.inner, "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\nRetry-After: 1\r\n\r\n")
	return false
}

// answer a request. It reports whether another one may follow.
func (c *conn) answer(r *http.Request) bool {
	w := &response{c: c, r: r, header: make(http.Header, 8), length: -1}
	r.Body = http.NoBody
	if r.ContentLength > 0 {
		w.body = &body{c: c, left: r.ContentLength}
		r.Body = w.body
		if w.body.waits() {
			// How long a connection may be idle says nothing of it.
			c.readUntil(time.Time{})
		}
	} else {
		c.arm()
	}
	whole := c.handle(w, r)
	w.body.end()
	c.disarm()
	if !whole {
		if w.sent {
			_ = c.w.Flush()
		}
		return false
	}
	ok := w.finish()
	if c.limited {
		c.limited = false
		_ = c.inner.SetWriteDeadline(time.Time{})
	}
	return ok
}

// handle reports false where the answer is to be cut.
func (c *conn) handle(w *response, r *http.Request) (whole bool) {
	defer func() {
		if v := recover(); v != nil && v != http.ErrAbortHandler { //nolint:errorlint // the sentinel that net/http compares by identity
			c.s.Log.Error("a handler panicked", "panic", v, "stack", string(debug.Stack()))
		}
	}()
	c.s.Handler.ServeHTTP(w, r)
	return true
}

// watch ends a request's context when its client goes.
type watch struct {
	timer *time.Timer

	mu sync.Mutex
	// armed is true while a request may be watched; looking is not nil while it is, and closed when that ends.
	armed   bool
	looking chan struct{}
}

// arm the watch: nothing is read from the client by anybody else until it is disarmed.
func (c *conn) arm() {
	c.watch.mu.Lock()
	c.watch.armed = true
	c.watch.mu.Unlock()
	c.watch.timer.Reset(watchAfter)
}

// look whether the client is still there, until the request is over. What it sends meanwhile stays unread.
func (c *conn) look() {
	c.watch.mu.Lock()
	if !c.watch.armed || c.watch.looking != nil {
		c.watch.mu.Unlock()
		return
	}
	done := make(chan struct{})
	c.watch.looking = done
	_ = c.inner.SetReadDeadline(time.Time{})
	c.watch.mu.Unlock()
	if _, err := c.r.Peek(c.r.Buffered() + 1); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, bufio.ErrBufferFull) {
		c.cancel()
	}
	close(done)
}

func (c *conn) disarm() {
	c.watch.timer.Stop()
	c.watch.mu.Lock()
	c.watch.armed = false
	done := c.watch.looking
	c.watch.looking = nil
	c.watch.mu.Unlock()
	if done == nil {
		return
	}
	_ = c.inner.SetReadDeadline(longAgo)
	<-done
	c.readUntil(time.Time{})
}
