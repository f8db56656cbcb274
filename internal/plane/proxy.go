package plane

import (
	"context"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/trellis-dev/trellis/internal/plane/front"
)

// Proxy has every request go to h as it came, but those below own, which is a prefix such as "/.trellis/": there the
// contract is, with its description at openapi.json and docs. It is to be called before the plane serves.
//
// A proxy is no API, and what bounds one does not hold for it: paths are not looked at, bodies and answers have any
// length and take any time, browsers' origins are the business of who is behind it, HTTP/2 is spoken without TLS, and
// nothing counts against MaxInFlight. So h says who may send what (Auth), bounds what it does at once, sets the
// deadlines of what it reads and writes, and times it (Metrics.Observe). What it holds open, it ends when drained. The
// context of a request may outlive it, up to the end of its connection.
func (p *Plane) Proxy(own string, h http.Handler) {
	p.Router.Get(own+"openapi.json", p.openAPI)
	p.Router.Get(own+"docs", p.docs)
	see := "see " + own + "docs or " + own + "openapi.json for "
	p.Router.NotFound(problemHandler(NewProblem(http.StatusNotFound, "not-found", "There is nothing at this path", see+"the paths that there are")))
	p.Router.MethodNotAllowed(problemHandler(NewProblem(http.StatusMethodNotAllowed, "method-not-allowed", "This path has no such method", see+"the methods of this path")))

	contract, within := p.http.Handler, p.http.WriteTimeout
	through := p.tracing.export(recoverPanics(p.Log)(h))
	p.http.WriteTimeout = 0
	p.http.Protocols = new(http.Protocols)
	p.http.Protocols.SetHTTP1(true)
	p.http.Protocols.SetUnencryptedHTTP2(true)
	p.front = front.New(front.Options{
		Handler: through, Takes: func(r *http.Request) bool { return !strings.HasPrefix(r.URL.Path, own) }, Rest: p.http, Log: p.Log,
	})
	p.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.ContainsAny(r.RequestURI, " #") {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(within))
			WriteProblem(w, Invalid("a path and its query have no space and no # in them; send %20 and %23"))
			return
		}
		if !strings.HasPrefix(r.URL.Path, own) {
			through.ServeHTTP(w, r)
			return
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(within))
		contract.ServeHTTP(w, r)
	})
}

func problemHandler(p *Problem) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { WriteProblem(w, p) }
}

// export makes a span of each request where somebody collects them.
func (t *tracing) export(next http.Handler) http.Handler {
	if !t.exports {
		return next
	}
	return t.middleware(next)
}

// TraceOut puts the span of ctx into the headers of a request that is passed on. Where nobody collects spans, the
// caller's own headers stay as they are.
func (p *Plane) TraceOut(ctx context.Context, h http.Header) {
	if p.tracing.exports {
		p.tracing.propagator.Inject(ctx, propagation.HeaderCarrier(h))
	}
}

// Observe times a request that did not go through the contract. route names what it went through, and no more.
func (m *Metrics) Observe(method, route string, status int, took time.Duration) {
	m.timesOf(methodLabel(method), route, status).Observe(took.Seconds())
}

// TokenOf is the bearer token that came with r, in its header or its URL; empty for none.
func TokenOf(r *http.Request) string {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return ""
		}
		return strings.TrimSpace(token)
	}
	if !strings.Contains(r.URL.RawQuery, tokenParam) {
		return ""
	}
	return r.URL.Query().Get(tokenParam)
}
