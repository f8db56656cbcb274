package realtime

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// hijacker hands out connections that tell when they are closed, and that gather
// the frames of several messages into one write.
type hijacker struct {
	http.ResponseWriter
	of     *connection
	closed func()
	// small asks for small buffers.
	small bool
	conn  *gatherConn
}

// Unwrap lets http.ResponseController reach the writer below.
func (h *hijacker) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.conn = &gatherConn{Conn: conn, of: h.of, closed: h.closed}
	return h.conn, h.smaller(rw), nil
}

// smallBuffer is enough for a frame's header, and for most of what clients send.
// What is written goes on to shared buffers, so that an idle connection has none.
const smallBuffer = 256

// smaller replaces the server's buffers, which a connection would keep for life.
func (h *hijacker) smaller(rw *bufio.ReadWriter) *bufio.ReadWriter {
	if !h.small {
		rw.Writer.Reset(h.conn)
		return rw
	}
	out := bufio.NewReadWriter(rw.Reader, bufio.NewWriterSize(h.conn, smallBuffer))
	early := rw.Reader.Buffered()
	if early > smallBuffer {
		return out
	}
	// What came with the handshake has to be in the new buffer, not behind it.
	sent, _ := rw.Reader.Peek(early)
	out.Reader = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(sent), h.conn), smallBuffer)
	if early > 0 {
		_, _ = out.Reader.Peek(early)
	}
	return out
}

// gatherConn is a connection whose writes have a time limit, and that gathers
// frames until flush. Each write of others is sent whole, between frames.
type gatherConn struct {
	net.Conn
	of     *connection
	closed func()
	once   sync.Once

	mu  sync.Mutex
	buf []byte
	// limited is when the time limit was last set.
	limited time.Time
}

// limit bounds the next write to streamWriteTimeout, or a second more:
// setting it costs a good part of a short write, and is not done for each.
func (c *gatherConn) limit() {
	now := time.Now()
	if now.Sub(c.limited) < time.Second {
		return
	}
	c.limited = now
	_ = c.SetWriteDeadline(now.Add(streamWriteTimeout + time.Second))
}

// Write implements net.Conn. What was gathered goes first.
func (c *gatherConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.send(); err != nil {
		return 0, err
	}
	c.limit()
	n, err := c.Conn.Write(p)
	c.of.wrote(err)
	return n, err
}

// frame gathers a WebSocket text frame (RFC 6455, section 5.2), unmasked as a
// server's are.
func (c *gatherConn) frame(text []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.buf) >= maxEventBuffer {
		if err := c.send(); err != nil {
			return err
		}
	}
	if c.buf == nil {
		c.buf = *eventBuffers.Get().(*[]byte)
	}
	const finalText = 0x81
	switch n := len(text); {
	case n < 126:
		c.buf = append(c.buf, finalText, byte(n))
	case n < 1<<16:
		c.buf = binary.BigEndian.AppendUint16(append(c.buf, finalText, 126), uint16(n))
	default:
		c.buf = binary.BigEndian.AppendUint64(append(c.buf, finalText, 127), uint64(n))
	}
	c.buf = append(c.buf, text...)
	return nil
}

// flush sends what was gathered, in one write.
func (c *gatherConn) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.send()
}

func (c *gatherConn) send() error {
	if len(c.buf) == 0 {
		return nil
	}
	c.limit()
	_, err := c.Conn.Write(c.buf)
	c.of.wrote(err)
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

// watchedHijacker hands out connections as they are, but for telling when they
// are closed: to a library that sets time limits and gathers by itself.
type watchedHijacker struct {
	http.ResponseWriter
	of    *connection
	taken bool
}

// Unwrap lets http.ResponseController reach the writer below.
func (h *watchedHijacker) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// Hijack implements http.Hijacker.
func (h *watchedHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.taken = true
	watched := &watchedConn{Conn: conn, of: h.of}
	rw.Writer.Reset(watched)
	return watched, rw, nil
}

type watchedConn struct {
	net.Conn
	of *connection
}

// Write implements net.Conn.
func (c *watchedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.of.wrote(err)
	return n, err
}

// Close implements net.Conn.
func (c *watchedConn) Close() error {
	c.of.close()
	return c.Conn.Close()
}
