package member

import "github.com/prometheus/client_golang/prometheus"

// metrics of one member.
type metrics struct {
	requests *prometheus.CounterVec
	inFlight prometheus.Gauge
	sockets  prometheus.Gauge
	// passed is counted for each request: it is looked up once.
	passed  prometheus.Counter
	epoch   prometheus.Gauge
	serving prometheus.Gauge
	moved   *prometheus.CounterVec
	failed  *prometheus.CounterVec
	bytes   prometheus.Counter
	cut     prometheus.Counter
}

// newMetrics registers them where there is a registry.
func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "trellis_shards_member_requests_total", Help: "Requests by what became of them: passed on, misdirected (not this member's partition), or failed (the container did not answer)."}, []string{"result"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "trellis_shards_member_in_flight", Help: "Requests that the container has now."}),
		sockets:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "trellis_shards_member_sockets", Help: "WebSockets that are open now."}),
		epoch:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "trellis_shards_member_epoch", Help: "Epoch of the table that this member serves by."}),
		serving:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "trellis_shards_member_partitions", Help: "Partitions that this member serves."}),
		moved:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "trellis_shards_member_hooks_total", Help: "Partitions that were exported, imported and dropped here."}, []string{"hook"}),
		failed:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "trellis_shards_member_refused_total", Help: "What a mover asked of this member and did not get, by the order."}, []string{"order"}),
		bytes:    prometheus.NewCounter(prometheus.CounterOpts{Name: "trellis_shards_member_imported_bytes_total", Help: "Bytes of the partitions that were imported here."}),
		cut:      prometheus.NewCounter(prometheus.CounterOpts{Name: "trellis_shards_member_cut_total", Help: "Requests that were ended before their time, as their partition was to move and had waited for them in vain before."}),
	}
	m.passed = m.requests.WithLabelValues("passed")
	if r != nil {
		r.MustRegister(m.requests, m.inFlight, m.sockets, m.epoch, m.serving, m.moved, m.failed, m.bytes, m.cut)
	}
	return m
}
