package plane

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
)

// requestNote is what a request carries through the layers: one value, as each
// one more is a copy of the request.
type requestNote struct {
	// remote is the address that it came from.
	remote string
	// cause of a problem, for the log and not for the client.
	cause error
	// turn is its slot, once it has one.
	turn *turn
}

type noteKey struct{}

func withNote(ctx context.Context, n *requestNote) context.Context {
	return context.WithValue(ctx, noteKey{}, n)
}

// noteOf is nil outside of a request.
func noteOf(ctx context.Context) *requestNote {
	n, _ := ctx.Value(noteKey{}).(*requestNote)
	return n
}

func noteCause(ctx context.Context, err error) {
	if n := noteOf(ctx); n != nil && err != nil {
		n.cause = err
	}
}

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

// bound limits a request's body in bytes and time, and the time to write the
// response. A response that is held open sets deadlines of its own.
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
			rc := http.NewResponseController(w)
			now := time.Now()
			_ = rc.SetWriteDeadline(now.Add(writeTimeout + BodyTimeout))
			if r.Body != nil && r.Body != http.NoBody {
				_ = rc.SetReadDeadline(now.Add(BodyTimeout))
				r.Body = http.MaxBytesReader(w, r.Body, maxBody)
				defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
			}
			next.ServeHTTP(w, r)
		})
	}
}

// heldOpen tells streams and sockets, which last as long as their client does.
func heldOpen(r *http.Request) bool {
	return r.URL.Path == "/v1/stream" || r.URL.Path == "/v1/ws" || r.URL.Path == "/connection/websocket" ||
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

// RemoteAddr is the address that the request of ctx came from.
func RemoteAddr(ctx context.Context) string {
	if n := noteOf(ctx); n != nil {
		return n.remote
	}
	return ""
}
