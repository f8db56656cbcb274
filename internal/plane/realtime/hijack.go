package realtime

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"time"
)

// hijacker hands out connections that tell when they are closed, and can gather
// the frames of several messages into one write.
type hijacker struct {
	http.ResponseWriter
	closed func()
	conn   *gatherConn
}

// Unwrap lets http.ResponseController reach the writer below.
func (h *hijacker) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.conn = &gatherConn{Conn: conn, closed: h.closed}
	rw.Writer.Reset(h.conn)
	return h.conn, rw, nil
}

// gatherConn is a connection whose writes have a time limit. While it gathers,
// what is written waits for flush.
type gatherConn struct {
	net.Conn
	closed func()
	once   sync.Once

	mu        sync.Mutex
	gathering bool
	buf       []byte
}

// Write implements net.Conn.
func (c *gatherConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gathering && len(c.buf) < maxEventBuffer {
		if c.buf == nil {
			c.buf = *eventBuffers.Get().(*[]byte)
		}
		c.buf = append(c.buf, p...)
		return len(p), nil
	}
	if err := c.send(); err != nil {
		return 0, err
	}
	_ = c.SetWriteDeadline(time.Now().Add(streamWriteTimeout))
	return c.Conn.Write(p)
}

// gather begins to hold writes back.
func (c *gatherConn) gather() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gathering = true
}

// flush sends what was gathered, in one write.
func (c *gatherConn) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gathering = false
	return c.send()
}

func (c *gatherConn) send() error {
	if len(c.buf) == 0 {
		return nil
	}
	_ = c.SetWriteDeadline(time.Now().Add(streamWriteTimeout))
	_, err := c.Conn.Write(c.buf)
	if cap(c.buf) <= 2*maxEventBuffer {
		buf := c.buf[:0]
		eventBuffers.Put(&buf)
	}
	c.buf = nil
	return err
}

// Close implements net.Conn.
func (c *gatherConn) Close() error {
	if c.closed != nil {
		c.once.Do(c.closed)
	}
	return c.Conn.Close()
}
