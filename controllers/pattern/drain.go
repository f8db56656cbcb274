package pattern

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/scaling"
)

const (
	// drainPatience is how long after its time a drain may go on failing.
	drainPatience = time.Minute
	// drainLook is how often a drain looks at what is left.
	drainLook = 5 * time.Second
	// annotationNudged of a pod is written to have the kubelet bring it its configuration now, and not within a minute.
	annotationNudged = "patterns.trellis.dev/draining"
)

// Drain is how a deleted object of a kind works off what it has taken. All of it is pure.
type Drain[T v1alpha1.Pattern] struct {
	// Timeout is how long that may take, from when the deletion was asked for; 0 waits for nothing.
	Timeout func(obj T, policy v1alpha1.DeletionPolicy) time.Duration
	// Announce returns the configuration by which pods take nothing new, given a living ConfigMap's; the same text
	// where it says so, or is none of theirs.
	Announce func(obj T, policy v1alpha1.DeletionPolicy, file, config string) (string, error)
	// Gauges that the pods which do not stop first tell, each the whole object's.
	Gauges []scaling.Gauge
	// Left says what is left, OK where that is nothing.
	Left func(obj T, policy v1alpha1.DeletionPolicy, counts Counts) Verdict
}

// Counts is what pods tell of themselves.
type Counts struct {
	// Pods that told all that they were asked for.
	Pods []map[scaling.Gauge]float64
	// Silent is how many serve and did not.
	Silent int
}

// Most of what the pods tell: one that lags behind may know of less.
func (c Counts) Most(g scaling.Gauge) float64 {
	out := 0.0
	for _, p := range c.Pods {
		out = max(out, p[g])
	}
	return out
}

// All is true where every pod that serves tells 1 of a gauge.
func (c Counts) All(g scaling.Gauge) bool {
	for _, p := range c.Pods {
		if p[g] != 1 {
			return false
		}
	}
	return c.Silent == 0 && len(c.Pods) > 0
}

// drain is true when nothing is left, or the time is over.
func (r *Reconciler) drain(ctx context.Context, s *scope, e ending) (bool, error) {
	d := r.kind.drain(s.obj, e.policy)
	if d == nil {
		return true, nil
	}
	until := s.obj.GetDeletionTimestamp().Add(d.timeout)
	changed, err := r.announce(ctx, s, d)
	if err != nil {
		return r.drainFails(s, until, err)
	}
	if d.timeout == 0 {
		return true, nil
	}
	pods, err := r.pods(ctx, r.live, s)
	if err != nil {
		return false, err
	}
	if !changed {
		if err := r.nudge(ctx, pods); err != nil {
			return false, err
		}
	}
	left := d.left(r.counts(ctx, pods, d.gauges))
	if left.OK {
		// The gauges of one answer are of several requests: what moved between two of them was in none.
		left = d.left(r.counts(ctx, pods, d.gauges))
	}
	switch {
	case left.OK:
		r.event(s.obj, corev1.EventTypeNormal, eventDrained, "nothing is left to be done")
		return true, nil
	case !s.now.Time.Before(until):
		r.event(s.obj, corev1.EventTypeWarning, eventDrainTimedOut, fmt.Sprintf(
			"the time to drain, %s, is over, and the deletion goes on: %s", d.timeout, left.Message))
		return true, nil
	}
	if err := r.followDrain(ctx, s, e); err != nil {
		return false, err
	}
	s.again = min(drainLook, until.Sub(s.now.Time))
	if changed {
		s.again = min(s.again, time.Second)
	}
	r.tellDeleting(s, Verdict{Reason: v1alpha1.ReasonDraining, Message: fmt.Sprintf(
		"%s; at %s the deletion goes on all the same. To wait no longer, annotate this object with %s=true",
		left.Message, until.UTC().Format(time.RFC3339), v1alpha1.AnnotationSkipDrain)})
	return false, nil
}

// drainFails lets a deletion go on when the pods could not be told for long enough: it does not wait for ever.
func (r *Reconciler) drainFails(s *scope, until time.Time, why error) (bool, error) {
	if s.now.Time.Before(until.Add(drainPatience)) {
		return false, why
	}
	r.event(s.obj, corev1.EventTypeWarning, eventDrainTimedOut, "the time to drain is over, and the deletion goes on: the pods could not be told that they drain")
	return true, nil
}

// announce writes into the configuration of the pods that nothing new is to be taken. It reports whether it had to.
func (r *Reconciler) announce(ctx context.Context, s *scope, d *drainOf) (changed bool, err error) {
	var list corev1.ConfigMapList
	if err := r.live.List(ctx, &list, r.inventory(r.live, &list, s.obj)...); err != nil {
		return false, fmt.Errorf("list configurations: %w", err)
	}
	for i := range list.Items {
		c := &list.Items[i]
		if !metav1.IsControlledBy(c, s.obj) || !c.DeletionTimestamp.IsZero() {
			continue
		}
		patch := client.MergeFromWithOptions(c.DeepCopy(), client.MergeFromWithOptimisticLock{})
		differs := false
		for file, text := range c.Data {
			told, err := d.announce(file, text)
			if err != nil {
				return false, fmt.Errorf("tell that it drains: %w", err)
			}
			differs = differs || told != text
			c.Data[file] = told
		}
		if !differs {
			continue
		}
		changed = true
		if err := r.client.Patch(ctx, c, patch, fieldOwner); client.IgnoreNotFound(err) != nil {
			return true, fmt.Errorf("tell that it drains: %w", err)
		}
	}
	return changed, nil
}

// pods of the object that do not stop first.
func (r *Reconciler) pods(ctx context.Context, from client.Reader, s *scope) ([]corev1.Pod, error) {
	var list corev1.PodList
	if err := from.List(ctx, &list, r.inventory(from, &list, s.obj)...); err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	var out []corev1.Pod
	for i := range list.Items {
		if p := &list.Items[i]; componentOf(p) != r.kind.stopsFirst() && p.DeletionTimestamp.IsZero() {
			out = append(out, *p)
		}
	}
	return out, nil
}

// nudge has the kubelets bring the pods their configuration now.
func (r *Reconciler) nudge(ctx context.Context, pods []corev1.Pod) error {
	for i := range pods {
		p := &pods[i]
		if p.Annotations[annotationNudged] != "" {
			continue
		}
		patch := client.MergeFrom(p.DeepCopy())
		setAnnotation(p, annotationNudged, "true")
		if err := r.client.Patch(ctx, p, patch, fieldOwner); client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
			return fmt.Errorf("have a pod read that it drains: %w", err)
		}
	}
	return nil
}

// counts asks the pods that serve.
func (r *Reconciler) counts(ctx context.Context, pods []corev1.Pod, gauges []scaling.Gauge) Counts {
	var out Counts
	for i := range pods {
		p := &pods[i]
		if !podReady(p) || p.Status.PodIP == "" {
			continue
		}
		told := map[scaling.Gauge]float64{}
		for _, g := range gauges {
			n, err := r.autoscaler.reader.Read(ctx, p.Status.PodIP, g)
			if err != nil {
				break
			}
			told[g] = n
		}
		if len(told) < len(gauges) {
			out.Silent++
			continue
		}
		out.Pods = append(out.Pods, told)
	}
	return out
}

// followDrain has the number of those that work off what is left follow it, also with an operator that never saw the
// object alive.
func (r *Reconciler) followDrain(ctx context.Context, s *scope, e ending) error {
	spec := r.kind.scaling(s.obj)
	if spec == nil {
		return nil
	}
	f := followed{
		object: corev1.ObjectReference{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: r.kind.name(),
			Namespace: s.obj.GetNamespace(), Name: s.obj.GetName(), UID: s.obj.GetUID(),
		},
		tell: r.tell, spec: *spec, teller: client.ObjectKeyFromObject(&e.rest[0]),
	}
	if len(e.first) > 0 {
		f.workload = client.ObjectKeyFromObject(&e.first[0])
	} else if follows, err := r.followDrainOnce(ctx, s, &f); err != nil || !follows {
		return err
	}
	r.autoscaler.follow(f)
	return nil
}

// followDrainOnce has Jobs be made of the plan that the object would have if it were to live, where it has one.
func (r *Reconciler) followDrainOnce(ctx context.Context, s *scope, f *followed) (bool, error) {
	alive := &scope{obj: s.obj.DeepCopyObject().(v1alpha1.Pattern), before: s.before, now: s.now}
	// Those who get events may be gone before, and the Jobs do not ask for them.
	alive.obj.GetPatternSpec().Sinks = nil
	if err := r.resolve(ctx, alive); err != nil || !alive.accepted.OK || alive.plan.Once == nil {
		return false, err
	}
	return true, r.followOnce(alive, f)
}

// drainOf is a Drain of one object, with its type erased.
type drainOf struct {
	timeout  time.Duration
	announce func(file, config string) (string, error)
	gauges   []scaling.Gauge
	left     func(Counts) Verdict
}

func (d Definition[T]) drain(obj v1alpha1.Pattern, policy v1alpha1.DeletionPolicy) *drainOf {
	if d.Drain == nil {
		return nil
	}
	o := obj.(T)
	return &drainOf{
		timeout:  d.Drain.Timeout(o, policy),
		announce: func(file, config string) (string, error) { return d.Drain.Announce(o, policy, file, config) },
		gauges:   d.Drain.Gauges,
		left:     func(c Counts) Verdict { return d.Drain.Left(o, policy, c) },
	}
}
