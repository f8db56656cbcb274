package pattern

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/scaling"
)

// Once is work of which each piece has a Kubernetes Job of its own. Those Jobs come and go with the load, so they are no
// children: the autoscaler makes them, they end by themselves, and the pipeline stops them where a plan has none any more.
type Once struct {
	// Job that each is a copy of. What it is called is what their names begin with.
	Job *batchv1.Job
	// Most that are under way at a time.
	Most int32
}

// goneWithin is how long a pod that is told to stop may take, beyond its grace, before its node is taken for lost.
const goneWithin = time.Minute

// name of the n-th Job in a slot. Whoever else makes it means the same one, so that it is made once.
func (o *Once) name(slot int32, n int) string { return fmt.Sprintf("%s-%d-%d", o.Job.Name, slot, n) }

// place reads a name again.
func (o *Once) place(name string) (slot int32, n int, ok bool) {
	rest, ok := strings.CutPrefix(name, o.Job.Name+"-")
	first, second, both := strings.Cut(rest, "-")
	s, err := strconv.ParseInt(first, 10, 32)
	n, err2 := strconv.Atoi(second)
	return int32(s), n, ok && both && err == nil && err2 == nil
}

// run is what scaling knows of a Job.
func (o *Once) run(j *batchv1.Job, now time.Time) scaling.Run {
	if atEnd(j) {
		return endOf(j)
	}
	grace := time.Duration(ptr.Deref(o.Job.Spec.Template.Spec.TerminationGracePeriodSeconds, 0)) * time.Second
	for _, c := range j.Status.Conditions {
		// Its pod is to stop. One on a node that is lost never says that it did.
		if c.Type == batchv1.JobFailureTarget && c.Status == corev1.ConditionTrue && c.LastTransitionTime.Add(grace+goneWithin).Before(now) {
			return scaling.Run{Ended: c.LastTransitionTime.Time, Failed: true}
		}
	}
	return scaling.Run{}
}

func (o *Once) runs(jobs []batchv1.Job, now time.Time) []scaling.Run {
	out := make([]scaling.Run, len(jobs))
	for i := range jobs {
		out[i] = o.run(&jobs[i], now)
	}
	return out
}

// next are the names of n more Jobs, each in a slot where none is under way.
func (o *Once) next(jobs []batchv1.Job, now time.Time, n int32) []string {
	last, taken := map[int32]int{}, map[int32]bool{}
	for i := range jobs {
		slot, at, ok := o.place(jobs[i].Name)
		if !ok {
			continue
		}
		last[slot] = max(last[slot], at)
		taken[slot] = taken[slot] || o.run(&jobs[i], now).Ended.IsZero()
	}
	var out []string
	for slot := range o.Most {
		if !taken[slot] && int32(len(out)) < n {
			out = append(out, o.name(slot, last[slot]+1))
		}
	}
	return out
}

// mostEnded are kept of the Jobs that are at their end, the newest: short pieces of work would leave thousands until their
// time to live is over. What is read from those that ended needs a few.
const mostEnded = 100

// surplus are the Jobs that ended first, beyond those that are kept. Those that are being deleted count as gone.
func (o *Once) surplus(jobs []batchv1.Job) []batchv1.Job {
	var ended []batchv1.Job
	for i := range jobs {
		if _, _, ok := o.place(jobs[i].Name); ok && jobs[i].DeletionTimestamp.IsZero() && atEnd(&jobs[i]) {
			ended = append(ended, jobs[i])
		}
	}
	slices.SortFunc(ended, func(a, b batchv1.Job) int {
		return cmp.Or(endOf(&a).Ended.Compare(endOf(&b).Ended), strings.Compare(a.Name, b.Name))
	})
	return ended[:max(0, len(ended)-mostEnded)]
}

// discard deletes Jobs that are at their end, with their pods.
func (a *autoscaler) discard(ctx context.Context, jobs []batchv1.Job) error {
	for i := range jobs {
		uid := jobs[i].GetUID()
		err := a.client.Delete(ctx, &jobs[i], client.Preconditions{UID: &uid}, client.PropagationPolicy(metav1.DeletePropagationBackground))
		if err = client.IgnoreNotFound(err); err != nil && !apierrors.IsConflict(err) {
			return fmt.Errorf("delete a Job that is at its end: %w", err)
		}
	}
	return nil
}

// lookOnce at an object whose work is run in Jobs, and start as many as are missing. The cache says whether there is anything
// to start; what there is the API server says before, as by an old cache there would be more than there may be. That
// holds also after a death between two writes, with nothing remembered.
func (a *autoscaler) lookOnce(ctx context.Context, f *followed, spec scaling.Spec, teller client.ObjectKey, once *Once) error {
	seen, err := jobsLike(ctx, a.client, once)
	if err != nil {
		return err
	}
	load, err := a.load(ctx, spec, teller, nil)
	if err != nil {
		return err
	}
	now := a.clock.Now()
	start, decision := scaling.NextRuns(now, spec, load, once.runs(seen, now))
	if start > 0 {
		if seen, err = jobsLike(ctx, a.live, once); err != nil {
			return err
		}
		start, decision = scaling.NextRuns(now, spec, load, once.runs(seen, now))
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, name := range once.next(seen, now, start) {
		if err = a.startOne(ctx, once, name); err != nil {
			decision.Active = scaling.Verdict{Reason: reasonFailedCreate, Message: fmt.Sprintf(
				"a Kubernetes Job can not be created (%s): look at the quotas and the admission of the namespace", apierrors.ReasonForError(err))}
			break
		}
	}
	a.report(ctx, f, decision)
	if err != nil {
		return err
	}
	return a.discard(ctx, once.surplus(seen))
}

// reasonFailedCreate is that of the Job controller.
const reasonFailedCreate = "FailedCreate"

// startOne makes a Job. One of the name that is there after all was made by another operator: it is looked at in the next round.
func (a *autoscaler) startOne(ctx context.Context, once *Once, name string) error {
	job := once.Job.DeepCopy()
	job.Name = name
	if err := a.client.Create(ctx, job, scaleOwner); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create a Job: %w", err)
	}
	return nil
}

// jobsLike lists the Jobs of an object, and what one of the same name has left.
func jobsLike(ctx context.Context, from client.Reader, once *Once) ([]batchv1.Job, error) {
	labels := client.MatchingLabels{}
	for _, key := range []string{v1alpha1.LabelKind, v1alpha1.LabelName, v1alpha1.LabelComponent} {
		labels[key] = once.Job.Labels[key]
	}
	var list batchv1.JobList
	if err := from.List(ctx, &list, client.InNamespace(once.Job.Namespace), labels); err != nil {
		return nil, fmt.Errorf("list Jobs: %w", err)
	}
	return list.Items, nil
}

// followOnce has the autoscaler make the plan's Jobs.
func (r *Reconciler) followOnce(s *scope, f *followed) error {
	once := *s.plan.Once
	once.Job = once.Job.DeepCopy()
	if err := controllerutil.SetControllerReference(s.obj, once.Job, r.scheme); err != nil {
		return fmt.Errorf("own a Job: %w", err)
	}
	f.once = &once
	return nil
}

// seeOnce lists the Jobs of the plan from the cache.
func (r *Reconciler) seeOnce(ctx context.Context, s *scope) ([]batchv1.Job, error) {
	if s.plan.Once == nil {
		return nil, nil
	}
	return jobsLike(ctx, r.client, s.plan.Once)
}

// stopOnce stops the Jobs that are under way where the plan has none any more. Their pods are given their grace.
func (r *Reconciler) stopOnce(ctx context.Context, s *scope) error {
	if s.plan.Once != nil || !r.kind.scales() {
		return nil
	}
	jobs, err := r.jobsUnderWay(ctx, r.client, s.obj)
	if err != nil {
		return err
	}
	return r.stopJobs(ctx, jobs)
}

// jobsUnderWay are the Jobs that the object controls and that are not at their end.
func (r *Reconciler) jobsUnderWay(ctx context.Context, from client.Reader, obj v1alpha1.Pattern) ([]batchv1.Job, error) {
	if !r.kind.scales() {
		return nil, nil
	}
	var list batchv1.JobList
	if err := from.List(ctx, &list, r.inventory(from, &list, obj)...); err != nil {
		return nil, fmt.Errorf("list Jobs: %w", err)
	}
	var out []batchv1.Job
	for i := range list.Items {
		if j := &list.Items[i]; metav1.IsControlledBy(j, obj) && j.DeletionTimestamp.IsZero() && !atEnd(j) {
			out = append(out, *j)
		}
	}
	return out, nil
}

// stopJobs deletes Jobs; their pods are given their grace.
func (r *Reconciler) stopJobs(ctx context.Context, jobs []batchv1.Job) error {
	for i := range jobs {
		uid := jobs[i].GetUID()
		err := r.client.Delete(ctx, &jobs[i], client.Preconditions{UID: &uid}, client.PropagationPolicy(metav1.DeletePropagationBackground))
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("stop a Job: %w", err)
		}
	}
	return nil
}

// atEnd is true for a Job that is at its end, its pod too.
func atEnd(j *batchv1.Job) bool { return !endOf(j).Ended.IsZero() }

// endOf a Job, as its conditions say it.
func endOf(j *batchv1.Job) scaling.Run {
	for _, c := range j.Status.Conditions {
		if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
			return scaling.Run{Ended: c.LastTransitionTime.Time, Failed: c.Type == batchv1.JobFailed}
		}
	}
	return scaling.Run{}
}
