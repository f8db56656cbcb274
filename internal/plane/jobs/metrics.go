package jobs

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// metrics of the contract. Gauges are the whole queue's, counters what this replica did.
type metrics struct {
	*plane.Metrics

	// backlog and oldest are absent until the store was asked: 0 would have workers stopped that have much to do.
	backlog, startable, oldest *prometheus.GaugeVec
	depth, waiting             *prometheus.GaugeVec
	paused                     prometheus.Gauge
	draining                   prometheus.Gauge

	accepted, attempts, completed, dead prometheus.Counter
	failures, refused                   *prometheus.CounterVec
	expired                             *prometheus.CounterVec
	wait, run                           prometheus.Histogram

	fired *prometheus.CounterVec
}

// seconds are the buckets of waits and runs.
var seconds = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}

func newMetrics(m *plane.Metrics) *metrics {
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.Registerer.MustRegister(c)
		return c
	}
	counter := func(name, help string) prometheus.Counter { return counters(name, help).WithLabelValues() }
	gauges := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		m.Registerer.MustRegister(g)
		return g
	}
	histogram := func(name, help string) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: seconds})
		m.Registerer.MustRegister(h)
		return h
	}
	return &metrics{
		Metrics:   m,
		backlog:   gauges(planeconfig.MetricBacklog, "Jobs that are due and those that run, of the whole queue."),
		startable: gauges(planeconfig.MetricStartable, "Jobs that run, and those that could be started as far as order by key and the rate allow, of the whole queue."),
		oldest:    gauges("trellis_jobs_oldest_age_seconds", "How long the oldest job has been due, of the whole queue."),
		depth:     gauges(planeconfig.MetricDepth, "Jobs by status, of the whole queue.", planeconfig.LabelStatus),
		waiting:   gauges("trellis_jobs_waiting", "Jobs that wait, by priority, of the whole queue.", "priority"),
		paused:    gauges(planeconfig.MetricPaused, "1 while no jobs are handed out.").WithLabelValues(),
		draining:  gauges(planeconfig.MetricDraining, "1 when this replica accepts no new jobs, as the queue is being deleted, and the gauges know of all that it accepted.").WithLabelValues(),
		accepted:  counter("trellis_jobs_accepted_total", "Jobs that this replica accepted."),
		attempts:  counter("trellis_jobs_started_total", "Attempts that this replica handed out."),
		completed: counter("trellis_jobs_completed_total", "Jobs that succeeded by a completion that this replica took."),
		dead:      counter("trellis_jobs_dead_total", "Jobs that failed for good, as this replica found."),
		failures:  counters("trellis_jobs_failed_total", "Attempts that failed, by what became of the job.", "status"),
		refused:   counters("trellis_jobs_refused_total", "Submissions that were refused by the queue's state.", "reason"),
		expired:   counters("trellis_jobs_leases_ended_total", "Attempts that were ended because nothing was heard of them (lost), or that took too long (timeout).", "outcome"),
		wait:      histogram("trellis_jobs_wait_seconds", "From when a job was due to its first start."),
		run:       histogram("trellis_jobs_run_seconds", "From the start of the last attempt to its completion."),
		fired:     counters("trellis_jobs_schedule_fired_total", "Times of a schedule that this replica brought about, by what was done.", "schedule", "result"),
	}
}

func (m *metrics) submitted(r SubmitResult) {
	switch {
	case r.Err == nil && !r.Existing:
		m.accepted.Inc()
	case r.Err == nil:
		m.refused.WithLabelValues("existing").Inc()
	case errors.Is(r.Err, ErrFull):
		m.refused.WithLabelValues("full").Inc()
	case errors.Is(r.Err, ErrKeyReused):
		m.refused.WithLabelValues("key-reused").Inc()
	default:
		m.refused.WithLabelValues("error").Inc()
	}
}

func (m *metrics) started(job jobs.Job, now time.Time) {
	m.attempts.Inc()
	if job.Attempt > 1 {
		return
	}
	due := job.AcceptedAt
	if job.RunAt != nil && job.RunAt.After(due) {
		due = *job.RunAt
	}
	m.wait.Observe(max(0, now.Sub(due).Seconds()))
}

func (m *metrics) ended(job jobs.Job) {
	m.completed.Inc()
	if job.StartedAt != nil && job.FinishedAt != nil {
		m.run.Observe(max(0, job.FinishedAt.Sub(*job.StartedAt).Seconds()))
	}
}

func (m *metrics) failed(job jobs.Job) {
	m.failures.WithLabelValues(string(job.Status)).Inc()
	if job.Status == jobs.StatusDead {
		m.dead.Inc()
	}
}

func (m *metrics) swept(s Swept) {
	m.expired.WithLabelValues(string(jobs.OutcomeLost)).Add(float64(s.Lost))
	m.expired.WithLabelValues(string(jobs.OutcomeTimeout)).Add(float64(s.TimedOut))
	m.dead.Add(float64(s.Dead))
}

func (m *metrics) counted(s jobs.Stats) {
	m.backlog.WithLabelValues().Set(float64(s.Backlog))
	m.startable.WithLabelValues().Set(float64(s.Startable))
	m.oldest.WithLabelValues().Set(s.OldestAgeSeconds)
	for _, status := range statuses {
		m.depth.WithLabelValues(string(status)).Set(float64(s.Depth[status]))
	}
	m.waiting.Reset()
	for priority, n := range s.ByPriority {
		m.waiting.WithLabelValues(priority).Set(float64(n))
	}
	m.paused.Set(0)
	if s.Paused {
		m.paused.Set(1)
	}
}
