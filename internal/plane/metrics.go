package plane

import (
	"cmp"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Metrics are what every plane reports. A Service adds its own to Registerer.
type Metrics struct {
	// Registerer labels what is registered with the object that is served.
	Registerer prometheus.Registerer

	// Connections held open now, by protocol: the measure for autoscaling.
	Connections *prometheus.GaugeVec
	// Rejected counts what was turned away, by reason.
	Rejected *prometheus.CounterVec
	// Reloads counts configurations that were read again, by what became of them.
	Reloads *prometheus.CounterVec
	// EngineUp is 1 while the engine answers.
	EngineUp prometheus.Gauge
	// EngineErrors counts failed calls of the engine, by operation.
	EngineErrors *prometheus.CounterVec

	requests *prometheus.HistogramVec
	times    requestTimes
	labels   prometheus.Labels

	mu        sync.Mutex
	gatherers prometheus.Gatherers
}

// Gather implements prometheus.Gatherer: it is what /metrics serves.
func (m *Metrics) Gather() ([]*dto.MetricFamily, error) {
	m.mu.Lock()
	gatherers := slices.Clone(m.gatherers)
	m.mu.Unlock()
	return gatherers.Gather()
}

// AddGatherer adds the metrics of a registry of its own.
func (m *Metrics) AddGatherer(g prometheus.Gatherer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gatherers = append(m.gatherers, g)
}

// Labelled adds the labels of the object that is served to what is registered.
func (m *Metrics) Labelled(reg prometheus.Registerer) prometheus.Registerer {
	return prometheus.WrapRegistererWith(m.labels, reg)
}

// NewMetrics registers the plane's metrics. The labels say which object is
// served; they do not clash with those that a scrape adds.
func NewMetrics(cfg planeconfig.Config, version string) *Metrics {
	reg := prometheus.NewRegistry()
	labels := prometheus.Labels{"kind": cfg.Kind, "object_namespace": cfg.Namespace, "object": cfg.Name}
	labelled := prometheus.WrapRegistererWith(labels, reg)
	m := &Metrics{
		Registerer: labelled,
		labels:     labels,
		gatherers:  prometheus.Gatherers{reg},
		Connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: planeconfig.MetricConnections, Help: "Streams, sockets and waiting polls held open now.",
		}, []string{"protocol"}),
		Rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trellis_plane_rejected_total", Help: "Requests and connections turned away.",
		}, []string{"reason"}),
		Reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trellis_plane_reloads_total", Help: "Configurations that changed while the plane ran.",
		}, []string{"result"}),
		EngineUp: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "trellis_plane_engine_up", Help: "1 while the engine answers.",
		}),
		EngineErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trellis_plane_engine_errors_total", Help: "Calls of the engine that failed.",
		}, []string{"operation"}),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "trellis_plane_request_seconds", Help: "Time to answer a request, held-open ones aside.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"method", "route", "status"}),
	}
	info := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "trellis_plane_info", Help: "Always 1; the labels say what runs here.",
		ConstLabels: prometheus.Labels{"version": version, "engine": cfg.Engine.Type},
	}, func() float64 { return 1 })
	labelled.MustRegister(m.Connections, m.Rejected, m.Reloads, m.EngineUp, m.EngineErrors, m.requests, info)
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// observe times the requests that are not held open.
func (m *Metrics) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := scopeOf(r.Context())
		next.ServeHTTP(w, r)
		if s.held || heldOpen(r) {
			return
		}
		m.timesOf(methodLabel(r.Method), cmp.Or(s.route.RoutePattern(), "other"), s.answer.status()).Observe(time.Since(s.began).Seconds())
	})
}

// methodLabel keeps a client from adding series with methods of its own.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodPatch:
		return method
	}
	return "other"
}
