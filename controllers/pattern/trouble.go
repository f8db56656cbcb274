package pattern

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// explain adds to what holds an object back why its pods do not start, where they say so.
func (r *Reconciler) explain(ctx context.Context, s *scope) error {
	own := s.health.Plane
	if own == nil {
		own = s.health.Engine
	}
	if own != nil && own.Reason == v1alpha1.ReasonSuspended {
		return nil
	}
	if settledVerdict(own) && settledVerdict(s.health.Workers) {
		return nil
	}
	var pods corev1.PodList
	if err := r.client.List(ctx, &pods, r.inventory(r.client, &pods, s.obj)...); err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	isWorker := func(p corev1.Pod) bool { return p.Labels[v1alpha1.LabelComponent] == v1alpha1.ComponentWorker }
	workers := slices.Clone(pods.Items)
	workers = slices.DeleteFunc(workers, func(p corev1.Pod) bool { return !isWorker(p) })
	blame(own, firstTrouble(slices.DeleteFunc(pods.Items, isWorker)))
	trouble := firstTrouble(workers)
	if trouble == "" && s.plan.Once != nil && s.health.Workers != nil && !s.health.Workers.OK {
		trouble = lastWords(workers)
	}
	blame(s.health.Workers, trouble)
	return nil
}

// settledVerdict is true where there is nothing to explain.
func settledVerdict(v *Verdict) bool { return v == nil || v.OK && !v.Progressing }

// blame trouble for a verdict that is not what it should be.
func blame(v *Verdict, trouble string) {
	if settledVerdict(v) || trouble == "" {
		return
	}
	v.Message += "; " + trouble
	switch v.Reason {
	case v1alpha1.ReasonPlaneNotReady:
		v.Reason = v1alpha1.ReasonPlaneFailing
	case v1alpha1.ReasonWorkersNotReady, v1alpha1.ReasonWorkersStarting:
		v.OK, v.Reason = false, v1alpha1.ReasonWorkersFailing
	}
}

// firstTrouble is the same whichever pod has it, and in whatever order they come.
func firstTrouble(pods []corev1.Pod) string {
	out := ""
	for i := range pods {
		if t := troubleOf(&pods[i]); t != "" && (out == "" || t < out) {
			out = t
		}
	}
	return out
}

// troubleOf says what keeps a pod from starting, empty where nothing is known to. It stays the same while the kubelet
// tries again and again, and has nothing in it that differs from pod to pod.
func troubleOf(p *corev1.Pod) string {
	if !p.DeletionTimestamp.IsZero() || p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded {
		return ""
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return "no node can take a pod (Unschedulable): the events of the pod say what is missing"
		}
	}
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for i := range list {
			if t := containerTrouble(&list[i]); t != "" {
				return t
			}
		}
	}
	return ""
}

func containerTrouble(c *corev1.ContainerStatus) string {
	reason := ""
	if c.State.Waiting != nil {
		reason = c.State.Waiting.Reason
	}
	switch reason {
	case "ErrImagePull", "ImagePullBackOff":
		// The kubelet takes turns with them.
		return imageTrouble(c, "ImagePullBackOff")
	case "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed":
		return imageTrouble(c, reason)
	}
	if ended := lastEnd(c); ended != nil {
		return fmt.Sprintf("container %q ended with %s (exit code %d) and is started again: `kubectl logs --previous` of the pod may say why",
			c.Name, ended.Reason, ended.ExitCode)
	}
	switch reason {
	case "", "ContainerCreating", "PodInitializing":
		return ""
	default:
		return fmt.Sprintf("container %q can not be started (%s): the events of the pod say why", c.Name, reason)
	}
}

func imageTrouble(c *corev1.ContainerStatus, reason string) string {
	return fmt.Sprintf("image %q can not be had (%s): correct its name, or let the nodes pull it", c.Image, reason)
}

// lastEnd is how a container ended that has not started well since; nil where it has, or has done its work.
func lastEnd(c *corev1.ContainerStatus) *corev1.ContainerStateTerminated {
	started := c.Started != nil && *c.Started
	switch {
	case c.State.Terminated != nil && c.State.Terminated.ExitCode != 0:
		return c.State.Terminated
	case c.State.Terminated != nil || started || c.Ready:
		return nil
	default:
		return c.LastTerminationState.Terminated
	}
}

// slimContainers keeps of those in trouble what troubleOf asks for.
func slimContainers(all []corev1.ContainerStatus) []corev1.ContainerStatus {
	var out []corev1.ContainerStatus
	for i := range all {
		c := &all[i]
		if containerTrouble(c) == "" {
			continue
		}
		kept := corev1.ContainerStatus{Name: c.Name, Image: c.Image}
		if ended := lastEnd(c); ended != nil {
			kept.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{Reason: ended.Reason, ExitCode: ended.ExitCode}
		}
		if c.State.Waiting != nil {
			kept.State.Waiting = &corev1.ContainerStateWaiting{Reason: c.State.Waiting.Reason}
		}
		out = append(out, kept)
	}
	return out
}

// troubleChanges passes pods that begin or cease to have trouble, and no other change of theirs.
func troubleChanges() predicate.Predicate {
	of := func(o client.Object) string {
		if p, ok := o.(*corev1.Pod); ok {
			return troubleOf(p)
		}
		return ""
	}
	return predicate.Funcs{
		CreateFunc:  func(e event.CreateEvent) bool { return of(e.Object) != "" },
		UpdateFunc:  func(e event.UpdateEvent) bool { return of(e.ObjectOld) != of(e.ObjectNew) },
		DeleteFunc:  func(e event.DeleteEvent) bool { return of(e.Object) != "" },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}
