package overload

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// metrics that count. Those that are read, Adaptive collects.
type metrics struct {
	admitted, shed *prometheus.CounterVec
}

func newMetrics() *metrics {
	return &metrics{
		admitted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trellis_shards_admitted_total", Help: "Requests that were sent on to a shard, by class.",
		}, []string{"class"}),
		shed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trellis_shards_shed_total",
			Help: "Requests that were shed: the queue was full (queue), a more important one took the place (displaced), the turn would come too late (deadline) or did (timeout), or the shard ends nothing (stalled).",
		}, []string{"class", "reason"}),
	}
}

var (
	limitDesc    = prometheus.NewDesc("trellis_shards_limit", "How many requests this router has a shard serve at once; it adapts.", []string{"member"}, nil)
	inFlightDesc = prometheus.NewDesc("trellis_shards_in_flight", "Requests that a shard serves for this router now.", []string{"member"}, nil)
	queuedDesc   = prometheus.NewDesc("trellis_shards_queued", "Requests that wait in this router for a shard.", []string{"member"}, nil)
	hotDesc      = prometheus.NewDesc(planeconfig.MetricHotPartitions, "How many partitions take more than their share of this router's requests.", nil, nil)
	shareDesc    = prometheus.NewDesc(planeconfig.MetricPartitionShare, "The share, from 0 to 1, of this router's requests that a hot partition takes.", []string{planeconfig.LabelPartition}, nil)
)

// Describe implements prometheus.Collector.
func (a *Adaptive) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{limitDesc, inFlightDesc, queuedDesc, hotDesc, shareDesc} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (a *Adaptive) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, s := range a.Stats() {
		gauge(limitDesc, float64(s.Limit), s.Member)
		gauge(inFlightDesc, float64(s.InFlight), s.Member)
		gauge(queuedDesc, float64(s.Queued), s.Member)
	}
	for _, h := range a.Hottest(mostHot) {
		if h.Hot {
			gauge(shareDesc, h.Share, strconv.Itoa(h.Partition))
		}
	}
	gauge(hotDesc, float64(len(*a.hot.hot.Load())))
}
