package plane

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
)

// Origins decides which pages of a browser may use the contract.
type Origins struct {
	allowed atomic.Pointer[allowedOrigins]
}

type allowedOrigins struct {
	patterns []string
	any      bool
}

// NewOrigins takes patterns of the form scheme://host[:port], where the first
// label of the host may be *, or * alone for every origin.
func NewOrigins(patterns []string) *Origins {
	o := &Origins{}
	o.Set(patterns)
	return o
}

// Set has other patterns count from now on.
func (o *Origins) Set(patterns []string) {
	var a allowedOrigins
	for _, p := range patterns {
		a.any = a.any || p == "*"
		a.patterns = append(a.patterns, strings.ToLower(strings.TrimSuffix(p, "/")))
	}
	o.allowed.Store(&a)
}

// Allowed reports whether the request comes from no page at all, from a page
// of this host, or from one that is configured.
func (o *Origins) Allowed(r *http.Request) bool {
	origin, allowed := r.Header.Get("Origin"), o.allowed.Load()
	if origin == "" || allowed.any {
		return true
	}
	u, err := url.Parse(strings.ToLower(origin))
	if err != nil || u.Host == "" {
		return false
	}
	if strings.EqualFold(u.Host, r.Host) {
		return true
	}
	return slices.ContainsFunc(allowed.patterns, func(p string) bool { return originMatches(p, u) })
}

func originMatches(pattern string, origin *url.URL) bool {
	scheme, host, ok := strings.Cut(pattern, "://")
	if !ok || scheme != origin.Scheme {
		return false
	}
	if host == origin.Host {
		return true
	}
	suffix, wild := strings.CutPrefix(host, "*.")
	if !wild {
		return false
	}
	label, rest, ok := strings.Cut(origin.Host, ".")
	return ok && label != "" && rest == suffix
}

// CORS answers preflights, adds the headers that let an allowed page read the
// response, and refuses requests of other pages before they have an effect.
func (o *Origins) CORS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		if origin == "" {
			next.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Add("Vary", "Origin")
		if !o.Allowed(r) {
			writeRequestProblem(w, r, NewProblem(http.StatusForbidden, "origin-not-allowed", "Pages of this origin may not use this gateway",
				"add the page's origin to spec.auth.allowedOrigins, as scheme://host[:port]"))
			return
		}
		// Tokens travel in headers or in the URL and never in cookies, so no
		// credentials mode is needed and none is offered.
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "ETag, Retry-After, Idempotent-Replayed, Traceparent")
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS")
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Traceparent, Tracestate, "+
				"Ce-Specversion, Ce-Id, Ce-Source, Ce-Type, Ce-Subject, Ce-Time, Ce-Dataschema")
			h.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}
