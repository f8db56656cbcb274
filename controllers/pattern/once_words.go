package pattern

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/scaling"
)

// OnceReasons are the reasons that a kind gives to the states of its Jobs.
type OnceReasons struct {
	Idle, Ready, Starting, Failing string
}

// failingAfter is how many pods must have failed in a row before it is said: one may have had a job that is too large, or a bad node.
const failingAfter = 3

// OnceVerdict judges the Jobs that work is run in. None at all is as it should be.
func OnceVerdict(jobs []batchv1.Job, reasons OnceReasons) *Verdict {
	under, ready := 0, 0
	var runs []scaling.Run
	for i := range jobs {
		j := &jobs[i]
		runs = append(runs, endOf(j))
		if !atEnd(j) {
			under++
		}
		if !atEnd(j) && started(j) {
			ready++
		}
	}
	switch {
	case scaling.FailedInARow(runs) >= failingAfter:
		return &Verdict{Reason: reasons.Failing, Message: "the last pods ended before they had said what became of their jobs"}
	case under == 0:
		return &Verdict{OK: true, Reason: reasons.Idle, Message: "no worker runs: the first job starts one"}
	case ready < under:
		return &Verdict{OK: true, Progressing: true, Reason: reasons.Starting, Message: fmt.Sprintf("%d of %d pods are ready", ready, under)}
	default:
		return &Verdict{OK: true, Reason: reasons.Ready, Message: "all pods are ready"}
	}
}

// OnceScale is what the scale subresource reads of Jobs.
func OnceScale(jobs []batchv1.Job, selector map[string]string) v1alpha1.ScaleStatus {
	n := int32(0)
	for i := range jobs {
		if !atEnd(&jobs[i]) {
			n++
		}
	}
	return v1alpha1.ScaleStatus{Replicas: n, DesiredReplicas: n, Selector: labelsText(selector)}
}

// started is true where the pod runs, or has run.
func started(j *batchv1.Job) bool {
	u := j.Status.UncountedTerminatedPods
	return j.Status.Ready != nil && *j.Status.Ready > 0 || j.Status.Succeeded+j.Status.Failed > 0 || u != nil && len(u.Succeeded)+len(u.Failed) > 0
}

// lastWords of pods that failed, the same whichever of them has it.
func lastWords(pods []corev1.Pod) string {
	out := ""
	for i := range pods {
		if said := lastWordsOf(&pods[i].Status); said != "" && (out == "" || said < out) {
			out = said
		}
	}
	return out
}

func lastWordsOf(s *corev1.PodStatus) string {
	if s.Phase != corev1.PodFailed {
		return ""
	}
	for _, c := range slices.Concat(s.InitContainerStatuses, s.ContainerStatuses) {
		if end := lastEnd(&c); end != nil {
			return fmt.Sprintf("container %q ended with %s (exit code %d): `kubectl logs` of the pod may say why", c.Name, end.Reason, end.ExitCode)
		}
	}
	return ""
}

// slimJob drops all of a Job that nobody asks for: there may be many that have ended.
func slimJob(obj any) (any, error) {
	if j, ok := obj.(*batchv1.Job); ok {
		j.ManagedFields, j.Spec = nil, batchv1.JobSpec{}
	}
	return obj, nil
}

// onceChanges passes Jobs that come, go, start and end.
func onceChanges() predicate.Predicate {
	type look struct{ started, ended, stopping bool }
	of := func(o client.Object) look {
		j, ok := o.(*batchv1.Job)
		if !ok {
			return look{}
		}
		return look{started(j), atEnd(j), !j.DeletionTimestamp.IsZero()}
	}
	return predicate.Funcs{
		UpdateFunc:  func(e event.UpdateEvent) bool { return of(e.ObjectOld) != of(e.ObjectNew) },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}
