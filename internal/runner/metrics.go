package runner

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

// metrics of one runner. What they count is scaled by and drawn beside the plane's.
type metrics struct {
	registry *prometheus.Registry
	running  prometheus.Gauge
	queueUp  prometheus.Gauge
	ends     *prometheus.CounterVec
	took     *prometheus.HistogramVec
}

func newMetrics(version, mode string, concurrency int) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		running: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "trellis_worker_running", Help: "Jobs that run here now.",
		}),
		queueUp: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "trellis_worker_queue_up", Help: "1 while the queue answers when it is asked for jobs.",
		}),
		ends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trellis_worker_jobs_total", Help: "Attempts that ended here, by outcome.",
		}, []string{"outcome"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "trellis_worker_job_seconds", Help: "Time from lease to end of an attempt, by outcome.",
			Buckets: []float64{.01, .05, .1, .5, 1, 5, 10, 30, 60, 300, 900, 3600, 14400},
		}, []string{"outcome"}),
	}
	slots := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "trellis_worker_slots", Help: "Jobs that may run here at once.",
	})
	slots.Set(float64(concurrency))
	// What is scaled by is read only where this one is: without it an absent gauge says nothing.
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "trellis_plane_info", Help: "Always 1; the labels say what runs here.",
		ConstLabels: prometheus.Labels{"version": version, "component": "runner", "mode": mode},
	})
	info.Set(1)
	for _, outcome := range []jobs.Outcome{jobs.OutcomeSucceeded, jobs.OutcomeFailed, jobs.OutcomeTimeout, jobs.OutcomeCancelled,
		jobs.OutcomeReleased, jobs.OutcomeLost} {
		m.ends.WithLabelValues(string(outcome))
	}
	m.registry.MustRegister(m.running, m.queueUp, m.ends, m.took, slots, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) started(jobs.Lease) { m.running.Inc() }

func (m *metrics) ended(_ jobs.Lease, outcome jobs.Outcome, took time.Duration) {
	m.running.Dec()
	m.ends.WithLabelValues(string(outcome)).Inc()
	m.took.WithLabelValues(string(outcome)).Observe(took.Seconds())
}

func (m *metrics) queue(err error) {
	if err != nil {
		m.queueUp.Set(0)
		return
	}
	m.queueUp.Set(1)
}
