package engine

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
)

func makeEngine(mutate ...func(*v1alpha1.EngineSpec)) *v1alpha1.Engine {
	e := &v1alpha1.Engine{}
	e.Namespace, e.Name, e.Spec.Type = "apps", "store", v1alpha1.EngineRedis
	for _, m := range mutate {
		m(&e.Spec)
	}
	return e
}

func hasReplicas(e *v1alpha1.Engine, n int32) *v1alpha1.Engine {
	e.Status.Replicas = n
	return e
}

func makeClass(entries ...v1alpha1.EngineClass) *v1alpha1.PatternClass {
	c := &v1alpha1.PatternClass{}
	c.Name, c.Spec.Engines = "c", entries
	return c
}

func storage(size, class string) *v1alpha1.Storage {
	s := &v1alpha1.Storage{}
	if size != "" {
		s.Size = ptr.To(resource.MustParse(size))
	}
	if class != "" {
		s.StorageClassName = &class
	}
	return s
}

func provisioned(p v1alpha1.ProvisionedEngine) func(*v1alpha1.EngineSpec) {
	return func(s *v1alpha1.EngineSpec) { s.Provisioned = &p }
}

func elsewhere(name string) func(*v1alpha1.EngineSpec) {
	return func(s *v1alpha1.EngineSpec) {
		s.External = &v1alpha1.ExternalEngine{SecretRef: v1alpha1.SecretReference{Name: name}}
	}
}

func TestNeeds(t *testing.T) {
	image := v1alpha1.EngineClass{Type: v1alpha1.EngineRedis, Image: "redis:8"}
	sized := v1alpha1.EngineClass{Type: v1alpha1.EngineRedis, Image: "redis:8", Storage: storage("3Gi", "")}
	managed := v1alpha1.EngineClass{Type: v1alpha1.EngineRedis, External: &v1alpha1.ClassExternalEngine{
		SecretRef: v1alpha1.NamespacedSecretReference{Namespace: "platform", Name: "managed"}}}
	gi := func(n string) *resource.Quantity { return ptr.To(resource.MustParse(n)) }
	tests := []struct {
		name   string
		engine *v1alpha1.Engine
		class  *v1alpha1.PatternClass
		want   pattern.Needs
	}{
		{"as the class runs it", makeEngine(), makeClass(image), pattern.Needs{Storage: gi("1Gi")}},
		{"of the class's size", makeEngine(), makeClass(sized), pattern.Needs{Storage: gi("3Gi")}},
		{"of its own size", makeEngine(provisioned(v1alpha1.ProvisionedEngine{Storage: storage("5Gi", "")})), makeClass(sized),
			pattern.Needs{Storage: gi("5Gi")}},
		{"of several replicas", makeEngine(provisioned(v1alpha1.ProvisionedEngine{Replicas: ptr.To[int32](3)})), makeClass(sized),
			pattern.Needs{Storage: gi("9Gi")}},
		{"of more replicas than are asked for", hasReplicas(makeEngine(), 5), makeClass(sized), pattern.Needs{Storage: gi("15Gi")}},
		{"exposed by a Gateway", makeEngine(provisioned(v1alpha1.ProvisionedEngine{Exposure: &v1alpha1.Exposure{
			GatewayRef: &v1alpha1.GatewayExposure{Name: "public"}}})), makeClass(image), pattern.Needs{Storage: gi("1Gi"),
			APIs: []schema.GroupVersionKind{{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"}}}},
		{"not on offer", makeEngine(), makeClass(), pattern.Needs{Storage: gi("1Gi"), OffersEngine: v1alpha1.EngineRedis}},
		{"not on offer, of its own image", makeEngine(provisioned(v1alpha1.ProvisionedEngine{Image: "redis:8"})), makeClass(),
			pattern.Needs{Storage: gi("1Gi")}},
		{"as the class points elsewhere", makeEngine(), makeClass(managed),
			pattern.Needs{Source: &client.ObjectKey{Namespace: "platform", Name: "managed"}}},
		{"external", makeEngine(elsewhere("mine")), makeClass(managed), pattern.Needs{Source: &client.ObjectKey{Namespace: "apps", Name: "mine"}}},
		{"external, not on offer", makeEngine(elsewhere("mine")), makeClass(), pattern.Needs{Source: &client.ObjectKey{Namespace: "apps", Name: "mine"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.EngineName, tt.want.CountConsumers = "Redis", true
			before := tt.class.DeepCopy()
			if diff := cmp.Diff(tt.want, needs(tt.engine, tt.class)); diff != "" {
				t.Errorf("needs (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, tt.class); diff != "" {
				t.Errorf("the class is changed:\n%s", diff)
			}
		})
	}
}

func TestMergedStorage(t *testing.T) {
	tests := []struct {
		name string
		from []*v1alpha1.Storage
		want *v1alpha1.Storage
	}{
		{"nothing", []*v1alpha1.Storage{nil, nil}, storage("1Gi", "")},
		{"each field by itself", []*v1alpha1.Storage{storage("", "fast"), storage("2Gi", "slow")}, storage("2Gi", "fast")},
		{"the first", []*v1alpha1.Storage{storage("3Gi", "fast"), storage("2Gi", "slow")}, storage("3Gi", "fast")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(*tt.want, mergedStorage(tt.from...)); diff != "" {
				t.Errorf("storage (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRedisCommands(t *testing.T) {
	for image, want := range map[string]string{
		"docker.io/valkey/valkey:8.1": "valkey-server",
		"docker.io/library/redis:8":   "redis-server",
		"redis":                       "redis-server",
		"registry.example.com/redis/valkey@sha256:abc": "valkey-server",
		"registry.example.com:5000/redis-stack:7":      "redis-server",
		"registry.example.com/mirror":                  "valkey-server",
	} {
		if got, _ := redisCommands(image); got != want {
			t.Errorf("%s is started by %s, want %s", image, got, want)
		}
	}
}

func running(image string, available int32) []client.Object {
	s := &appsv1.StatefulSet{}
	s.Spec.Replicas = ptr.To[int32](1)
	s.Spec.Template.Spec.Containers = []corev1.Container{{Image: image}}
	s.Status.Replicas, s.Status.AvailableReplicas = 1, available
	return []client.Object{&corev1.Service{}, s}
}

func TestObserve(t *testing.T) {
	ok := pattern.Verdict{OK: true, Reason: "EngineReady", Message: "the engine answers"}
	unreachable := pattern.Verdict{Reason: "EngineUnreachable", Message: "no answer"}
	tests := []struct {
		name        string
		engine      *v1alpha1.Engine
		seen        pattern.Observed
		wantVersion string
		want        pattern.Verdict
	}{
		{"runs", makeEngine(), pattern.Observed{Children: running("valkey/valkey:8.1", 1)}, "8.1",
			pattern.Verdict{OK: true, Reason: "EngineReady", Message: "all pods are ready"}},
		{"starts", makeEngine(), pattern.Observed{Children: running("valkey/valkey:8.1", 0)}, "8.1",
			pattern.Verdict{Reason: "EngineNotReady", Message: "0 of 1 pods are ready"}},
		{"is suspended", makeEngine(func(s *v1alpha1.EngineSpec) { s.Suspend = ptr.To(true) }), pattern.Observed{Children: running("valkey/valkey:8.1", 0)}, "8.1",
			pattern.Verdict{Reason: "Suspended", Message: "spec.suspend is true: the engine is stopped and its data kept"}},
		{"answers", makeEngine(elsewhere("mine")), pattern.Observed{Probe: &pattern.ProbeResult{Verdict: ok, Version: "7.2"}}, "7.2", ok},
		{"does not answer", makeEngine(elsewhere("mine")), pattern.Observed{Probe: &pattern.ProbeResult{Verdict: unreachable}}, "before", unreachable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.engine.Status.Version = "before"
			tt.seen.Consumers = 4
			if diff := cmp.Diff(pattern.Health{Engine: &tt.want}, observe(tt.engine, tt.seen)); diff != "" {
				t.Errorf("health (-want +got):\n%s", diff)
			}
			want := v1alpha1.EngineStatus{Version: tt.wantVersion, Consumers: 4}
			if len(tt.seen.Children) > 0 {
				want.Replicas = 1
			}
			if diff := cmp.Diff(want, tt.engine.Status); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRunningVersion(t *testing.T) {
	for image, want := range map[string]string{
		"valkey/valkey:8.1":             "8.1",
		"host:5000/valkey":              "",
		"host:5000/valkey:8.1":          "8.1",
		"valkey/valkey@sha256:0123abcd": "",
		"valkey/valkey:8.1@sha256:0123": "8.1",
	} {
		if got := runningVersion(running(image, 1)); got != want {
			t.Errorf("version of %s is %q, want %q", image, got, want)
		}
	}
	if got := runningVersion([]client.Object{&corev1.Service{}, &appsv1.StatefulSet{}}); got != "" {
		t.Errorf("version of nothing is %q", got)
	}
}

func TestPlanOfAnUnknownType(t *testing.T) {
	e := makeEngine(func(s *v1alpha1.EngineSpec) { s.Type = "Oracle" })
	if _, err := plan(e, pattern.Inputs{Class: makeClass()}); err == nil || err.Error() != "type Oracle is not served by this version of Trellis" {
		t.Errorf("error is %v", err)
	}
}
