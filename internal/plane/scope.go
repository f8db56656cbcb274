package plane

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
)

// scope is what a request carries through the layers: it is the request's
// context, as each one more would be a copy of the request.
type scope struct {
	context.Context
	// began is when the request came, and remote where from.
	began  time.Time
	remote string
	// answer is what is written to; nil once the request is over.
	answer *answer
	// route is the router's own state.
	route *chi.Context
	// identity is who makes the request, once that is known.
	identity   Identity
	identified bool
	// cause of a problem, for the log and not for the client.
	cause error
	// turn is its slot, once it has one.
	turn turn
	// body is its body's share of the memory for bodies.
	body share
	// after is called when the response is written.
	after func()
	// held is true once the request is held open.
	held bool
}

type scopeKey struct{}

// Value implements context.Context.
func (s *scope) Value(key any) any {
	switch key {
	case scopeKey{}:
		return s
	case chi.RouteCtxKey:
		return s.route
	case identityKey{}:
		if s.identified {
			return s.identity
		}
	}
	return s.Context.Value(key)
}

// scopeOf is nil outside of a request.
func scopeOf(ctx context.Context) *scope {
	if s, direct := ctx.(*scope); direct {
		return s
	}
	s, _ := ctx.Value(scopeKey{}).(*scope)
	return s
}

// answer remembers the status that was written.
type answer struct {
	http.ResponseWriter
	code int
}

// Unwrap lets http.ResponseController reach the writer below.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader implements http.ResponseWriter. What informs only comes before the status.
func (a *answer) WriteHeader(code int) {
	if code < http.StatusOK && code != http.StatusSwitchingProtocols {
		a.ResponseWriter.WriteHeader(code)
		return
	}
	if a.code == 0 {
		a.code = code
		a.ResponseWriter.WriteHeader(code)
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	if a.code == 0 {
		a.code = http.StatusOK
	}
	return a.ResponseWriter.Write(p)
}

// status is that of a handler which set none, where that is so.
func (a *answer) status() int {
	if a.code == 0 {
		return http.StatusOK
	}
	return a.code
}

// routeContexts are used again, as the router does it where it makes them itself.
var routeContexts = sync.Pool{New: func() any { return chi.NewRouteContext() }}

// scoped gives each request its scope. It is the outermost layer.
func scoped(root *chi.Mux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route := routeContexts.Get().(*chi.Context)
		route.Reset()
		route.Routes = root
		s := &scope{Context: r.Context(), began: time.Now(), remote: r.RemoteAddr, answer: &answer{ResponseWriter: w}, route: route}
		// A connection that is taken over may keep its request's context, but not what was written to.
		defer func() {
			s.answer = nil
			if s.after != nil {
				s.after()
			}
		}()
		root.ServeHTTP(s.answer, r.WithContext(s))
		routeContexts.Put(route)
	})
}

func noteCause(ctx context.Context, err error) {
	if s := scopeOf(ctx); s != nil && err != nil {
		s.cause = err
	}
}

// RemoteAddr is the address that the request of ctx came from.
func RemoteAddr(ctx context.Context) string {
	if s := scopeOf(ctx); s != nil {
		return s.remote
	}
	return ""
}

// Afterwards has f be called once, when the response is written, or given up. A request has one such f.
func Afterwards(ctx context.Context, f func()) {
	if s := scopeOf(ctx); s != nil {
		s.after = f
		return
	}
	f()
}

// AnswerLater begins the time to write the response anew, for one that was held
// back on purpose. It is to be called by the request's handler.
func AnswerLater(ctx context.Context) {
	if s := scopeOf(ctx); s != nil && s.answer != nil {
		_ = http.NewResponseController(s.answer).SetWriteDeadline(time.Now().Add(writeTimeout))
	}
}
