package plane

import (
	"context"
	"fmt"
	"net/http"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// tracing makes spans and hands them to a collector; without an endpoint it
// only passes on the context of the caller's trace.
type tracing struct {
	provider   trace.TracerProvider
	propagator propagation.TextMapPropagator
	// exports is false without a collector.
	exports  bool
	shutdown func(context.Context) error
}

func newTracing(ctx context.Context, cfg planeconfig.Config, version string) (*tracing, error) {
	t := &tracing{
		provider:   noop.NewTracerProvider(),
		propagator: propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}),
		shutdown:   func(context.Context) error { return nil },
	}
	if cfg.Tracing.Endpoint == "" {
		return t, nil
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(cfg.Tracing.Endpoint))
	if err != nil {
		return nil, fmt.Errorf("trace exporter: %w", err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(cfg.Tracing.SampleRatio))),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "trellis-plane"),
			attribute.String("service.version", version),
			attribute.String("trellis.kind", cfg.Kind),
			attribute.String("trellis.namespace", cfg.Namespace),
			attribute.String("trellis.name", cfg.Name),
		)),
	)
	t.provider, t.shutdown, t.exports = provider, provider.Shutdown, true
	return t, nil
}

// middleware makes a span of each request that is not held open. Where nobody
// collects them it only reads the caller's trace, as spans, attributes and the
// library's own metrics cost a sixth of a short request.
func (t *tracing) middleware(next http.Handler) http.Handler {
	if !t.exports {
		return t.pass(next)
	}
	return otelhttp.NewHandler(next, "http",
		otelhttp.WithTracerProvider(t.provider),
		otelhttp.WithPropagators(t.propagator),
		otelhttp.WithFilter(func(r *http.Request) bool { return !heldOpen(r) }),
	)
}

// pass hands on the context of the caller's trace.
func (t *tracing) pass(next http.Handler) http.Handler {
	fields := t.propagator.Fields()
	for i, field := range fields {
		fields[i] = http.CanonicalHeaderKey(field)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, field := range fields {
			if len(r.Header[field]) > 0 {
				r = r.WithContext(t.propagator.Extract(r.Context(), propagation.HeaderCarrier(r.Header)))
				break
			}
		}
		next.ServeHTTP(w, r)
	})
}

// TraceParent is the W3C traceparent of the sampled trace that ctx is part of,
// to be carried with a message; empty when there is none.
func TraceParent(ctx context.Context) string {
	span := trace.SpanContextFromContext(ctx)
	if !span.IsSampled() {
		return ""
	}
	return traceParent(span)
}

// ParseTraceParent returns a W3C traceparent in its plain form, or nothing where
// text is none: it comes from outside, and goes on to others.
func ParseTraceParent(text string) string {
	carrier := propagation.MapCarrier{"traceparent": text}
	ctx := propagation.TraceContext{}.Extract(context.Background(), carrier)
	return traceParent(trace.SpanContextFromContext(ctx))
}

func traceParent(span trace.SpanContext) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(trace.ContextWithSpanContext(context.Background(), span), carrier)
	return carrier.Get("traceparent")
}
