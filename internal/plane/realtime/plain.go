package realtime

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/trellis-dev/trellis/internal/plane"
)

// The typed layer looks at each part of a request by reflection, which is most
// of what a short request costs. Requests in the plain form that nearly all have
// are read here, and handled by the same functions; whatever is not in that form
// goes through the typed layer, which says what is wrong with it.

// plainBody is the longest body that is read here.
const plainBody = 64 << 10

// plainly has a request handled by f, where it is in a plain form.
func plainly(f func(w http.ResponseWriter, r *http.Request) (handled bool)) huma.Middlewares {
	return huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
		r, w := humachi.Unwrap(ctx)
		if room := r.PathValue("room"); len(room) > maxRoom || !plainAccept(r.Header["Accept"]) || !f(w, r) {
			next(ctx)
		}
	}}
}

func plainAccept(values []string) bool {
	switch len(values) {
	case 0:
		return true
	case 1:
		return values[0] == "*/*" || values[0] == "application/json"
	}
	return false
}

// readPlainly answers a regular poll.
func (g *Gateway) readPlainly(w http.ResponseWriter, r *http.Request) bool {
	in, plain := plainPoll(r.URL.RawQuery)
	if !plain {
		return false
	}
	in.Room = r.PathValue("room")
	if values := r.Header["If-None-Match"]; len(values) > 0 {
		in.IfNoneMatch = values[0]
	}
	out, err := g.poll(r.Context(), &in)
	if err != nil {
		plane.WriteError(w, r, err)
		return true
	}
	h := w.Header()
	h["Etag"] = []string{out.ETag}
	h["Cache-Control"], h["Vary"] = pollCacheControl, pollVary

	if out.Status == http.StatusNotModified {
		// As the typed layer has it, which says of what type the answer would be.
		h["Content-Type"] = jsonType
		w.WriteHeader(out.Status)
		return true
	}
	writePlainly(w, out.Status, out.Body)
	return true
}

// plainPoll reads a query of since and limit, each at most once, of characters
// that stand for themselves.
func plainPoll(query string) (in pollInput, plain bool) {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		name, value, _ := strings.Cut(pair, "=")
		switch {
		case name == "since" && in.Since == "" && len(value) <= maxSince && plainValue(value):
			in.Since = value
		case name == "limit" && in.Limit == 0 && len(value) <= len("1000") && plainValue(value):
			n, err := strconv.ParseUint(value, 10, 16)
			if err != nil || n < 1 || n > mostMessages {
				return in, false
			}
			in.Limit = int(n)
		default:
			return in, false
		}
	}
	if in.Limit == 0 {
		in.Limit = defaultLimit
	}
	return in, true
}

// Bounds of a poll's parameters, which their schema names too.
const (
	maxSince     = 64
	mostMessages = 1000
)

func plainValue(value string) bool {
	for i := range len(value) {
		if c := value[i]; notAlphanumeric(rune(c)) && c != ':' {
			return false
		}
	}
	return value != ""
}

// publishPlainly publishes a short body of a known length.
func (g *Gateway) publishPlainly(w http.ResponseWriter, r *http.Request) bool {
	in := publishInput{Room: r.PathValue("room")}
	types, keys := r.Header["Content-Type"], r.Header["Idempotency-Key"]
	if r.URL.RawQuery != "" || len(types) != 1 || types[0] != "application/json" || len(keys) > 1 {
		return false
	}
	if len(keys) == 1 {
		if in.Key = keys[0]; len(in.Key) > maxKey || !printable(in.Key) {
			return false
		}
	}
	if r.ContentLength <= 0 || r.ContentLength > plainBody || r.ContentLength >= g.plane.Config.HTTP.MaxBodyBytes {
		return false
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.put(buf)
	body := append((*buf)[:0], make([]byte, r.ContentLength)...)
	*buf = body
	if _, err := io.ReadFull(r.Body, body); err != nil {
		// What else there may be of it is not waited for.
		_ = r.Body.Close()
		plane.WriteError(w, r, plane.BrokenBody(err))
		return true
	}
	in.ContentType, in.RawBody = types[0], body
	out, err := g.publishHandler(r.Context(), &in)
	if err != nil {
		plane.WriteError(w, r, err)
		return true
	}
	if out.Replayed != "" {
		w.Header()["Idempotent-Replayed"] = []string{out.Replayed}
	}
	writePlainly(w, http.StatusCreated, &out.Body)
	return true
}

// Values of headers that are the same in every answer. Nobody writes to them.
var (
	jsonType         = []string{"application/json"}
	pollCacheControl = []string{pollCached}
	pollVary         = []string{pollVaries}
)

// countedBody is the longest body whose length the server finds out by itself.
const countedBody = 2 << 10

// writePlainly writes what the typed layer would.
func writePlainly(w http.ResponseWriter, status int, body plane.Encoded) {
	buf := buffers.Get().(*[]byte)
	defer buffers.put(buf)
	*buf = append(body.AppendJSON((*buf)[:0]), '\n')
	h := w.Header()
	h["Content-Type"] = jsonType
	if len(*buf) > countedBody {
		h["Content-Length"] = []string{strconv.Itoa(len(*buf))}
	}
	w.WriteHeader(status)
	_, _ = w.Write(*buf)
}

// buffers are for bodies.
var buffers = bodyBuffers{sync.Pool{New: func() any { return new([]byte) }}}

type bodyBuffers struct{ sync.Pool }

// put keeps no more than a long body needs.
func (b *bodyBuffers) put(buf *[]byte) {
	if cap(*buf) <= 2*plainBody {
		b.Put(buf)
	}
}
