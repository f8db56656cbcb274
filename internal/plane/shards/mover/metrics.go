package mover

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/plane/shards/wire"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// metrics of the one router that moves; the others' are 0.
type metrics struct {
	leading  prometheus.Gauge
	moving   prometheus.Gauge
	left     prometheus.Gauge
	dropping prometheus.Gauge
	moves    *prometheus.CounterVec
	writes   *prometheus.CounterVec
	bytes    prometheus.Counter
	seconds  prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		leading:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "trellis_shards_mover_leading", Help: "1 in the router that moves partitions."}),
		moving:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "trellis_shards_mover_moving", Help: "Partitions that nobody serves now, as they are on their way."}),
		left:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "trellis_shards_mover_left", Help: "Partitions that are not where they are to be."}),
		dropping: prometheus.NewGauge(prometheus.GaugeOpts{Name: "trellis_shards_mover_dropping", Help: "Partitions that a former owner is still to forget."}),
		moves:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "trellis_shards_mover_moves_total", Help: "Moves by how they ended: done, or given up for now."}, []string{"result"}),
		writes:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "trellis_shards_mover_writes_total", Help: "Writes of the table by how they ended."}, []string{"result"}),
		bytes:    prometheus.NewCounter(prometheus.CounterOpts{Name: "trellis_shards_mover_bytes_total", Help: "Bytes that were carried over."}),
		seconds:  prometheus.NewHistogram(prometheus.HistogramOpts{Name: "trellis_shards_mover_move_seconds", Help: "How long partitions were served by nobody, but for the writes of the table.", Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}}),
	}
	if r != nil {
		r.MustRegister(m.leading, m.moving, m.left, m.dropping, m.moves, m.writes, m.bytes, m.seconds)
	}
	return m
}

func (m *metrics) show(s table.State) {
	m.moving.Set(float64(len(s.Table.Moves)))
	m.left.Set(float64(len(ring.Diff(s.Table, s.Target))))
	m.dropping.Set(float64(len(s.Dropping)))
}

func (m *metrics) moved(c wire.Copied, took time.Duration) {
	m.bytes.Add(float64(c.Bytes))
	m.seconds.Observe(took.Seconds())
}
