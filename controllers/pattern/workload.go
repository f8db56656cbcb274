package pattern

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// WorkloadReasons are the reasons that a kind gives to the states of its pods.
type WorkloadReasons struct {
	Ready, Waiting, Failing, Rolling string
}

// rollout is what Deployments and StatefulSets have in common.
type rollout struct {
	// total counts also old pods that are yet to be stopped.
	desired, available, updated, total int32
	// settled is how many last all served; 0 where that is not known.
	settled  int32
	observed bool
	failure  string
}

// enough pods to serve: all but one of those that are wanted or, where more than before are, of those before.
func (r rollout) enough() int32 {
	wanted := r.desired
	if r.settled > 0 {
		wanted = min(wanted, r.settled)
	}
	return min(r.desired, max(1, wanted-1))
}

// settles is how many are known to have served all together, after what is seen now.
func (r rollout) settles() int32 {
	if r.observed && r.available >= r.desired {
		return r.desired
	}
	return min(r.settled, r.desired)
}

// WorkloadVerdict judges the pods of the children's Deployments and StatefulSets.
// One pod of several may be missing, as their disruption budget allows.
func WorkloadVerdict(children []client.Object, reasons WorkloadReasons) *Verdict {
	return ScaledVerdict(children, v1alpha1.ScaleStatus{}, reasons)
}

// ScaledVerdict is WorkloadVerdict for a workload that is scaled: while more pods are being started,
// those that served before are enough.
func ScaledVerdict(children []client.Object, before v1alpha1.ScaleStatus, reasons WorkloadReasons) *Verdict {
	for _, child := range children {
		r, ok := rolloutOf(child)
		if !ok {
			continue
		}
		r.settled = before.SettledReplicas
		if v := r.verdict(reasons); v.Reason != reasons.Ready || !v.OK || v.Progressing {
			return v
		}
	}
	return &Verdict{OK: true, Reason: reasons.Ready, Message: "all pods are ready"}
}

func (r rollout) verdict(reasons WorkloadReasons) *Verdict {
	counts := fmt.Sprintf("%d of %d pods are ready", min(r.available, r.desired), r.desired)
	switch {
	case r.failure != "":
		return &Verdict{Reason: reasons.Failing, Message: counts + ": " + r.failure, Stalled: true}
	case r.available < r.enough():
		return &Verdict{Reason: reasons.Waiting, Message: counts}
	case !r.observed:
		// The pods of the last generation still serve.
		return &Verdict{OK: true, Progressing: true, Reason: reasons.Rolling, Message: "pods are about to be replaced"}
	case r.updated < r.desired && r.updated == r.total:
		return &Verdict{OK: true, Progressing: true, Reason: reasons.Ready, Message: counts}
	case r.updated < r.desired:
		return &Verdict{OK: true, Progressing: true, Reason: reasons.Rolling,
			Message: fmt.Sprintf("%d of %d pods are replaced", r.updated, r.desired)}
	case r.total > r.updated:
		// Some of those that are available are old; the newest may not be.
		return &Verdict{OK: true, Progressing: true, Reason: reasons.Rolling,
			Message: fmt.Sprintf("old pods that are yet to stop: %d", r.total-r.updated)}
	case r.available < r.desired:
		return &Verdict{OK: true, Progressing: true, Reason: reasons.Ready, Message: counts}
	default:
		return &Verdict{OK: true, Reason: reasons.Ready, Message: counts}
	}
}

func rolloutOf(obj client.Object) (rollout, bool) {
	switch w := obj.(type) {
	case *appsv1.Deployment:
		return rollout{
			desired:   ptr.Deref(w.Spec.Replicas, 1),
			available: w.Status.AvailableReplicas,
			updated:   w.Status.UpdatedReplicas,
			total:     w.Status.Replicas,
			observed:  w.Status.ObservedGeneration >= w.Generation,
			failure:   deploymentFailure(w),
		}, true
	case *appsv1.StatefulSet:
		updated := w.Status.UpdatedReplicas
		if w.Status.CurrentRevision == w.Status.UpdateRevision {
			updated = w.Status.Replicas
		}
		return rollout{
			desired:   ptr.Deref(w.Spec.Replicas, 1),
			available: w.Status.AvailableReplicas,
			updated:   updated,
			total:     w.Status.Replicas,
			observed:  w.Status.ObservedGeneration >= w.Generation,
		}, true
	default:
		return rollout{}, false
	}
}

// deploymentFailure is what keeps pods from starting, without names that change.
func deploymentFailure(d *appsv1.Deployment) string {
	for _, c := range d.Status.Conditions {
		switch {
		case c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue:
			return "they can not be created (" + c.Reason + "): look at `kubectl describe replicaset -l " + selectorText(d.Spec.Selector) + "`"
		case c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionFalse:
			return "they do not start: look at `kubectl describe pods -l " + selectorText(d.Spec.Selector) + "`"
		}
	}
	return ""
}

func selectorText(s *metav1.LabelSelector) string { return metav1.FormatLabelSelector(s) }

func labelsText(labels map[string]string) string {
	return selectorText(&metav1.LabelSelector{MatchLabels: labels})
}

// ScaleStatus is what the scale subresource reads, from the first Deployment or StatefulSet.
func ScaleStatus(children []client.Object, before v1alpha1.ScaleStatus) v1alpha1.ScaleStatus {
	for _, child := range children {
		r, ok := rolloutOf(child)
		if !ok {
			continue
		}
		r.settled = before.SettledReplicas
		return v1alpha1.ScaleStatus{
			Replicas: r.total, Selector: selectorText(selectorOf(child)), DesiredReplicas: r.desired, SettledReplicas: r.settles(),
		}
	}
	return v1alpha1.ScaleStatus{}
}

func selectorOf(workload client.Object) *metav1.LabelSelector {
	switch w := workload.(type) {
	case *appsv1.Deployment:
		return w.Spec.Selector
	case *appsv1.StatefulSet:
		return w.Spec.Selector
	default:
		return nil
	}
}

// EngineVerdict repeats an Engine's own condition Ready.
func EngineVerdict(e *v1alpha1.Engine) *Verdict {
	if e == nil {
		return &Verdict{Reason: v1alpha1.ReasonEngineNotReady, Message: "the Engine is being created"}
	}
	if !e.DeletionTimestamp.IsZero() {
		return &Verdict{Reason: v1alpha1.ReasonEngineNotReady,
			Message: fmt.Sprintf("Engine %s is being deleted: create it again, or use another", e.Name)}
	}
	ready := condition(e.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil || ready.ObservedGeneration != e.Generation {
		return &Verdict{Reason: v1alpha1.ReasonEngineNotReady, Message: fmt.Sprintf("Engine %s has not been looked at yet", e.Name)}
	}
	if ready.Status != metav1.ConditionTrue || ready.Reason == v1alpha1.ReasonSuspended {
		return &Verdict{Reason: v1alpha1.ReasonEngineNotReady,
			Message: fmt.Sprintf("Engine %s: %s", e.Name, ready.Message)}
	}
	return &Verdict{OK: true, Reason: v1alpha1.ReasonEngineReady, Message: fmt.Sprintf("Engine %s answers", e.Name)}
}
