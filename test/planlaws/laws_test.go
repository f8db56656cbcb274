package planlaws

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/realtimegateway"
)

// lawful is a plan that no law has anything against.
func lawful(t *testing.T) pattern.Plan {
	t.Helper()
	g := &v1alpha1.RealtimeGateway{}
	g.Namespace, g.Name = namespace, "rooms"
	g.Spec.Engine, g.Spec.Replicas = v1alpha1.RealtimeRedis, ptr.To[int32](2)
	class := &v1alpha1.PatternClass{Spec: v1alpha1.PatternClassSpec{
		Plane:   v1alpha1.PlaneClass{Image: "plane", Version: "v1"},
		Engines: []v1alpha1.EngineClass{{Type: v1alpha1.EngineRedis, Image: "redis:8"}},
	}}
	class.Name = "standard"
	plan, err := pattern.PlanOf(realtimegateway.Definition(), g, pattern.Preview{Class: class, ClusterDomain: "cluster.local"})
	if err != nil {
		t.Fatal(err)
	}
	if problems := Problems("RealtimeGateway", "rooms", plan, nil); len(problems) > 0 {
		t.Fatalf("the plan is not lawful: %v", problems)
	}
	return plan
}

// get is the plan's first object of a type.
func get[T client.Object](p *pattern.Plan) T {
	i := slices.IndexFunc(p.Children, func(c pattern.Child) bool { _, ok := c.Object.(T); return ok })
	return p.Children[i].Object.(T)
}

// without removes the plan's objects of a type.
func without[T client.Object](p *pattern.Plan) {
	p.Children = slices.DeleteFunc(p.Children, func(c pattern.Child) bool { _, ok := c.Object.(T); return ok })
}

func container(p *pattern.Plan) *corev1.Container {
	return &get[*appsv1.Deployment](p).Spec.Template.Spec.Containers[0]
}

func podSpec(p *pattern.Plan) *corev1.PodSpec {
	return &get[*appsv1.Deployment](p).Spec.Template.Spec
}

// TestEachLawFinds breaks a lawful plan in one way after the other.
func TestEachLawFinds(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*pattern.Plan)
		want  string
	}{
		{"a root user", func(p *pattern.Plan) { podSpec(p).SecurityContext.RunAsUser = ptr.To[int64](0) }, "runAsUser=0"},
		{"capabilities", func(p *pattern.Plan) { container(p).SecurityContext.Capabilities = nil }, "unrestricted capabilities"},
		{"no seccomp", func(p *pattern.Plan) { podSpec(p).SecurityContext.SeccompProfile = nil }, "seccompProfile"},
		{"a writable root", func(p *pattern.Plan) { container(p).SecurityContext.ReadOnlyRootFilesystem = nil }, "can write to its root"},
		{"no request", func(p *pattern.Plan) { delete(container(p).Resources.Requests, corev1.ResourceCPU) }, "requests no cpu"},
		{"no limit", func(p *pattern.Plan) { delete(container(p).Resources.Limits, corev1.ResourceMemory) }, "no limit of memory"},
		{"too large a request", func(p *pattern.Plan) {
			container(p).Resources.Requests[corev1.ResourceMemory] = resource.MustParse("1Ti")
		}, "requests more memory than its limit"},
		{"no startup probe", func(p *pattern.Plan) { container(p).StartupProbe = nil }, "no startup probe"},
		{"no readiness probe", func(p *pattern.Plan) { container(p).ReadinessProbe = nil }, "no readiness probe"},
		{"no liveness probe", func(p *pattern.Plan) { container(p).LivenessProbe = nil }, "no liveness probe"},
		{"no tag", func(p *pattern.Plan) { container(p).Image = "plane" }, "no tag or digest"},
		{"no spread", func(p *pattern.Plan) { podSpec(p).TopologySpreadConstraints = nil }, "not spread"},
		{"a token", func(p *pattern.Plan) { podSpec(p).AutomountServiceAccountToken = nil }, "token of the API server"},
		{"the default account", func(p *pattern.Plan) { podSpec(p).ServiceAccountName = "" }, "default service account"},
		{"no account", without[*corev1.ServiceAccount], "does not make its service account"},
		{"no grace", func(p *pattern.Plan) { podSpec(p).TerminationGracePeriodSeconds = nil }, "no grace period"},
		{"no budget", without[*policyv1.PodDisruptionBudget], "no PodDisruptionBudget"},
		{"no policy", without[*networkingv1.NetworkPolicy], "no NetworkPolicy"},
		{"a policy of others", func(p *pattern.Plan) {
			get[*networkingv1.NetworkPolicy](p).Spec.PodSelector.MatchLabels = map[string]string{"app": "other"}
		}, "no NetworkPolicy"},
		{"no label", func(p *pattern.Plan) { delete(get[*corev1.Service](p).Labels, v1alpha1.LabelManagedBy) }, "lacks labels"},
		{"another namespace", func(p *pattern.Plan) { get[*corev1.Service](p).Namespace = "other" }, `in namespace "other"`},
		{"too long a name", func(p *pattern.Plan) { get[*corev1.Service](p).Name = strings.Repeat("a", 64) }, "no DNS label"},
		{"no kind", func(p *pattern.Plan) { get[*corev1.Service](p).Kind = "" }, "does not say what it is"},
		{"an object twice", func(p *pattern.Plan) { p.Children = append(p.Children, p.Children[len(p.Children)-1]) }, "there twice"},
		{"a placeholder", func(p *pattern.Plan) { get[*corev1.ConfigMap](p).Data["x"] = "a${token}b" }, "placeholder"},
		{"a secret of others", func(p *pattern.Plan) { container(p).Args = append(container(p).Args, "s3cret") }, "holds the secret password"},
		{"no config", without[*corev1.ConfigMap], "mounts ConfigMap rooms-rtg"},
		{"no binding", func(p *pattern.Plan) { p.Binding = "other" }, `does not make its binding "other"`},
		{"a binding without a host", func(p *pattern.Plan) { delete(get[*corev1.Secret](p).Data, "host") }, "has no host"},
		{"a binding of another type", func(p *pattern.Plan) { get[*corev1.Secret](p).Type = "Opaque" }, "type is Opaque"},
		{"no volume", func(p *pattern.Plan) { podSpec(p).Volumes = nil }, "is no volume"},
		{"a right that the operator has not", func(p *pattern.Plan) {
			role := &rbacv1.Role{ObjectMeta: get[*corev1.Service](p).ObjectMeta, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"get"}}}}
			p.Children = append(p.Children, pattern.Child{Object: role})
		}, "allows to get nodes"},
		{"a port to nowhere", func(p *pattern.Plan) { get[*corev1.Service](p).Spec.Ports[0].TargetPort = intstr.FromString("web") }, "leads to no container's port"},
		{"a Service of nothing", func(p *pattern.Plan) { get[*corev1.Service](p).Spec.Selector = nil }, "selects nothing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			plan := lawful(t)
			tt.spoil(&plan)
			problems := Problems("RealtimeGateway", "rooms", plan, map[string][]byte{"password": []byte("s3cret")})
			if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, tt.want) }) {
				t.Errorf("problems are %q, want one with %q", problems, tt.want)
			}
		})
	}
}
