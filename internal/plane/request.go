package plane

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
)

func writeRequestProblem(w http.ResponseWriter, r *http.Request, p *Problem) {
	noteCause(r.Context(), p.cause)
	WriteProblem(w, p)
}

// BodyTimeout is how long a request's body may take to arrive.
const BodyTimeout = 30 * time.Second

// Times that bound a request.
const (
	readHeaderTimeout = 10 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 32 << 10
)

// bound limits a request's body in bytes and time. The server bounds the time to
// write the response; one that is held open sets deadlines of its own.
func bound(maxBody int64) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if enc := r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
				writeRequestProblem(w, r, NewProblem(http.StatusUnsupportedMediaType, "unsupported-media-type", "The request's body is of a type not understood here",
					"send the body without Content-Encoding"))
				return
			}
			if r.ContentLength > maxBody {
				writeRequestProblem(w, r, NewProblem(http.StatusRequestEntityTooLarge, "too-large", "The request is too large",
					fmt.Sprintf("a body may have at most %d bytes; send less, or in several requests", maxBody)).Header("Connection", "close"))
				return
			}
			if r.Body != nil && r.Body != http.NoBody {
				// The server sets another one when it awaits the next request.
				_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(BodyTimeout))
				r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			}
			next.ServeHTTP(w, r)
		})
	}
}

// heldOpen tells streams and sockets, which last as long as their client does.
func heldOpen(r *http.Request) bool {
	return r.URL.Path == "/v1/stream" || r.URL.Path == "/v1/ws" || r.URL.Path == "/connection/websocket" ||
		r.URL.Path == "/v1/jobs:lease" || strings.HasPrefix(r.URL.Path, "/v1/jobs/") && strings.HasSuffix(r.URL.Path, "/events") ||
		strings.Contains(r.URL.RawQuery, "wait") && r.URL.Query().Has("wait")
}

// plainPath refuses encoded separators, so that routing and rooms see one and
// the same path, and has both see it decoded.
func plainPath(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw := strings.ToLower(r.URL.RawPath)
		if strings.Contains(raw, "%2f") || strings.Contains(raw, "%5c") || strings.ContainsAny(r.URL.Path, "\\\x00") {
			writeRequestProblem(w, r, NewProblem(http.StatusBadRequest, "invalid-path", "The path is not valid",
				"a path may not contain an encoded slash, a backslash or a NUL"))
			return
		}
		r.URL.RawPath = ""
		next.ServeHTTP(w, r)
	})
}

// recoverPanics answers a panic with a problem and keeps the plane running.
func recoverPanics(log *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				v := recover()
				if v == nil {
					return
				}
				if v == http.ErrAbortHandler { //nolint:errorlint // the sentinel that net/http compares by identity
					panic(v)
				}
				log.Error("a handler panicked", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
				WriteProblem(w, NewProblem(http.StatusInternalServerError, "internal", "Something went wrong here",
					"The request could not be finished. Try again; if it stays so, look at the plane's log."))
			}()
			next.ServeHTTP(w, r)
		})
	}
}
