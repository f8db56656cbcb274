package plane

import (
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// NewLogger writes JSON lines to w that say which object they are of.
func NewLogger(w io.Writer, level slog.Leveler, cfg planeconfig.Config) *slog.Logger {
	handler := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
	return slog.New(handler).With("kind", cfg.Kind, "namespace", cfg.Namespace, "name", cfg.Name)
}

// redacted is the request's path and query without what may be a secret.
func redacted(u *url.URL) string {
	if !strings.Contains(u.RawQuery, tokenParam) {
		return u.RequestURI()
	}
	query := u.Query()
	query.Set(tokenParam, "redacted")
	return u.Path + "?" + query.Encode()
}

// logRequests writes a line for each request that failed on our side, and one
// for every request at level debug.
func logRequests(log *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := scopeOf(r.Context())
			next.ServeHTTP(w, r)
			status := s.answer.status()
			level := slog.LevelDebug
			if status >= http.StatusInternalServerError && status != http.StatusServiceUnavailable {
				level = slog.LevelError
			}
			if !log.Enabled(r.Context(), level) {
				return
			}
			attrs := []slog.Attr{
				slog.String("method", r.Method), slog.String("url", redacted(r.URL)),
				slog.String("route", s.route.RoutePattern()),
				slog.Int("status", status), slog.Duration("took", time.Since(s.began)), slog.String("remote", r.RemoteAddr),
			}
			if span := trace.SpanContextFromContext(r.Context()); span.HasTraceID() {
				attrs = append(attrs, slog.String("trace", span.TraceID().String()))
			}
			if s.cause != nil {
				attrs = append(attrs, slog.String("error", s.cause.Error()))
			}
			log.LogAttrs(r.Context(), level, "request", attrs...)
		})
	}
}
