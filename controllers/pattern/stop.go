package pattern

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

const (
	// overdueAfter the end of its grace a pod that is still there is waited for no longer: its node may be lost.
	overdueAfter = 30 * time.Second
	// stopLook is when to look again at pods that are about to be told to stop.
	stopLook = 10 * time.Second
)

// stoppable is what the order of stopping has to know of a Deployment.
type stoppable struct {
	planned, alive int32
	// first is true for those that stop before the others.
	first bool
	// settled is true when all that it counts are as it asks for.
	settled bool
}

// stoppablesOf the plan and of what is alive of it.
func stoppablesOf(first string, children []Child, alive []client.Object) []stoppable {
	var out []stoppable
	for i, child := range children {
		planned, ok := child.Object.(*appsv1.Deployment)
		live, lives := alive[i].(*appsv1.Deployment)
		if !ok || !lives || live == nil {
			continue
		}
		n := ptr.Deref(live.Spec.Replicas, 1)
		out = append(out, stoppable{
			planned: ptr.Deref(planned.Spec.Replicas, 1), alive: n, first: componentOf(live) == first, settled: settledAt(live, n),
		})
	}
	return out
}

// stopsRest is true where a Deployment that is not to stop first is about to stop. waits is true where those that are
// have not stopped, as far as their Deployments know.
func stopsRest(list []stoppable) (stops, waits bool) {
	for _, d := range list {
		switch {
		case d.first:
			waits = waits || d.planned == 0 && (d.alive != 0 || !d.settled)
		case d.planned == 0 && d.alive > 0:
			stops = true
		}
	}
	return stops, stops && waits
}

// lookWhoStops finds out whether pods that stop first are there yet, of an object whose others are about to stop. Before
// those do, it asks the API server: an old cache does not know the newest pods.
func (r *Reconciler) lookWhoStops(ctx context.Context, s *scope, alive []client.Object) error {
	first := r.kind.stopsFirst()
	if first == "" {
		return nil
	}
	stops, waits := stopsRest(stoppablesOf(first, s.plan.Children, alive))
	if !stops {
		return nil
	}
	s.lingers = waits
	for _, from := range []client.Reader{r.client, r.live} {
		if s.lingers {
			break
		}
		pods, err := r.podsOf(ctx, from, s.obj, first)
		if err != nil {
			return err
		}
		s.lingers = len(stopping(pods, s.now.Time)) > 0
	}
	if s.lingers {
		s.again = stopLook
	}
	return nil
}

// podsOf an object's component.
func (r *Reconciler) podsOf(ctx context.Context, from client.Reader, obj v1alpha1.Pattern, component string) ([]corev1.Pod, error) {
	var list corev1.PodList
	if err := from.List(ctx, &list, r.inventory(from, &list, obj)...); err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	var out []corev1.Pod
	for i := range list.Items {
		if componentOf(&list.Items[i]) == component {
			out = append(out, list.Items[i])
		}
	}
	return out, nil
}

// stopping are the pods that are to be waited for: those that run, and are not past their grace.
func stopping(pods []corev1.Pod, now time.Time) []corev1.Pod {
	var out []corev1.Pod
	for i := range pods {
		p := &pods[i]
		ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
		overdue := p.DeletionTimestamp != nil && now.After(p.DeletionTimestamp.Add(overdueAfter))
		if !ended && !overdue {
			out = append(out, *p)
		}
	}
	return out
}

// linger keeps a Deployment at its number of pods while those that stop first are there.
func (r *Reconciler) linger(s *scope, planned, live client.Object) {
	p, ok := planned.(*appsv1.Deployment)
	d, lives := live.(*appsv1.Deployment)
	if !s.lingers || !ok || !lives || d == nil || componentOf(p) == r.kind.stopsFirst() || ptr.Deref(p.Spec.Replicas, 1) != 0 {
		return
	}
	p.Spec.Replicas = ptr.To(ptr.Deref(d.Spec.Replicas, 1))
}

func componentOf(obj client.Object) string { return obj.GetLabels()[v1alpha1.LabelComponent] }

// stopped passes that a pod which stops before others is gone, or has ended.
func (r *Reconciler) stopped() predicate.Predicate {
	first := r.kind.stopsFirst()
	is := func(o client.Object) bool { return first != "" && componentOf(o) == first }
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(event.UpdateEvent) bool { return false },
		DeleteFunc: func(e event.DeleteEvent) bool { return is(e.Object) },
		// Nobody sends these.
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}
