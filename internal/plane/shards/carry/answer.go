package carry

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// CopyBuffer is what is copied at once, in bytes.
const CopyBuffer = 32 << 10

// Buffers through which is copied.
var Buffers = sync.Pool{New: func() any { return new([CopyBuffer]byte) }}

const (
	// EventStream is the type of answers that last as long as their client stays.
	EventStream = "text/event-stream"
	// slowBuffer is what is copied at once of an answer that comes in small pieces.
	slowBuffer = 4 << 10
)

var slowBuffers = sync.Pool{New: func() any { return new([slowBuffer]byte) }}

// bufferOf an answer, and what gives it back.
func bufferOf(slow bool) (buffer []byte, give func()) {
	if slow {
		b := slowBuffers.Get().(*[slowBuffer]byte)
		return b[:], func() { slowBuffers.Put(b) }
	}
	b := Buffers.Get().(*[CopyBuffer]byte)
	return b[:], func() { Buffers.Put(b) }
}

// Client is who gets an answer.
type Client struct {
	W http.ResponseWriter
	// Stall is how long it may take to read what was written for it; 0 is for ever.
	Stall time.Duration
	HTTP2 bool
	// Slow is an answer that comes in small pieces over a long time.
	Slow bool

	rc    *http.ResponseController
	until time.Time
}

// Head passes the head of an answer on, with the trailers that it announces. It returns those.
func (c *Client) Head(y *Reply) (announced []string) {
	DropHop(y.Header)
	h := c.W.Header()
	for name, values := range y.Header {
		h[name] = values
	}
	if _, typed := h["Content-Type"]; !typed {
		// Nobody guesses at what the server did not say.
		h["Content-Type"] = nil
	}
	for name := range y.Trailer {
		if ownTrailer(name) {
			delete(y.Trailer, name)
		}
	}
	if len(y.Trailer) > 0 {
		announced = slices.Collect(maps.Keys(y.Trailer))
		h["Trailer"] = announced
	}
	c.before()
	c.W.WriteHeader(y.StatusCode)
	return announced
}

// Body passes the body of an answer on. Where flush is true, the client gets what there is at once. long is called once more
// than limit bytes came.
func (c *Client) Body(y *Reply, flush bool, limit int, long func()) error {
	if y.Conn != nil && y.ContentLength > 0 && y.ContentLength <= int64(limit) && y.here() {
		if body, plain := y.Body.(*fixedBody); plain {
			return c.atOnce(body)
		}
	}
	buffer, give := bufferOf(c.Slow)
	// A write of HTTP/2 that failed, as its stream was reset, may read of the buffer still: then it is nobody else's.
	written, err := c.copy(buffer, y, flush, limit, long)
	if written {
		give()
	}
	return err
}

// copy a body through a buffer. written is false where something could not be written.
func (c *Client) copy(buffer []byte, y *Reply, flush bool, limit int, long func()) (written bool, err error) {
	if flush && (y.Conn == nil || y.Conn.Reader.Buffered() == 0) {
		// The client is to know that it begins.
		c.flush()
	}
	for copied := 0; ; {
		n, err := y.Body.Read(buffer)
		if copied += n; copied > limit {
			long()
		}
		if n > 0 {
			if failed := c.write(buffer[:n], flush); failed != nil {
				return false, failed
			}
		}
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return true, err
		}
	}
}

// atOnce writes a body that is here, from where it is.
func (c *Client) atOnce(body *fixedBody) error {
	n := int(body.left)
	b, err := body.r.Peek(n)
	if err != nil {
		return err
	}
	if err := c.write(b, false); err != nil {
		return err
	}
	body.left = 0
	_, err = body.r.Discard(n)
	return err
}

func (c *Client) write(b []byte, flush bool) error {
	c.before()
	if _, err := c.W.Write(b); err != nil {
		return err
	}
	if flush {
		c.flush()
	}
	c.after()
	return nil
}

// ownTrailer reports whether a trailer is one that routers and shards alone send, or that is for the next party only.
func ownTrailer(name string) bool {
	return strings.HasPrefix(name, "Trellis-") || strings.HasPrefix(name, "Trellis_") || slices.Contains(hopHeaders, name)
}

// Trailers passes on what followed the body.
func (c *Client) Trailers(y *Reply, announced []string) {
	h := c.W.Header()
	for name, values := range y.Trailer {
		if ownTrailer(name) {
			continue
		}
		if !slices.Contains(announced, name) {
			name = http.TrailerPrefix + name
		}
		h[name] = values
	}
}

// Inform passes on an answer before the answer.
func (c *Client) Inform(y *http.Response) {
	DropHop(y.Header)
	h := c.W.Header()
	for name, values := range y.Header {
		h[name] = values
	}
	c.before()
	c.W.WriteHeader(y.StatusCode)
	c.after()
	clear(h)
}

// before something is written.
func (c *Client) before() {
	if c.Stall == 0 {
		return
	}
	if now := time.Now(); c.until.Sub(now) < c.Stall/2 {
		c.until = now.Add(c.Stall)
		_ = c.control().SetWriteDeadline(c.until)
	}
}

// after something was written. In HTTP/2 a deadline ends a stream on which nothing is written, too.
func (c *Client) after() {
	if c.HTTP2 && c.Stall > 0 {
		c.until = time.Time{}
		_ = c.control().SetWriteDeadline(time.Time{})
	}
}

func (c *Client) flush() { _ = c.control().Flush() }

func (c *Client) control() *http.ResponseController {
	if c.rc == nil {
		c.rc = http.NewResponseController(c.W)
	}
	return c.rc
}

// Endless tells an answer that lasts as long as its client stays: a stream of events.
func Endless(h http.Header) bool {
	values := h["Content-Type"]
	if len(values) == 0 {
		return false
	}
	kind, _, _ := strings.Cut(values[0], ";")
	return strings.EqualFold(strings.TrimSpace(kind), EventStream)
}
