package stateful

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of a Broker.
type Metrics struct {
	// Owned partitions, and the Epoch of the table.
	Owned, Epoch prometheus.Gauge
	// Fenced counts calls that the engine refused because another owns the room.
	Fenced prometheus.Counter
	// Memory counts reads that were answered from the owner's memory.
	Memory prometheus.Counter
	// Forwarded counts what was carried to an owner, by operation and result.
	Forwarded *prometheus.CounterVec
}

// NewMetrics registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		Owned:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "trellis_realtime_owned_partitions", Help: "Partitions of rooms that this replica owns (delivery.mode Stateful)."}),
		Epoch:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "trellis_realtime_ring_epoch", Help: "Epoch of the table of the rooms' owners (delivery.mode Stateful)."}),
		Fenced:    prometheus.NewCounter(prometheus.CounterOpts{Name: "trellis_realtime_fenced_total", Help: "Messages that the engine refused because their room has another owner; they are sent there."}),
		Memory:    prometheus.NewCounter(prometheus.CounterOpts{Name: "trellis_realtime_memory_reads_total", Help: "Reads of a room that its owner answered from memory."}),
		Forwarded: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "trellis_realtime_forwarded_total", Help: "What was carried to a room's owner, by operation and result."}, []string{"operation", "result"}),
	}
	r.MustRegister(m.Owned, m.Epoch, m.Fenced, m.Memory, m.Forwarded)
	return m
}

func (m *Metrics) forwarded(operation string, err error) {
	result := "answered"
	if err != nil {
		result = "failed"
	}
	m.Forwarded.WithLabelValues(operation, result).Inc()
}
