package router

import (
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// writeStall is how long a client may take to read what was written for it.
	writeStall = 60 * time.Second
	copyBuffer = 32 << 10
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

// pass hands an answer on to the client. It reports whether all of it came.
func (j *job) pass(y *reply) (whole bool) {
	dropHop(y.Header)
	h := j.w.Header()
	for name, values := range y.Header {
		h[name] = values
	}
	announced := slices.Collect(maps.Keys(y.Trailer))
	if len(announced) > 0 {
		h["Trailer"] = announced
	}
	y.unhurried()
	endless := eventStream(y.Header)
	j.begun(y.StatusCode, endless)
	out := &guarded{w: j.w, rc: http.NewResponseController(j.w), http2: j.req.ProtoMajor == 2}
	out.before()
	j.w.WriteHeader(y.StatusCode)
	flush := endless || y.ContentLength < 0
	if endless {
		end, leave := j.r.open.enter(y.cut)
		defer leave()
		whole = j.copy(out, y, true, end)
	} else {
		whole = j.copy(out, y, flush, nil)
	}
	for name, values := range y.Trailer {
		if !slices.Contains(announced, name) {
			name = http.TrailerPrefix + name
		}
		h[name] = values
	}
	return whole
}

// copy the body. It reports whether it came to its end; drained has it end early.
func (j *job) copy(out *guarded, y *reply, flush bool, drained <-chan struct{}) bool {
	buffer := copyBuffers.Get().(*[copyBuffer]byte)
	defer copyBuffers.Put(buffer)
	if flush && (y.conn == nil || y.conn.reader.Buffered() == 0) {
		// The client is to know that it begins.
		out.flush()
	}
	for {
		n, err := y.Body.Read(buffer[:])
		if n > 0 {
			out.before()
			if _, failed := j.w.Write(buffer[:n]); failed != nil {
				j.broke = failed
				return false
			}
			if flush {
				out.flush()
			}
			out.after()
		}
		switch {
		case err == io.EOF: //nolint:errorlint // io.Reader says that it is this one
			return true
		case err != nil && closed(drained):
			// A stream of events ends in order: the client opens it anew, elsewhere.
			j.ended = true
			return false
		case err != nil:
			j.broke = err
			return false
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
