package realtime

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trellis-dev/trellis/internal/plane"
)

// metrics of the contract. The hot ones are resolved once, per protocol.
type metrics struct {
	*plane.Metrics

	published  results
	delivered  *prometheus.CounterVec
	gaps       *prometheus.CounterVec
	slow       *prometheus.CounterVec
	recoveries recoveries
	// failures counts all failed calls of the engine.
	failures atomic.Uint64
}

func newMetrics(m *plane.Metrics) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.Registerer.MustRegister(c)
		return c
	}
	slow := counter("trellis_realtime_slow_consumers_total", "Connections cut because the client read too slowly, by what was full: the queue, or a write that took too long.", "protocol", "reason")
	for _, protocol := range []string{labelSSE, labelWebSocket, labelCentrifuge} {
		slow.WithLabelValues(protocol, slowQueue)
		slow.WithLabelValues(protocol, slowWrite)
	}
	return &metrics{
		Metrics:    m,
		published:  resultsOf(counter("trellis_realtime_published_total", "Messages that publishers sent, by what became of them.", "result")),
		delivered:  counter("trellis_realtime_delivered_total", "Messages written to clients.", "protocol"),
		gaps:       counter("trellis_realtime_gaps_total", "Gaps announced to clients.", "reason"),
		slow:       slow,
		recoveries: recoveriesOf(counter("trellis_realtime_recoveries_total", "Resumes of a room, by whether the history sufficed.", "result")),
	}
}

// results are the counters of what became of published messages.
type results struct{ stored, replayed, failed prometheus.Counter }

func resultsOf(c *prometheus.CounterVec) results {
	return results{c.WithLabelValues("stored"), c.WithLabelValues("replayed"), c.WithLabelValues("failed")}
}

// recovered counts a resume by whether the history sufficed.
func (m *metrics) recovered(gap *Gap) {
	if gap == nil {
		m.recoveries.complete.Inc()
		return
	}
	m.recoveries.gap.Inc()
}

// recoveries are the counters of resumed rooms.
type recoveries struct{ complete, gap prometheus.Counter }

func recoveriesOf(c *prometheus.CounterVec) recoveries {
	return recoveries{c.WithLabelValues("complete"), c.WithLabelValues("gap")}
}

// protocolStats are the hot counters of one protocol.
type protocolStats struct {
	delivered prometheus.Counter
}

func (m *metrics) protocol(name string) *protocolStats {
	return &protocolStats{delivered: m.delivered.WithLabelValues(name)}
}
