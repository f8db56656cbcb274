package front

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/httphead"
)

// shortAnswer is what is kept of an answer of unknown length, in bytes: if there is no more of it, its length is known.
const shortAnswer = 2 << 10

// response implements http.ResponseWriter.
type response struct {
	c      *conn
	r      *http.Request
	header http.Header
	body   *body
	status int
	// length of the body as the handler said it, -1 where it did not; written is how much there was of it.
	length, written int64
	// sent is true once the head was; until then it is in the connection's head, but for how the body is framed.
	sent bool
	// bare answers have no body, nor a length; chunked ones have a body of unknown length. The last one is true where the
	// connection ends.
	bare, chunked, last bool
	kept                []byte
	trailers            []string
	failed              error
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.header }

// SetReadDeadline serves http.ResponseController.
func (w *response) SetReadDeadline(t time.Time) error {
	w.c.until = time.Time{}
	return w.c.inner.SetReadDeadline(t)
}

// SetWriteDeadline serves http.ResponseController.
func (w *response) SetWriteDeadline(t time.Time) error {
	w.c.limited = !t.IsZero()
	return w.c.inner.SetWriteDeadline(t)
}

// WriteHeader implements http.ResponseWriter.
func (w *response) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		w.inform(status)
		return
	}
	w.status = status
	w.bare = status == http.StatusNoContent || status == http.StatusNotModified
	if values := w.header["Content-Length"]; len(values) > 0 && !w.bare {
		if n, err := strconv.ParseInt(values[0], 10, 64); err == nil && n >= 0 {
			w.length = n
		}
	}
	w.announce()
	w.last = w.r.Close || w.c.s.closing.Load() || w.asksToClose() || w.body.waits()
	w.c.head = w.appendHead(w.c.head[:0])
	if w.bare || w.length >= 0 {
		w.sendHead()
	}
}

// announce the trailers that the header names.
func (w *response) announce() {
	for _, names := range w.header["Trailer"] {
		for name := range strings.SplitSeq(names, ",") {
			w.trailers = append(w.trailers, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
}

func (w *response) asksToClose() bool {
	for _, v := range w.header["Connection"] {
		if strings.EqualFold(v, "close") {
			return true
		}
	}
	return false
}

// inform writes an answer before the answer.
func (w *response) inform(status int) {
	b := appendStatus(w.c.head[:0], status)
	for name, values := range w.header {
		if !frames(name) && !strings.HasPrefix(name, http.TrailerPrefix) {
			b = appendField(b, name, values)
		}
	}
	w.c.head = append(b, "\r\n"...)
	w.raw(w.c.head)
	w.flush()
}

// appendHead writes the head as it is now, but for how the body is framed and the empty line.
func (w *response) appendHead(b []byte) []byte {
	b = appendStatus(b, w.status)
	for name, values := range w.header {
		switch {
		case frames(name):
		case strings.HasPrefix(name, http.TrailerPrefix) || w.isTrailer(name):
		case name == "Content-Type" && w.status == http.StatusNotModified:
		default:
			b = appendField(b, name, values)
		}
	}
	if _, dated := w.header["Date"]; !dated {
		b = append(append(append(b, "Date: "...), date()...), "\r\n"...)
	}
	if w.last {
		b = append(b, "Connection: close\r\n"...)
	}
	return b
}

// frames reports whether a field says how long an answer is, or its connection lasts.
func frames(name string) bool {
	return name == "Content-Length" || name == "Transfer-Encoding" || name == "Connection" || name == "Trailer"
}

func (w *response) isTrailer(name string) bool {
	for _, t := range w.trailers {
		if t == name {
			return true
		}
	}
	return false
}

// sendHead once it is known how the body is framed.
func (w *response) sendHead() {
	b := w.c.head
	switch {
	case w.length >= 0:
		b = strconv.AppendInt(append(b, "Content-Length: "...), w.length, 10)
		b = append(b, "\r\n"...)
	case w.chunked:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		if len(w.trailers) > 0 {
			b = appendField(b, "Trailer", w.trailers)
		}
	}
	w.c.head = append(b, "\r\n"...)
	w.sent = true
	w.raw(w.c.head)
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.failed != nil:
		return 0, w.failed
	case w.bare:
		return 0, http.ErrBodyNotAllowed
	}
	w.written += int64(len(p))
	if w.length >= 0 && w.written > w.length {
		return 0, http.ErrContentLength
	}
	switch {
	case w.isHead():
	case w.length >= 0:
		w.raw(p)
	case w.chunked:
		w.chunk(p)
	case len(w.kept)+len(p) <= shortAnswer:
		w.kept = append(w.kept, p...)
	default:
		w.chunks()
		w.chunk(p)
	}
	return len(p), w.failed
}

// FlushError serves http.ResponseController.
func (w *response) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.sent {
		w.chunks()
	}
	w.flush()
	return w.failed
}

// Flush implements http.Flusher.
func (w *response) Flush() { _ = w.FlushError() }

// chunks has the body be sent in chunks from now on.
func (w *response) chunks() {
	w.chunked = !w.isHead()
	w.sendHead()
	w.chunk(w.kept)
	w.kept = nil
}

func (w *response) chunk(p []byte) {
	if len(p) == 0 {
		return
	}
	var size [18]byte
	w.raw(append(strconv.AppendInt(size[:0], int64(len(p)), 16), "\r\n"...))
	w.raw(p)
	w.raw([]byte("\r\n"))
}

// finish reports whether another answer may follow.
func (w *response) finish() bool {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.settle()
	if w.chunked {
		w.raw([]byte("0\r\n"))
		w.raw(append(w.appendTrailers(nil), "\r\n"...))
	}
	w.flush()
	if w.failed != nil || w.last || w.length >= 0 && w.written != w.length && !w.isHead() {
		return false
	}
	if w.body == nil || w.body.left == 0 {
		return true
	}
	// It was there when the head was sent, or the connection would end.
	n, _ := w.c.r.Discard(int(min(w.body.left, int64(w.c.r.Buffered()))))
	return int64(n) == w.body.left
}

// settle how the body is framed, where that was left open until its end.
func (w *response) settle() {
	switch {
	case w.sent:
	case w.isHead():
		// Of what was not written it is not known how long it would be.
		if w.written > 0 && w.written <= shortAnswer {
			w.length = w.written
		}
		w.sendHead()
	case w.hasTrailers():
		w.chunks()
	default:
		w.length = int64(len(w.kept))
		w.sendHead()
		w.raw(w.kept)
	}
}

func (w *response) isHead() bool { return w.r.Method == http.MethodHead }

func (w *response) hasTrailers() bool {
	if len(w.trailers) > 0 {
		return true
	}
	for name := range w.header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}
	return false
}

func (w *response) appendTrailers(b []byte) []byte {
	for name, values := range w.header {
		if plain, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			b = appendField(b, plain, values)
		} else if w.isTrailer(name) {
			b = appendField(b, name, values)
		}
	}
	return b
}

func (w *response) raw(p []byte) {
	if w.failed == nil {
		_, w.failed = w.c.w.Write(p)
	}
}

func (w *response) flush() {
	if w.failed == nil {
		w.failed = w.c.w.Flush()
	}
}

func appendStatus(b []byte, status int) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(status)...)
	return append(b, "\r\n"...)
}

// appendField writes a field once for each value, without what would end its line. One with a name that is none, such as
// "Content-Length ", is left out: clients differ in what they take it for.
func appendField(b []byte, name string, values []string) []byte {
	if !httphead.Token(name) {
		return b
	}
	for _, v := range values {
		b = append(append(b, name...), ": "...)
		if strings.ContainsAny(v, "\r\n") {
			v = strings.NewReplacer("\r", " ", "\n", " ").Replace(v)
		}
		b = append(append(b, v...), "\r\n"...)
	}
	return b
}

// dated is a second, as a header has it.
type dated struct {
	second int64
	text   string
}

var lately atomic.Pointer[dated]

func date() string {
	now := time.Now()
	d := lately.Load()
	if d == nil || d.second != now.Unix() {
		d = &dated{now.Unix(), now.UTC().Format(http.TimeFormat)}
		lately.Store(d)
	}
	return d.text
}
