package router

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/shards/overload"
)

const (
	// writeStall is how long a client may take to read what was written for it.
	writeStall = 60 * time.Second
	copyBuffer = 32 << 10
	// timedBody is the longest answer that is part of a shard's turn, in bytes.
	timedBody = 64 << 10
)

var copyBuffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// hopHeaders are between two parties and go no further (RFC 9110, section 7.6.1).
var hopHeaders = []string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// dropHop takes off what is for the next party only.
func dropHop(h http.Header) {
	for _, value := range h["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			if name = textproto.TrimString(name); name != "" {
				h.Del(name)
			}
		}
	}
	for _, name := range hopHeaders {
		delete(h, name)
	}
}

// pass hands an answer on to the client.
func (j *job) pass(ctx context.Context, y *reply) {
	dropHop(y.Header)
	h := j.w.Header()
	for name, values := range y.Header {
		h[name] = values
	}
	var announced []string
	if len(y.Trailer) > 0 {
		announced = slices.Collect(maps.Keys(y.Trailer))
		h["Trailer"] = announced
	}
	y.unhurried(ctx)
	endless := eventStream(y.Header)
	j.begun(y.StatusCode, endless)
	out := &guarded{w: j.w, rc: http.NewResponseController(j.w), http2: j.req.ProtoMajor == 2}
	out.before()
	j.w.WriteHeader(y.StatusCode)
	whole := false
	if endless {
		whole = j.follow(out, y)
	} else {
		whole = copyBody(out, y, y.ContentLength < 0, j.long) == nil
		j.abort = !whole
	}
	for name, values := range y.Trailer {
		if !slices.Contains(announced, name) {
			name = http.TrailerPrefix + name
		}
		h[name] = values
	}
	y.finish(whole)
	j.done(outcome(y, whole))
}

// long has an answer take no more of the shard's turn: how long it takes is up to its client.
func (j *job) long() { j.done(overload.Ignored) }

// outcome of a request that was answered.
func outcome(y *reply, whole bool) overload.Outcome {
	switch {
	case y.StatusCode == http.StatusTooManyRequests || y.StatusCode == http.StatusServiceUnavailable:
		return overload.Overloaded
	case !whole || y.StatusCode >= http.StatusBadRequest:
		return overload.Ignored
	}
	return overload.Success
}

// follow a stream of events to its end, or until the router drains. It ends in order then: the client opens it anew,
// elsewhere.
func (j *job) follow(out *guarded, y *reply) (whole bool) {
	j.r.metrics.streams.Inc()
	defer j.r.metrics.streams.Dec()
	drained, leave := j.r.open.enter(y.cut)
	defer leave()
	err := copyBody(out, y, true, func() {})
	j.abort = err != nil && !closed(drained)
	return err == nil
}

// copyBody to its end. Where flush is true, the client gets what there is at once. long is called once it is known that
// the body is.
func copyBody(out *guarded, y *reply, flush bool, long func()) error {
	buffer := copyBuffers.Get().(*[copyBuffer]byte)
	defer copyBuffers.Put(buffer)
	if flush && (y.conn == nil || y.conn.reader.Buffered() == 0) {
		// The client is to know that it begins.
		out.flush()
	}
	for copied := 0; ; {
		n, err := y.Body.Read(buffer[:])
		if copied += n; copied > timedBody {
			long()
		}
		if n > 0 {
			out.before()
			if _, failed := out.w.Write(buffer[:n]); failed != nil {
				return failed
			}
			if flush {
				out.flush()
			}
			out.after()
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// cut ends the reading of a body from the outside.
func (y *reply) cut() {
	if y.conn != nil {
		y.conn.abort()
		return
	}
	_ = y.Body.Close()
}

// eventStream tells an answer that lasts as long as its client stays.
func eventStream(h http.Header) bool {
	values := h["Content-Type"]
	if len(values) == 0 {
		return false
	}
	kind, _, _ := strings.Cut(values[0], ";")
	return strings.EqualFold(strings.TrimSpace(kind), "text/event-stream")
}

// guarded is an answer whose client has to read it in time, however long it is and however seldom something comes.
type guarded struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	http2 bool
	until time.Time
}

// before something is written.
func (g *guarded) before() {
	if now := time.Now(); g.until.Sub(now) < writeStall/2 {
		g.until = now.Add(writeStall)
		_ = g.rc.SetWriteDeadline(g.until)
	}
}

// after something was written. In HTTP/2 a deadline ends a stream on which nothing is written, too.
func (g *guarded) after() {
	if g.http2 {
		g.until = time.Time{}
		_ = g.rc.SetWriteDeadline(time.Time{})
	}
}

func (g *guarded) flush() { _ = g.rc.Flush() }
