package pattern

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/scaling"
)

// Told is something that the pods of a kind tell of, and that has a condition of its own. It does not hold Ready back.
type Told[T v1alpha1.Pattern] struct {
	// Condition is its type, and Pending the reason of Unknown, until a pod was asked.
	Condition, Pending string
	// Metric that every pod tells, of the whole object.
	Metric string
	// Component, by its label, of the pods that tell it; empty for all.
	Component string
	// Note, when set, keeps in the status of obj what was told.
	Note func(obj T, samples []scaling.Sample)
	// Say what it means. The words hold no number that moves by itself. It is pure.
	Say func(obj T, samples []scaling.Sample) Verdict
}

// toldOf is a Told of one object, with its type erased.
type toldOf struct {
	condition, pending, metric, component string
	say                                   func([]scaling.Sample) Verdict
}

func (d Definition[T]) told(obj v1alpha1.Pattern) *toldOf {
	if d.Told == nil {
		return nil
	}
	o := obj.(T)
	return &toldOf{
		condition: d.Told.Condition, pending: d.Told.Pending, metric: d.Told.Metric, component: d.Told.Component,
		say: func(samples []scaling.Sample) Verdict {
			if d.Told.Note != nil {
				d.Told.Note(o, samples)
			}
			return d.Told.Say(o, samples)
		},
	}
}

// toldSeen is what a pod told, nil where none was heard.
type toldSeen struct {
	of      *toldOf
	stopped bool
	verdict *Verdict
}

// probeTold asks a pod, every probeInterval. It costs the API server nothing: the pods are in the cache.
func (r *Reconciler) probeTold(ctx context.Context, s *scope) error {
	of := r.kind.told(s.obj)
	if of == nil {
		return nil
	}
	s.told.of = of
	if spec := s.obj.GetPatternSpec(); spec.Suspend != nil && *spec.Suspend {
		s.told.stopped = true
		return nil
	}
	if s.again == 0 || s.again > probeInterval {
		s.again = probeInterval
	}
	var pods corev1.PodList
	if err := r.client.List(ctx, &pods, r.inventory(r.client, &pods, s.obj)...); err != nil {
		return fmt.Errorf("list the pods that tell of %s: %w", of.condition, err)
	}
	for i := range pods.Items {
		p := &pods.Items[i]
		if !podReady(p) || p.Status.PodIP == "" || of.component != "" && componentOf(p) != of.component {
			continue
		}
		samples, err := r.sinkReader.Samples(ctx, p.Status.PodIP, of.metric)
		if err != nil {
			// The next one is asked or, later, this one again.
			continue
		}
		v := of.say(samples)
		s.told.verdict = &v
		return nil
	}
	return nil
}

// summariseTold says what was told. What a new operator could not ask yet stays as it was said.
func summariseTold(s *scope, status *v1alpha1.PatternStatus) {
	of := s.told.of
	switch {
	case !s.observed || of == nil:
	case s.told.stopped:
		removeCondition(status, of.condition)
	case s.told.verdict != nil:
		s.set(of.condition, statusOf(s.told.verdict.OK), s.told.verdict.Reason, s.told.verdict.Message)
	case condition(status.Conditions, of.condition) == nil:
		s.set(of.condition, metav1.ConditionUnknown, of.pending, "no pod could be asked yet")
	}
}
