package pattern

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// gateways is a kind of one child that needs what it is told to.
func gateways(needs Needs, err error) Definition[*v1alpha1.RealtimeGateway] {
	return Definition[*v1alpha1.RealtimeGateway]{
		Kind:  "RealtimeGateway",
		New:   func() *v1alpha1.RealtimeGateway { return &v1alpha1.RealtimeGateway{} },
		Needs: func(*v1alpha1.RealtimeGateway, *v1alpha1.PatternClass) Needs { return needs },
		Plan: func(_ *v1alpha1.RealtimeGateway, in Inputs) (Plan, error) {
			if err != nil {
				return Plan{}, err
			}
			cm := configMap(map[string]string{"domain": in.ClusterDomain, "source": string(in.Source["uri"])})
			return Plan{Children: []Child{{Object: cm}}}, nil
		},
	}
}

func engineOf(name string, labels map[string]string, policy v1alpha1.DeletionPolicy) *v1alpha1.Engine {
	return &v1alpha1.Engine{
		TypeMeta:   metav1.TypeMeta{APIVersion: "patterns.trellis.dev/v1alpha1", Kind: "Engine"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: name, Labels: labels},
		Spec: v1alpha1.EngineSpec{
			PatternSpec: v1alpha1.PatternSpec{ClassName: "c", DeletionPolicy: policy}, Type: v1alpha1.EngineRedis,
		},
	}
}

func TestPlanOf(t *testing.T) {
	own := Child{Object: configMap(map[string]string{"domain": "cluster.local", "source": "redis://x"})}
	managed := map[string]string{"app.kubernetes.io/managed-by": "trellis"}
	owned := map[string]string{
		"app.kubernetes.io/managed-by": "trellis", "patterns.trellis.dev/kind": "RealtimeGateway", "patterns.trellis.dev/name": "rooms",
	}
	tests := []struct {
		name      string
		selection *v1alpha1.EngineSelection
		want      []Child
	}{
		{"a shared engine", nil, []Child{{Object: engineOf("c-redis", managed, ""), Shared: true}, own}},
		{"a dedicated engine", &v1alpha1.EngineSelection{Sharing: v1alpha1.EngineDedicated},
			[]Child{{Object: engineOf("rooms-redis", owned, v1alpha1.DeletionDelete), Retain: true}, own}},
		{"a named engine", &v1alpha1.EngineSelection{Ref: &v1alpha1.EngineReference{Name: "mine"}}, []Child{own}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := gateways(Needs{Engine: &EngineNeed{Type: redis, Selection: tt.selection}}, nil)
			plan, err := PlanOf(d, makeGateway("rooms").policy(v1alpha1.DeletionDelete).obj(), Preview{
				Class: makeClass("c").offers(redis).obj(), ClusterDomain: "cluster.local",
				Source: map[string][]byte{"uri": []byte("redis://x")},
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, plan.Children); diff != "" {
				t.Errorf("children (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlanOfRefuses(t *testing.T) {
	tests := []struct {
		name string
		d    Definition[*v1alpha1.RealtimeGateway]
		want string
	}{
		{"what the class does", gateways(Needs{Replicas: 2}, nil),
			`LimitExceeded: spec.replicas is 2 and PatternClass "c" allows 1: lower it, or choose another class`},
		{"what the plan does", gateways(Needs{}, errors.New("the Secret has no key uri")), "plan RealtimeGateway: the Secret has no key uri"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			plan, err := PlanOf(tt.d, makeGateway("rooms").obj(), Preview{Class: makeClass("c").maxReplicas(1).obj()})
			if err == nil || err.Error() != tt.want || plan.Children != nil {
				t.Errorf("plan %v, error %v; want %s", plan, err, tt.want)
			}
		})
	}
}

func TestRegistration(t *testing.T) {
	r := &Registration{}
	Register(r, gateways(Needs{}, nil))
	if _, ok := r.New("RealtimeGateway").(*v1alpha1.RealtimeGateway); !ok {
		t.Error("a registered kind has no objects")
	}
	if r.New("Teapot") != nil {
		t.Error("a kind that is not registered has objects")
	}
	class := makeClass("c").obj()
	plan, err := r.Plan("RealtimeGateway", makeGateway("rooms").obj(), Preview{Class: class})
	if err != nil || len(plan.Children) != 1 {
		t.Errorf("plan %v, error %v", plan, err)
	}
	if _, err := r.Plan("Teapot", makeGateway("rooms").obj(), Preview{Class: class}); err == nil {
		t.Error("a kind that is not registered has a plan")
	}
}

func TestEngineInput(t *testing.T) {
	tests := []struct {
		name string
		from *v1alpha1.EngineSelection
		want EngineInput
	}{
		{"nothing said", nil, EngineInput{Type: redis, Name: "c-redis", BindingSecret: "c-redis-eng-binding"}},
		{"shared", &v1alpha1.EngineSelection{Sharing: v1alpha1.EngineShared}, EngineInput{Type: redis, Name: "c-redis", BindingSecret: "c-redis-eng-binding"}},
		{"dedicated", &v1alpha1.EngineSelection{Sharing: v1alpha1.EngineDedicated},
			EngineInput{Type: redis, Name: "rooms-redis", BindingSecret: "rooms-redis-eng-binding", Dedicated: true}},
		{"named", &v1alpha1.EngineSelection{Ref: &v1alpha1.EngineReference{Name: "mine"}},
			EngineInput{Type: redis, Name: "mine", BindingSecret: "mine-eng-binding", Given: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := EngineNeed{Type: redis, Selection: tt.from}.Input(makeGateway("rooms").obj(), makeClass("c").obj())
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("input (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEnginePublicURL(t *testing.T) {
	ingress := &v1alpha1.Exposure{Ingress: &v1alpha1.IngressExposure{Host: "a.example.com"}}
	for want, spec := range map[string]v1alpha1.EngineSpec{
		"":                     {},
		"http://a.example.com": {Provisioned: &v1alpha1.ProvisionedEngine{Exposure: ingress}},
	} {
		if got := EnginePublicURL(&v1alpha1.Engine{Spec: spec}); got != want {
			t.Errorf("the URL is %q, want %q", got, want)
		}
	}
}

func TestEngineNames(t *testing.T) {
	for typ, want := range map[v1alpha1.EngineType]string{
		v1alpha1.EngineNATS: "c-nats", v1alpha1.EnginePostgreSQL: "c-pgsql", v1alpha1.EngineRedis: "c-redis",
		v1alpha1.EngineS3: "c-s3",
	} {
		if got := (EngineNeed{Type: typ}).EngineName(makeGateway("rooms").obj(), makeClass("c").obj()); got != want {
			t.Errorf("the shared engine of type %s is %s, want %s", typ, got, want)
		}
	}
}

func TestDefinitionWithoutAProbe(t *testing.T) {
	if got := gateways(Needs{}, nil).probe(t.Context(), makeGateway("rooms").obj(), Inputs{}, Observed{}); got != nil {
		t.Errorf("probe says %v", got)
	}
}

func TestKindOf(t *testing.T) {
	if got := kindOf(configMap(nil)) + " " + kindOf(&corev1.Secret{}); got != "ConfigMap Secret" {
		t.Errorf("kinds are %s", got)
	}
}
