package blobs

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// metrics of a bucket; those by file are of the whole bucket, the counts of this replica.
type metrics struct {
	*plane.Metrics
	files, bytes *prometheus.GaugeVec
	collecting   prometheus.Gauge
	begun        prometheus.Counter
	orphans      *prometheus.GaugeVec
	scans        *prometheus.CounterVec
}

func newMetrics(m *plane.Metrics) *metrics {
	out := &metrics{
		Metrics:    m,
		files:      prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: planeconfig.MetricBlobFiles, Help: "Files by status, of the whole bucket."}, []string{planeconfig.LabelStatus}),
		bytes:      prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: planeconfig.MetricBlobBytes, Help: "Bytes of files by status, of the whole bucket."}, []string{planeconfig.LabelStatus}),
		collecting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "trellis_blobs_collecting", Help: "Objects that are to be removed from the store still."}),
		begun:      prometheus.NewCounter(prometheus.CounterOpts{Name: "trellis_blobs_uploads_begun_total", Help: "Uploads that this replica began."}),
		orphans:    prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "trellis_blobs_orphans", Help: "Objects that the ledger does not know, by the last scan of this replica: old ones, and young ones inside the grace."}, []string{"age"}),
		scans:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "trellis_blobs_scans_total", Help: "Comparisons of the store with the ledger by this replica, by how they ended."}, []string{"result"}),
	}
	m.Registerer.MustRegister(out.files, out.bytes, out.collecting, out.begun, out.orphans, out.scans)
	return out
}
