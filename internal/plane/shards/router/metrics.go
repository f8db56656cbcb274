package router

import (
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trellis-dev/trellis/internal/plane"
)

// statusGone is that of a request whose client went away before it was answered. Nobody sees it but metrics.
const statusGone = 499

// metrics of a router. What is counted for each request is looked up by its labels once.
type metrics struct {
	*plane.Metrics
	requests                  *prometheus.CounterVec
	refused                   *prometheus.CounterVec
	heldTotal, retries, moved prometheus.Counter
	unclassed, spent          prometheus.Counter
	epoch, moving             prometheus.Gauge
	sockets, streams          prometheus.Gauge
	heldSeconds               prometheus.Histogram
	nobody                    *memberMetrics
}

func newMetrics(m *plane.Metrics, h *held) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		m.Registerer.MustRegister(c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		m.Registerer.MustRegister(g)
		return g
	}
	out := &metrics{
		Metrics:   m,
		requests:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "trellis_shards_requests_total", Help: "Requests that were answered, by the shard that did and the status; those that no shard answered have no member."}, []string{"member", "code"}),
		refused:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "trellis_shards_refused_total", Help: "Requests that the router itself answered with a problem, by its kind."}, []string{"problem"}),
		heldTotal: counter("trellis_shards_held_total", "Requests that were held until a shard could serve them."),
		retries:   counter("trellis_shards_retries_total", "Requests that were sent again though a shard may have begun them, as they are safe to repeat."),
		spent:     counter("trellis_shards_retries_refused_total", "Requests that were not sent again, as too many were lately (spec.router.retries.budgetPercent)."),
		moved:     counter("trellis_shards_misdirected_total", "Requests that a shard refused unprocessed, as it does not serve their partition, or could not yet; they were sent again."),
		unclassed: counter("trellis_shards_unclassified_total", "Requests whose class could not be evaluated by the priority expression."),
		epoch:     gauge("trellis_shards_epoch", "Epoch of the table that this router routes by."),
		moving:    gauge("trellis_shards_moving", "Partitions that are on the way to another shard."),
		sockets:   m.Connections.WithLabelValues("WebSocket"),
		streams:   m.Connections.WithLabelValues("SSE"),
		heldSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "trellis_shards_held_seconds", Help: "How long requests were held that were.", Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
	}
	waiting := prometheus.NewDesc("trellis_shards_held", "Requests that are held now, for a partition on the way or for a shard that can not be reached.", []string{"for"}, nil)
	m.Registerer.MustRegister(out.requests, out.refused, out.heldSeconds, heldCollector{h, waiting})
	out.nobody = out.ofMember("")
	return out
}

type heldCollector struct {
	of   *held
	desc *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c heldCollector) Describe(out chan<- *prometheus.Desc) { out <- c.desc }

// Collect implements prometheus.Collector.
func (c heldCollector) Collect(out chan<- prometheus.Metric) {
	moving, absent := c.of.counts()
	out <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(moving), "partition")
	out <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(absent), "shard")
}

// memberMetrics count the answers of a shard.
type memberMetrics struct {
	of    *metrics
	id    string
	codes [500]atomic.Pointer[prometheus.Counter]
	mu    sync.Mutex
	over  bool
}

func (m *metrics) ofMember(id string) *memberMetrics { return &memberMetrics{of: m, id: id} }

// answered counts a status. What is none is one of the shard's own making, and counted as 599.
func (m *memberMetrics) answered(code int) {
	if code < 100 || code >= 600 {
		code = 599
	}
	at := &m.codes[code-100]
	c := at.Load()
	if c == nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.over {
			return
		}
		made := m.of.requests.WithLabelValues(m.id, strconv.Itoa(code))
		c = &made
		at.Store(c)
	}
	(*c).Inc()
}

// forget a shard that is none any more.
func (m *memberMetrics) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.over = true
	m.of.requests.DeletePartialMatch(prometheus.Labels{"member": m.id})
}

// statusLabel keeps what a shard makes up from making series.
func statusLabel(code int) int {
	if code < http.StatusContinue || code > 599 {
		return 599
	}
	return code
}
