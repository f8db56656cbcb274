package plane

import (
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
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
			start := time.Now()
			note := &requestNote{remote: r.RemoteAddr}
			ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
			next.ServeHTTP(ww, r.WithContext(withNote(r.Context(), note)))
			status := statusOf(ww)
			level := slog.LevelDebug
			if status >= http.StatusInternalServerError && status != http.StatusServiceUnavailable {
				level = slog.LevelError
			}
			if !log.Enabled(r.Context(), level) {
				return
			}
			attrs := []slog.Attr{
				slog.String("method", r.Method), slog.String("url", redacted(r.URL)),
				slog.String("route", chi.RouteContext(r.Context()).RoutePattern()),
				slog.Int("status", status), slog.Duration("took", time.Since(start)), slog.String("remote", r.RemoteAddr),
			}
			if span := trace.SpanContextFromContext(r.Context()); span.HasTraceID() {
				attrs = append(attrs, slog.String("trace", span.TraceID().String()))
			}
			if note.cause != nil {
				attrs = append(attrs, slog.String("error", note.cause.Error()))
			}
			log.LogAttrs(r.Context(), level, "request", attrs...)
		})
	}
}
