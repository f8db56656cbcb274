package router

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/shards/carry"
)

// exchange sends a request whose body is at hand, and reads the head of the answer.
func (r *Router) exchange(ctx context.Context, m *member, address string, o *carry.Request) (*carry.Reply, error) {
	s := r.settings.Load()
	o.Within = s.request
	return m.pool.Exchange(ctx, s.dial, address, o)
}

// stream sends a request whose body is read while it is sent. The shard is asked whether it wants the body before that
// is begun, so that one that does not own the key has cost nothing.
func (r *Router) stream(ctx context.Context, address string, o *carry.Request, body *carry.Streamed) (*carry.Reply, error) {
	s := r.settings.Load()
	url := *o.In.URL
	url.Scheme, url.Host, url.User, url.Fragment = "http", address, nil, ""
	out := (&http.Request{
		Method: o.In.Method, URL: &url, Host: o.In.Host, Header: o.In.Header.Clone(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: body, ContentLength: o.In.ContentLength, Trailer: goingTrailers(o.In, body),
		// To keep the connection, net/http would send a body that nobody wants.
		Close: !s.cfg.Container.H2C,
	}).WithContext(ctx)
	for _, f := range o.Added {
		out.Header.Set(f.Name, f.Value)
	}
	out.Header.Set("Expect", "100-continue")
	if _, named := out.Header["User-Agent"]; !named {
		out.Header.Set("User-Agent", "")
	}
	response, err := s.streams.RoundTrip(out)
	if err == nil {
		return &carry.Reply{Response: response}, nil
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return nil, &carry.UnsentError{Err: err, Unreachable: true}
	}
	return nil, err
}

// goingTrailers are those of a request that go on, under the names that it announced: their values are there once body was
// read, and those that routers and shards alone send are not among them.
func goingTrailers(in *http.Request, body *carry.Streamed) http.Header {
	if len(in.Trailer) == 0 {
		return nil
	}
	out := http.Header{}
	for name := range in.Trailer {
		if !ownHeader(name) {
			out[name] = nil
		}
	}
	body.Ended = func() {
		for name, values := range in.Trailer {
			if !ownHeader(name) {
				out[name] = values
			}
		}
	}
	return out
}

func newTransport(dial carry.Dial, request time.Duration, h2c bool) *http.Transport {
	t := &http.Transport{
		DialContext:         dial,
		MaxIdleConnsPerHost: idleStreams, IdleConnTimeout: carry.IdleLimit, DisableCompression: true,
		ResponseHeaderTimeout: request, ExpectContinueTimeout: continueWait,
		WriteBufferSize: carry.CopyBuffer, ReadBufferSize: streamBuffer,
	}
	if h2c {
		t.Protocols = new(http.Protocols)
		t.Protocols.SetUnencryptedHTTP2(true)
	}
	return t
}

const (
	// idleStreams are the connections for such bodies that are kept for each shard.
	idleStreams = 512
	// streamBuffer is read at once of an answer to one, in bytes.
	streamBuffer = 8 << 10
)
