package pattern

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

const (
	// annotationStoppedAt of a Deployment is when the deletion of its object had its pods stop, in RFC 3339.
	annotationStoppedAt = "patterns.trellis.dev/stopped-at"
	// clocksDiffer is by how much the operator's clock may be behind the API server's.
	clocksDiffer = time.Minute
	// toldEvery bounds how often the status follows figures that change all the time.
	toldEvery = 15 * time.Second
)

// ending is what of an object's Deployments a deletion stops: first those of the component that stops first, then the rest,
// which go with the object.
type ending struct {
	policy      v1alpha1.DeletionPolicy
	first, rest []appsv1.Deployment
	// jobs that are under way stop first too.
	jobs []batchv1.Job
}

// noted are the Deployments that bear the note of when the first pods were told to stop.
func (e ending) noted() []appsv1.Deployment {
	if len(e.first) == 0 {
		return e.rest
	}
	return e.first
}

// end lets an object go only when what it has begun is at its end, as far as it was given time for that: nothing new is
// taken, what waits is worked off while the drain lasts, those pods stop that stop first, and only then the others, with
// the object. It returns false while something is waited for; s.deleting says what.
func (r *Reconciler) end(ctx context.Context, s *scope, policy v1alpha1.DeletionPolicy) (bool, error) {
	key := client.ObjectKeyFromObject(s.obj)
	if !r.waitsToEnd(s.obj, policy) || s.obj.GetAnnotations()[v1alpha1.AnnotationSkipDrain] == "true" {
		r.autoscaler.forget(r.kind.name(), key)
		return true, nil
	}
	e, err := r.endingOf(ctx, s, policy)
	if err != nil {
		return false, err
	}
	if !anyRuns(e.rest) {
		// There is nobody to tell an end to.
		r.autoscaler.forget(r.kind.name(), key)
		return true, nil
	}
	if !e.isStopping(s.obj.GetDeletionTimestamp().Time) {
		if done, err := r.drain(ctx, s, e); err != nil || !done {
			return false, err
		}
	}
	r.autoscaler.forget(r.kind.name(), key)
	if r.kind.stopsFirst() == "" {
		return true, nil
	}
	if err := r.stopFirst(ctx, s, e); err != nil {
		return false, err
	}
	return r.haveStopped(ctx, s, e)
}

// waitsToEnd is true of an object whose pods have something to end before it goes.
func (r *Reconciler) waitsToEnd(obj v1alpha1.Pattern, policy v1alpha1.DeletionPolicy) bool {
	d := r.kind.drain(obj, policy)
	return r.kind.stopsFirst() != "" || d != nil && d.timeout > 0
}

// endingOf reads the Deployments that the object controls from the API server.
func (r *Reconciler) endingOf(ctx context.Context, s *scope, policy v1alpha1.DeletionPolicy) (ending, error) {
	out := ending{policy: policy}
	var list appsv1.DeploymentList
	if err := r.live.List(ctx, &list, r.inventory(r.live, &list, s.obj)...); err != nil {
		return out, fmt.Errorf("list deployments: %w", err)
	}
	for _, d := range list.Items {
		switch {
		case !metav1.IsControlledBy(&d, s.obj) || !d.DeletionTimestamp.IsZero():
		case componentOf(&d) == r.kind.stopsFirst():
			out.first = append(out.first, d)
		default:
			out.rest = append(out.rest, d)
		}
	}
	jobs, err := r.jobsUnderWay(ctx, r.live, s.obj)
	out.jobs = jobs
	return out, err
}

func anyRuns(list []appsv1.Deployment) bool {
	for i := range list {
		if ptr.Deref(list[i].Spec.Replicas, 1) > 0 {
			return true
		}
	}
	return false
}

// isStopping is true from when the first pods were told to stop: what a drain waited for is not waited for again.
func (e ending) isStopping(deleted time.Time) bool {
	for _, d := range e.noted() {
		if d.Annotations[annotationStoppedAt] != "" && !leftover(d, deleted) {
			return true
		}
	}
	return false
}

// leftover is true for a note of the deletion of another object, whose Deployment this one took over.
func leftover(d appsv1.Deployment, deleted time.Time) bool {
	at, err := time.Parse(time.RFC3339, d.Annotations[annotationStoppedAt])
	return err == nil && at.Add(clocksDiffer).Before(deleted)
}

// stopFirst stops the pods that stop first, and notes when.
func (r *Reconciler) stopFirst(ctx context.Context, s *scope, e ending) error {
	noted := e.noted()
	for i := range noted {
		d := &noted[i]
		stale := leftover(*d, s.obj.GetDeletionTimestamp().Time)
		if (len(e.first) == 0 || ptr.Deref(d.Spec.Replicas, 1) == 0) && d.Annotations[annotationStoppedAt] != "" && !stale {
			continue
		}
		patch := client.MergeFromWithOptions(d.DeepCopy(), client.MergeFromWithOptimisticLock{})
		if len(e.first) > 0 {
			d.Spec.Replicas = ptr.To[int32](0)
		}
		if d.Annotations[annotationStoppedAt] == "" || stale {
			setAnnotation(d, annotationStoppedAt, s.now.UTC().Format(time.RFC3339))
		}
		if err := r.client.Patch(ctx, d, patch, fieldOwner); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("stop what stops first: %w", err)
		}
	}
	return r.stopJobs(ctx, e.jobs)
}

// haveStopped is true when no pod is left of those that stop first, or they had all the time that they were promised.
func (r *Reconciler) haveStopped(ctx context.Context, s *scope, e ending) (bool, error) {
	pods, err := r.podsOf(ctx, r.live, s.obj, r.kind.stopsFirst())
	if err != nil {
		return false, err
	}
	until := e.until(s.now.Time, pods)
	if !s.now.Time.Before(until) {
		return true, nil
	}
	left := len(stopping(pods, s.now.Time))
	settled := len(e.jobs) == 0
	for i := range e.first {
		settled = settled && settledAt(&e.first[i], 0)
	}
	if left == 0 && settled {
		return true, nil
	}
	s.again = until.Sub(s.now.Time)
	r.tellDeleting(s, Verdict{Reason: v1alpha1.ReasonStopping, Message: fmt.Sprintf(
		"%s pods finish what they have begun, until %s at the latest: %d are there. To wait no longer, annotate this object with %s=true",
		r.kind.stopsFirst(), until.UTC().Format(time.RFC3339), left, v1alpha1.AnnotationSkipDrain)})
	return false, nil
}

// until when the pods that stop first are waited for: the grace of the slowest, and a little.
func (e ending) until(now time.Time, pods []corev1.Pod) time.Time {
	var slowest int64
	for i := range e.first {
		slowest = max(slowest, graceOf(&e.first[i].Spec.Template.Spec))
	}
	for i := range e.jobs {
		slowest = max(slowest, graceOf(&e.jobs[i].Spec.Template.Spec))
	}
	for i := range pods {
		slowest = max(slowest, graceOf(&pods[i].Spec))
	}
	grace, out := time.Duration(slowest)*time.Second, now
	for _, d := range e.noted() {
		began, err := time.Parse(time.RFC3339, d.Annotations[annotationStoppedAt])
		if err != nil {
			continue
		}
		if t := began.Add(grace + overdueAfter); t.After(out) {
			out = t
		}
	}
	return out
}

// graceOf a pod in seconds.
func graceOf(spec *corev1.PodSpec) int64 {
	return ptr.Deref(spec.TerminationGracePeriodSeconds, corev1.DefaultTerminationGracePeriodSeconds)
}

// tellDeleting says what a deletion waits for. Where figures alone differ from what was said a moment ago, that stays.
func (r *Reconciler) tellDeleting(s *scope, v Verdict) {
	s.deleting = &v
	key := client.ObjectKeyFromObject(s.obj)
	said := condition(s.obj.GetPatternStatus().Conditions, v1alpha1.ConditionReady)
	last, told := r.told.Load(key)
	if said != nil && said.Reason == v.Reason && told && s.now.Sub(last.(time.Time)) < toldEvery {
		s.deleting.Message = said.Message
		return
	}
	r.told.Store(key, s.now.Time)
}
