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
	settings     *prometheus.GaugeVec
	drift        *prometheus.CounterVec
	sweeps       *prometheus.CounterVec
	swept        *prometheus.CounterVec
	locked       prometheus.Counter
	emptying     prometheus.Gauge
	remaining    prometheus.Gauge
	stuck        prometheus.Gauge
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
		settings:   prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: planeconfig.MetricBlobSetting, Help: "1 for the state that a setting of the bucket is in: kept by the store (native), done by the plane as far as the store can not (trellis), not to be done, all or some of it (unsupported), or not as it should be (failing)."}, []string{planeconfig.LabelSetting, planeconfig.LabelState}),
		drift:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: planeconfig.MetricBlobDrift, Help: "Settings of the bucket that differed and that this replica put right."}, []string{planeconfig.LabelSetting}),
		sweeps:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "trellis_blobs_sweeps_total", Help: "How often this replica did the rules that the store does not do, by how that ended."}, []string{"result"}),
		swept:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "trellis_blobs_swept_total", Help: "What this replica did by rules: files that expired, objects removed that are nobody's, versions removed, uploads in parts aborted, and what is locked and stays."}, []string{"what"}),
		emptying:   prometheus.NewGauge(prometheus.GaugeOpts{Name: planeconfig.MetricBlobEmptying, Help: "1 while the bucket is being emptied, as it is to go."}),
		remaining:  prometheus.NewGauge(prometheus.GaugeOpts{Name: planeconfig.MetricBlobRemaining, Help: "Versions and uploads in parts that the last pass of emptying the bucket found; 0 once nothing is left."}),
		stuck:      prometheus.NewGauge(prometheus.GaugeOpts{Name: planeconfig.MetricBlobRemainingLocked, Help: "Of these the versions that the store does not let be removed, as they are locked."}),
		locked:     prometheus.NewCounter(prometheus.CounterOpts{Name: "trellis_blobs_locked_total", Help: "Removals that the store refused because the object is locked; they are tried when the lock ends, and once a day."}),
	}
	m.Registerer.MustRegister(out.files, out.bytes, out.collecting, out.begun, out.orphans, out.scans, out.settings, out.drift, out.sweeps, out.swept, out.locked, out.emptying, out.remaining, out.stuck)
	return out
}

// left shows what a pass of emptying the bucket found, or that it is not being emptied.
func (m *metrics) left(emptying bool, found emptied) {
	m.remaining.Set(float64(found.seen))
	m.stuck.Set(float64(found.locked))
	// The last of them: who reads it takes the others for those of a bucket that goes.
	going := 0.0
	if emptying {
		going = 1
	}
	m.emptying.Set(going)
}

// show the states that settings are in. One that is not there is not configured.
func (m *metrics) show(states map[planeconfig.BlobSetting]planeconfig.BlobState) {
	for _, setting := range []planeconfig.BlobSetting{
		planeconfig.SettingLifecycle, planeconfig.SettingVersioning, planeconfig.SettingCORS, planeconfig.SettingEncryption, planeconfig.SettingRetention, planeconfig.SettingPublicAccess,
	} {
		if state, ok := states[setting]; ok {
			m.settings.WithLabelValues(string(setting), string(state)).Set(1)
		}
		for _, other := range []planeconfig.BlobState{planeconfig.StateNative, planeconfig.StateTrellis, planeconfig.StateUnsupported, planeconfig.StateFailing} {
			if states[setting] != other {
				m.settings.DeleteLabelValues(string(setting), string(other))
			}
		}
	}
}
