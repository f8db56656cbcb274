package carry

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// Reply is the head of an answer, and the way to the rest of it.
type Reply struct {
	*http.Response
	// Conn is nil where the body comes from elsewhere.
	Conn *Conn
	pool *Pool
	stop func() bool
}

// UnsentError says that nothing of a request was done: sending it again is safe.
type UnsentError struct {
	Err error
	// Unreachable is true where there was no connection.
	Unreachable bool
}

// Error implements error.
func (e *UnsentError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *UnsentError) Unwrap() error { return e.Err }

// ClosedError is of a connection that was kept, and that the server closed without a word of an answer: most likely it
// did so before the request came.
type ClosedError struct{ Err error }

// Error implements error.
func (e *ClosedError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *ClosedError) Unwrap() error { return e.Err }

// Exchange sends a request and reads the head of the answer, on a connection of the pool or one that dial opens. Where ctx
// ends it gives up, after the patience of the request.
func (p *Pool) Exchange(ctx context.Context, dial Dial, address string, o *Request) (*Reply, error) {
	now := time.Now()
	c := p.take(address, Harmless(o.In), now)
	if c == nil {
		conn, err := dial(ctx, "tcp", address)
		if err != nil {
			return nil, &UnsentError{err, true}
		}
		c, now = NewConn(conn, address), time.Now()
	}
	if o.Holder != nil {
		if err := o.Holder.Hold(c.Conn); err != nil {
			_ = c.Close()
			return nil, &UnsentError{err, false}
		}
	}
	var deadline time.Time
	if o.Within > 0 {
		deadline = now.Add(o.Within)
	}
	_ = c.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() {
		if o.Patience <= 0 {
			c.abort()
			return
		}
		_ = c.SetDeadline(time.Now().Add(o.Patience))
	})
	y, err := c.ask(o)
	if err != nil {
		stop()
		_ = c.Close()
		return nil, err
	}
	y.pool, y.stop = p, stop
	return y, nil
}

func (c *Conn) ask(o *Request) (*Reply, error) {
	c.out = o.appendHead(c.out[:0])
	head := len(c.out)
	c.out = append(c.out, o.Body...)
	n, err := c.Write(c.out)
	if cap(c.out) > keptOut {
		c.out = nil
	}
	if err != nil && n < head {
		return nil, &UnsentError{err, false}
	}
	// Where the other side stopped reading it may have answered nevertheless.
	if _, silent := c.Reader.Peek(1); silent != nil {
		silent = errors.Join(err, silent)
		if c.reused && !TimedOut(silent) {
			return nil, &ClosedError{silent}
		}
		return nil, silent
	}
	y, readErr := c.head(o)
	if readErr != nil {
		return nil, errors.Join(err, readErr)
	}
	y.Close = y.Close || err != nil
	c.reused = true
	return y, nil
}

// head of the answer that counts.
func (c *Conn) head(o *Request) (*Reply, error) {
	if y := c.plainHead(o.In); y != nil {
		return y, nil
	}
	c.source.most = mostHead
	defer func() { c.source.most = -1 }()
	for {
		response, err := http.ReadResponse(c.Reader, o.In)
		switch {
		case err != nil && c.source.most == 0:
			return nil, errLongHead
		case err != nil:
			return nil, err
		}
		switch code := response.StatusCode; {
		case code < http.StatusContinue:
			return nil, errStatus
		case code >= http.StatusOK || code == http.StatusSwitchingProtocols:
			return &Reply{Response: response, Conn: c}, nil
		case code != http.StatusContinue && o.Inform != nil:
			o.Inform(response)
		}
	}
}

// mostHead is the longest head of an answer, with all answers before it, in bytes.
const mostHead = 1 << 20

var (
	errStatus   = errors.New("the server answered with a status below 100")
	errLongHead = errors.New("the head of the server's answer is longer than 1 MiB")
)

// source is a connection of which no more than most bytes are read, where that is not negative.
type source struct {
	net.Conn
	most int
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	switch {
	case s.most < 0:
		return s.Conn.Read(p)
	case s.most == 0:
		return 0, errLongHead
	}
	n, err := s.Conn.Read(p[:min(len(p), s.most)])
	s.most -= n
	return n, err
}

// Finish gives the connection back where the whole answer was read.
func (y *Reply) Finish(whole bool) {
	if y.Conn == nil {
		_ = y.Body.Close()
		return
	}
	if !y.stop() || !whole || y.Close || y.Conn.Reader.Buffered() > 0 {
		_ = y.Conn.Close()
		return
	}
	y.Conn.wary = y.Request.Method == http.MethodHead || y.StatusCode == http.StatusNoContent || y.StatusCode == http.StatusNotModified
	y.pool.Put(y.Conn)
}

// Discard what is left of an answer that nobody gets.
func (y *Reply) Discard() {
	short := y.Conn != nil && y.ContentLength >= 0 && y.here()
	if short {
		_, err := io.Copy(io.Discard, y.Body)
		short = err == nil
	}
	y.Finish(short)
}

// Here reports whether all of an answer has arrived.
func (y *Reply) Here() bool {
	return y.ContentLength >= 0 && (y.Body == http.NoBody || y.Conn != nil && y.here())
}

// here reports whether the rest of an answer whose length is known has arrived.
func (y *Reply) here() bool { return y.ContentLength <= int64(y.Conn.Reader.Buffered()) }

// Detach has the connection be the caller's: nothing ends it any more.
func (y *Reply) Detach() {
	y.stop()
	_ = y.Conn.SetDeadline(time.Time{})
}

// Unhurried lets the rest of an answer take its time, where it is not here already. From then on it ends with ctx at once.
func (y *Reply) Unhurried(ctx context.Context) {
	if y.Conn == nil || y.ContentLength >= 0 && y.here() {
		return
	}
	y.stop()
	_ = y.Conn.SetDeadline(time.Time{})
	y.stop = context.AfterFunc(ctx, y.Conn.abort)
}

// Cut ends the reading of a body from the outside.
func (y *Reply) Cut() {
	if y.Conn != nil {
		y.Conn.abort()
		return
	}
	_ = y.Body.Close()
}

// Streamed is a body that is sent as it is read, to one server. It stays open until the request is over, so that it can
// be sent to another one where the first did not want it.
type Streamed struct {
	Body io.Reader
	// Ended is called once all of it was read, by whom it is for; it may be nil.
	Ended func()
	state atomic.Int32
}

const (
	bodyFresh = iota
	bodyBegun
	bodySealed
)

// Read implements io.Reader.
func (s *Streamed) Read(p []byte) (int, error) {
	if s.state.Load() != bodyBegun && !s.state.CompareAndSwap(bodyFresh, bodyBegun) {
		return 0, errSealed
	}
	n, err := s.Body.Read(p)
	if err == io.EOF && s.Ended != nil {
		s.Ended()
	}
	return n, err
}

// Seal reports whether nothing of the body was read, and has nothing be read by whom it was for.
func (s *Streamed) Seal() bool { return s.state.CompareAndSwap(bodyFresh, bodySealed) }

// Close implements io.Closer. The server closes what is behind it.
func (s *Streamed) Close() error { return nil }

var errSealed = errors.New("the body goes to another shard")

// TimedOut reports whether the time for an answer was over. That the other side is gone is another matter.
func TimedOut(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() && !errors.Is(err, syscall.ETIMEDOUT)
}
