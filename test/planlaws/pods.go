package planlaws

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
)

// workload is what runs pods.
type workload struct {
	name     string
	replicas int32
	template corev1.PodTemplateSpec
}

// goesOn is false for a pod that ends with its work, which has a deadline and nothing that asks it how it is.
func (w workload) goesOn() bool { return w.template.Spec.RestartPolicy != corev1.RestartPolicyNever }

func workloadOf(child pattern.Child) (workload, bool) {
	switch w := child.Object.(type) {
	case *appsv1.Deployment:
		return workload{w.Name, ptr.Deref(w.Spec.Replicas, 1), w.Spec.Template}, true
	case *appsv1.StatefulSet:
		return workload{w.Name, ptr.Deref(w.Spec.Replicas, 1), w.Spec.Template}, true
	default:
		return workload{}, false
	}
}

// podProblems are what law 9 has against the pods of a workload.
func podProblems(w workload, plan pattern.Plan) []string {
	out := restrictedProblems(w)
	for _, c := range w.template.Spec.InitContainers {
		out = append(out, containerProblems(c)...)
		if ptr.Deref(c.RestartPolicy, "") == corev1.ContainerRestartPolicyAlways && !onLocalhost(w, c) {
			out = append(out, probeProblems(c)...)
		}
	}
	for _, c := range w.template.Spec.Containers {
		out = append(out, containerProblems(c)...)
		if w.goesOn() {
			out = append(out, probeProblems(c)...)
		}
	}
	spec := w.template.Spec
	out = append(out, unless(len(spec.TopologySpreadConstraints) > 0, "its pods are not spread")...)
	out = append(out, unless(!ptr.Deref(spec.AutomountServiceAccountToken, true), "its pods get a token of the API server")...)
	out = append(out, unless(spec.ServiceAccountName != "", "its pods run as the namespace's default service account")...)
	out = append(out, unless(ptr.Deref(spec.TerminationGracePeriodSeconds, 0) > 0, "it has no grace period of its own")...)
	out = append(out, unless(w.replicas <= 1 || hasBudget(w, plan), "it has several replicas and no PodDisruptionBudget")...)
	return append(out, unless(hasPolicy(w, plan), "no NetworkPolicy selects its pods")...)
}

// onLocalhost is true for the container of a shard, which the kubelet can not reach to ask it anything: the member before it
// is what is asked, and its readiness has the container's.
func onLocalhost(w workload, c corev1.Container) bool {
	return w.template.Labels[v1alpha1.LabelComponent] == v1alpha1.ComponentShard && c.Name == "shard"
}

// restrictedProblems asks the evaluator of the Pod Security admission plugin.
func restrictedProblems(w workload) []string {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return []string{err.Error()}
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	result := policy.AggregateCheckResults(evaluator.EvaluatePod(level, &w.template.ObjectMeta, &w.template.Spec))
	return unless(result.Allowed, "the Pod Security Standard restricted forbids its pods: %s", result.ForbiddenDetail())
}

func containerProblems(c corev1.Container) []string {
	var out []string
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		request, limit := c.Resources.Requests[name], c.Resources.Limits[name]
		out = append(out, unless(!request.IsZero(), "container %s requests no %s", c.Name, name)...)
		out = append(out, unless(!limit.IsZero(), "container %s has no limit of %s", c.Name, name)...)
		out = append(out, unless(request.Cmp(limit) <= 0, "container %s requests more %s than its limit", c.Name, name)...)
	}
	out = append(out, unless(strings.ContainsAny(c.Image, ":@"), "the image of container %s has no tag or digest", c.Name)...)
	return append(out, unless(c.SecurityContext != nil && ptr.Deref(c.SecurityContext.ReadOnlyRootFilesystem, false),
		"container %s can write to its root file system", c.Name)...)
}

func probeProblems(c corev1.Container) []string {
	out := unless(c.StartupProbe != nil, "container %s has no startup probe", c.Name)
	out = append(out, unless(c.ReadinessProbe != nil, "container %s has no readiness probe", c.Name)...)
	return append(out, unless(c.LivenessProbe != nil, "container %s has no liveness probe", c.Name)...)
}

func hasBudget(w workload, plan pattern.Plan) bool {
	for _, child := range plan.Children {
		if b, ok := child.Object.(*policyv1.PodDisruptionBudget); ok && selects(b.Spec.Selector, w) {
			return true
		}
	}
	return false
}

func hasPolicy(w workload, plan pattern.Plan) bool {
	for _, child := range plan.Children {
		if p, ok := child.Object.(*networkingv1.NetworkPolicy); ok && selects(&p.Spec.PodSelector, w) && len(p.Spec.Ingress) > 0 {
			return true
		}
	}
	return false
}

func selects(selector *metav1.LabelSelector, w workload) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && !s.Empty() && s.Matches(labels.Set(w.template.Labels))
}

func unless(ok bool, format string, args ...any) []string {
	if ok {
		return nil
	}
	return []string{fmt.Sprintf(format, args...)}
}
