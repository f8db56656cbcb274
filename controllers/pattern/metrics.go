package pattern

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// metrics of the pipeline; how often and how long it reconciles is
// controller-runtime's to count.
type metrics struct {
	toReady *prometheus.HistogramVec
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{toReady: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "trellis_apply_to_ready_seconds",
		Help:    "Seconds from the creation of an object, or from its last change to not ready, until it is ready.",
		Buckets: []float64{0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600},
	}, []string{"kind"})}
	return m, registry.Register(m.toReady)
}

// report counts and tells of a change of the condition Ready.
func (r *Reconciler) report(s *scope) {
	old := condition(s.before.GetPatternStatus().Conditions, v1alpha1.ConditionReady)
	ready := condition(s.obj.GetPatternStatus().Conditions, v1alpha1.ConditionReady)
	if ready == nil || s.deleting != nil {
		return
	}
	was := old != nil && old.Status == metav1.ConditionTrue
	is := ready.Status == metav1.ConditionTrue
	switch {
	case is && !was:
		since := s.obj.GetCreationTimestamp().Time
		if s.obj.GetGeneration() > 1 && old != nil && old.LastTransitionTime.After(since) {
			since = old.LastTransitionTime.Time
		}
		r.metrics.toReady.WithLabelValues(r.kind.name()).Observe(r.clock.Since(since).Seconds())
		if old != nil && old.Status == metav1.ConditionFalse {
			r.event(s.obj, corev1.EventTypeNormal, eventReady, ready.Message)
		}
	case was && !is:
		r.event(s.obj, corev1.EventTypeWarning, eventNotReady, ready.Reason+": "+ready.Message)
	}
}

var objectsDesc = prometheus.NewDesc("trellis_objects", "Objects by kind and by their condition Ready.", []string{"kind", "ready"}, nil)

// countWithin is how long a collection waits for the cache, which answers at once when it is filled.
const countWithin = 500 * time.Millisecond

// objectCollector counts the objects of every kind from the cache, when asked.
type objectCollector []*Reconciler

// Describe implements prometheus.Collector.
func (c objectCollector) Describe(out chan<- *prometheus.Desc) { out <- objectsDesc }

// Collect implements prometheus.Collector. While the cache is not filled yet there is nothing to tell, which is no
// failure of the other metrics.
func (c objectCollector) Collect(out chan<- prometheus.Metric) {
	for _, r := range c {
		counts, err := r.countObjects()
		if err != nil {
			continue
		}
		for value, n := range counts {
			out <- prometheus.MustNewConstMetric(objectsDesc, prometheus.GaugeValue, n, r.kind.name(), string(value))
		}
	}
}

// countObjects of the kind by their condition Ready.
func (r *Reconciler) countObjects() (map[metav1.ConditionStatus]float64, error) {
	list, err := r.listOf(r.kind)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), countWithin)
	defer cancel()
	if err := r.client.List(ctx, list); err != nil {
		return nil, err
	}
	counts := map[metav1.ConditionStatus]float64{metav1.ConditionTrue: 0, metav1.ConditionFalse: 0, metav1.ConditionUnknown: 0}
	return counts, meta.EachListItem(list, func(o runtimeObject) error {
		value := metav1.ConditionUnknown
		if ready := condition(o.(v1alpha1.Pattern).GetPatternStatus().Conditions, v1alpha1.ConditionReady); ready != nil {
			value = ready.Status
		}
		counts[value]++
		return nil
	})
}
