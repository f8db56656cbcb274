package sinks

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	// recent is how long a dead letter is told of by a gauge, besides the counter.
	recent = time.Hour
	// forgotten is when an event that this replica could not send is another's, or gone.
	forgotten = 2*lease + patience
)

// metrics of what this replica does. It is a prometheus.Collector of the gauges, which change with the time alone.
type metrics struct {
	clock clock.PassiveClock

	sent, failures, filtered, deadLetters *prometheus.CounterVec
	age, recently                         *prometheus.Desc

	mu     sync.Mutex
	bySink map[string]*state
}

// state of one sink.
type state struct {
	// waiting are the events that were tried and not taken.
	waiting map[string]waiting
	// broken is since when the sink can not be used at all.
	broken time.Time
	// dead letters by the minute in which they were given up.
	dead map[int64]int
}

type waiting struct{ since, tried time.Time }

func newMetrics(reg prometheus.Registerer, c clock.PassiveClock) *metrics {
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{planeconfig.LabelSink}, labels...))
		reg.MustRegister(c)
		return c
	}
	m := &metrics{
		clock:       c,
		sent:        counters("trellis_sink_events_total", "Events that a sink has taken."),
		failures:    counters("trellis_sink_failures_total", "Attempts to send an event that failed."),
		filtered:    counters("trellis_sink_filtered_total", "Events that a sink's filter did not want."),
		deadLetters: counters("trellis_sink_dead_letters_total", "Events that were given up: the sink refuses them (refused), did not take them for a day (expired), too many waited (full), they can not be filtered, mapped or read (filter, mapping, data), or go round (hops).", "reason"),
		age: prometheus.NewDesc(planeconfig.MetricSinkBacklogAge,
			"How long the oldest event has waited that this replica tried to send and could not.", []string{planeconfig.LabelSink}, nil),
		recently: prometheus.NewDesc(planeconfig.MetricSinkDeadLetters,
			"Events that this replica gave up within the last hour.", []string{planeconfig.LabelSink}, nil),
		bySink: map[string]*state{},
	}
	reg.MustRegister(m)
	return m
}

// keep has the gauges be of these sinks.
func (m *metrics) keep(sinks []planeconfig.Sink) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.bySink {
		if !slices.ContainsFunc(sinks, func(s planeconfig.Sink) bool { return s.Name == name }) {
			delete(m.bySink, name)
		}
	}
	for _, s := range sinks {
		m.of(s.Name)
	}
}

// of is called with mu held.
func (m *metrics) of(sink string) *state {
	s := m.bySink[sink]
	if s == nil {
		s = &state{waiting: map[string]waiting{}, dead: map[int64]int{}}
		m.bySink[sink] = s
	}
	return s
}

// waits notes an event that could not be sent this time, and is not tried again for a while.
func (m *metrics) waits(sink string, e Event, held time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(sink).waiting[e.ID] = waiting{since: e.Time, tried: m.clock.Now().Add(held)}
}

// ended notes an event that nobody has to send any more.
func (m *metrics) ended(sink string, e Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.of(sink).waiting, e.ID)
}

func (m *metrics) unusable(sink string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.of(sink); s.broken.IsZero() {
		s.broken = m.clock.Now()
	}
}

func (m *metrics) usable(sink string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(sink).broken = time.Time{}
}

// dead counts an event that was given up.
func (m *metrics) dead(sink, reason string) {
	m.deadLetters.WithLabelValues(sink, reason).Inc()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(sink).dead[m.clock.Now().Unix()/60]++
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	out <- m.age
	out <- m.recently
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.clock.Now()
	for name, s := range m.bySink {
		out <- prometheus.MustNewConstMetric(m.age, prometheus.GaugeValue, s.age(now).Seconds(), name)
		out <- prometheus.MustNewConstMetric(m.recently, prometheus.GaugeValue, float64(s.recently(now)), name)
	}
}

func (s *state) age(now time.Time) time.Duration {
	oldest := s.broken
	for id, w := range s.waiting {
		if now.Sub(w.tried) > forgotten {
			delete(s.waiting, id)
			continue
		}
		if oldest.IsZero() || w.since.Before(oldest) {
			oldest = w.since
		}
	}
	if oldest.IsZero() {
		return 0
	}
	return max(0, now.Sub(oldest))
}

func (s *state) recently(now time.Time) (n int) {
	for minute, count := range s.dead {
		if minute < now.Add(-recent).Unix()/60 {
			delete(s.dead, minute)
			continue
		}
		n += count
	}
	return n
}
