package engine

import (
	"context"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
)

// checkTimeout bounds one check of an external engine.
const checkTimeout = 5 * time.Second

func observe(e *v1alpha1.Engine, seen pattern.Observed) pattern.Health {
	e.Status.Consumers = seen.Consumers
	if seen.Probe != nil {
		if seen.Probe.OK {
			e.Status.Version = seen.Probe.Version
		}
		return pattern.Health{Engine: &seen.Probe.Verdict}
	}
	e.Status.Version = runningVersion(seen.Children)
	e.Status.Replicas = membersOf(e, memberCount(seen.Children))
	if ptr.Deref(e.Spec.Suspend, false) {
		return pattern.Health{Engine: &pattern.Verdict{
			Reason: v1alpha1.ReasonSuspended, Message: "spec.suspend is true: the engine is stopped and its data kept",
		}}
	}
	return pattern.Health{Engine: pattern.WorkloadVerdict(seen.Children, pattern.WorkloadReasons{
		Ready:   v1alpha1.ReasonEngineReady,
		Waiting: v1alpha1.ReasonEngineNotReady,
		Failing: v1alpha1.ReasonEngineNotReady,
		Rolling: v1alpha1.ReasonEngineReady,
	})}
}

// memberCount is how many replicas there are, 0 while the engine is suspended.
func memberCount(children []client.Object) (n int32) {
	for _, c := range children {
		if sts, ok := c.(*appsv1.StatefulSet); ok {
			n += ptr.Deref(sts.Spec.Replicas, 0)
		}
	}
	return n
}

// membersOf is how many an Engine has, now that count of them are planned.
func membersOf(e *v1alpha1.Engine, count int32) int32 {
	if count > 0 && mayShrink(e.Spec.Type) {
		return count
	}
	return max(e.Status.Replicas, count)
}

// runningVersion is the tag of a provisioned engine's image, empty where a digest alone names it.
func runningVersion(children []client.Object) string {
	for _, c := range children {
		sts, ok := c.(*appsv1.StatefulSet)
		if !ok || len(sts.Spec.Template.Spec.Containers) == 0 {
			continue
		}
		image, _, _ := strings.Cut(sts.Spec.Template.Spec.Containers[0].Image, "@")
		if i := strings.LastIndex(image, ":"); i > strings.LastIndex(image, "/") {
			return image[i+1:]
		}
	}
	return ""
}

// probe asks an external engine whether it answers. A provisioned one has probes of its own.
func probe(ctx context.Context, e *v1alpha1.Engine, in pattern.Inputs, seen pattern.Observed) *pattern.ProbeResult {
	if !external(e, classEntry(in.Class, e.Spec.Type)) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	version, err := drivers[e.Spec.Type].Check(ctx, bindingData(seen.Children))
	if err != nil {
		return &pattern.ProbeResult{Verdict: pattern.Verdict{
			Reason: v1alpha1.ReasonEngineUnreachable, Message: err.Error(),
		}}
	}
	return &pattern.ProbeResult{Version: version, Verdict: pattern.Verdict{
		OK: true, Reason: v1alpha1.ReasonEngineReady, Message: "the engine answers",
	}}
}

func bindingData(children []client.Object) map[string][]byte {
	for _, c := range children {
		if s, ok := c.(*corev1.Secret); ok {
			return s.Data
		}
	}
	return nil
}
