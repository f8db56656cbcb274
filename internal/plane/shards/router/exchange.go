package router

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// field is a header that the router adds.
type field struct{ name, value string }

// outgoing is a request as it is sent on. It can be sent again where its body is at hand, or was not asked for.
type outgoing struct {
	in *http.Request
	// uri is the target as it came, upgrade the protocol that is asked for in the place of HTTP.
	uri, upgrade string
	// body is all of it where kept is true; otherwise it is read from the request as it is sent.
	body []byte
	kept bool
	// added are the headers for this shard.
	added []field
	// inform is called with an answer before the answer, such as 103.
	inform func(*http.Response)
}

// reply is the head of an answer, and the way to the rest of it.
type reply struct {
	*http.Response
	// conn is nil where the body comes from elsewhere.
	conn *conn
	from *member
	stop func() bool
}

// unsentError says that nothing of a request was done: sending it again is safe.
type unsentError struct {
	error
	// unreachable is true where there was no connection.
	unreachable bool
}

func (e *unsentError) Unwrap() error { return e.error }

// exchange sends a request whose body is at hand, and reads the head of the answer. It is done in the caller's own
// goroutine, as a hand-over to others and back costs more than all the rest.
func (r *Router) exchange(ctx context.Context, m *member, address string, o *outgoing) (*reply, error) {
	c := m.pool.take(address)
	if c == nil {
		var err error
		if c, err = r.dial(ctx, address); err != nil {
			return nil, &unsentError{err, true}
		}
	}
	_ = c.SetDeadline(time.Now().Add(r.settings.Load().request))
	stop := context.AfterFunc(ctx, c.abort)
	response, err := c.ask(o)
	if err != nil {
		stop()
		_ = c.Close()
		return nil, err
	}
	return &reply{Response: response, conn: c, from: m, stop: stop}, nil
}

var longAgo = time.Unix(1, 0)

// abort ends what is being read or written.
func (c *conn) abort() { _ = c.SetDeadline(longAgo) }

func (c *conn) ask(o *outgoing) (*http.Response, error) {
	c.out = o.appendHead(c.out[:0])
	head := len(c.out)
	c.out = append(c.out, o.body...)
	n, err := c.Write(c.out)
	if cap(c.out) > keptBody/4 {
		c.out = nil
	}
	if err != nil && n < head {
		return nil, &unsentError{err, false}
	}
	// Where the other side stopped reading it may have answered nevertheless.
	response, readErr := c.head(o)
	if readErr != nil {
		return nil, errors.Join(err, readErr)
	}
	response.Close = response.Close || err != nil
	c.reused = true
	return response, nil
}

// head of the answer that counts.
func (c *conn) head(o *outgoing) (*http.Response, error) {
	for {
		response, err := http.ReadResponse(c.reader, o.in)
		if err != nil {
			return nil, err
		}
		switch code := response.StatusCode; {
		case code >= http.StatusOK || code == http.StatusSwitchingProtocols:
			return response, nil
		case code != http.StatusContinue && o.inform != nil:
			o.inform(response)
		}
	}
}

// finish gives the connection back where the whole answer was read.
func (y *reply) finish(whole bool) {
	if y.conn == nil {
		_ = y.Body.Close()
		return
	}
	if !y.stop() || !whole || y.Close || y.conn.reader.Buffered() > 0 {
		_ = y.conn.Close()
		return
	}
	y.conn.idle = time.Now()
	y.from.pool.put(y.conn)
}

// unhurried lets the rest of an answer take its time, where it is not here already.
func (y *reply) unhurried(ctx context.Context) {
	if y.conn == nil || y.ContentLength >= 0 && y.ContentLength <= int64(y.conn.reader.Buffered()) {
		return
	}
	_ = y.conn.SetDeadline(time.Time{})
	if ctx.Err() != nil {
		// The client went away just now.
		y.conn.abort()
	}
}

// appendHead writes the request line and the headers. What the server took apart was found valid by it.
func (o *outgoing) appendHead(b []byte) []byte {
	line := func(name, value string) {
		b = append(b, name...)
		b = append(b, ": "...)
		b = append(b, value...)
		b = append(b, "\r\n"...)
	}
	b = append(b, o.in.Method...)
	b = append(b, ' ')
	b = append(b, o.uri...)
	b = append(b, " HTTP/1.1\r\n"...)
	line("Host", o.in.Host)
	for name, values := range o.in.Header {
		for _, v := range values {
			line(name, v)
		}
	}
	for _, f := range o.added {
		line(f.name, f.value)
	}
	if o.upgrade != "" {
		line("Connection", "Upgrade")
		line("Upgrade", o.upgrade)
	}
	if len(o.body) > 0 || o.in.Method == http.MethodPost || o.in.Method == http.MethodPut || o.in.Method == http.MethodPatch {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, int64(len(o.body)), 10)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}

// stream sends a request whose body is read while it is sent. The shard is asked whether it wants the body before that
// is begun, so that one that does not own the key has cost nothing.
func (r *Router) stream(ctx context.Context, m *member, address string, o *outgoing, body *streamed) (*reply, error) {
	s := r.settings.Load()
	url := *o.in.URL
	url.Scheme, url.Host, url.User, url.Fragment = "http", address, nil, ""
	out := (&http.Request{
		Method: o.in.Method, URL: &url, Host: o.in.Host, Header: o.in.Header.Clone(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: body, ContentLength: o.in.ContentLength, Trailer: o.in.Trailer,
		// To keep the connection, net/http would send a body that nobody wants.
		Close: !s.cfg.Container.H2C,
	}).WithContext(ctx)
	for _, f := range o.added {
		out.Header.Set(f.name, f.value)
	}
	out.Header.Set("Expect", "100-continue")
	if _, named := out.Header["User-Agent"]; !named {
		out.Header.Set("User-Agent", "")
	}
	response, err := s.streams.RoundTrip(out)
	if err == nil {
		return &reply{Response: response, from: m}, nil
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return nil, &unsentError{err, true}
	}
	return nil, err
}

// streamed is a body that is sent as it is read, to one shard. It stays open until the request is over, so that it can
// be sent to another shard where the first one did not want it.
type streamed struct {
	body  io.Reader
	state atomic.Int32
}

const (
	bodyFresh = iota
	bodyBegun
	bodySealed
)

// Read implements io.Reader.
func (s *streamed) Read(p []byte) (int, error) {
	if s.state.Load() != bodyBegun && !s.state.CompareAndSwap(bodyFresh, bodyBegun) {
		return 0, errSealed
	}
	return s.body.Read(p)
}

// seal reports whether nothing of the body was read, and has nothing be read by whom it was for.
func (s *streamed) seal() bool { return s.state.CompareAndSwap(bodyFresh, bodySealed) }

// Close implements io.Closer. The server closes what is behind it.
func (s *streamed) Close() error { return nil }

var errSealed = errors.New("the body goes to another shard")

// timedOut reports whether the time for an answer was over.
func timedOut(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// uriOf is the target of a request in the form that goes to a server.
func uriOf(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		return r.RequestURI
	}
	return r.URL.RequestURI()
}
