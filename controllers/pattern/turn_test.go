package pattern

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// testKind is a kind of which only the name matters.
type testKind struct {
	kind
	called string
}

func (k testKind) name() string { return k.called }

// member of the class c, whose generation is 2: a gateway that serves and follows generation 1.
func member(name string, mutate ...func(*v1alpha1.RealtimeGateway)) *v1alpha1.RealtimeGateway {
	g := makeGateway(name).obj()
	g.UID, g.Spec.ClassName = types.UID(name), "c"
	g.Status.ObservedClassGeneration = 1
	mark(g, v1alpha1.ConditionPlaneReady, metav1.ConditionTrue, "PlaneReady")
	for _, m := range mutate {
		m(g)
	}
	return g
}

func mark(p v1alpha1.Pattern, kind string, value metav1.ConditionStatus, reason string) {
	setCondition(p.GetPatternStatus(), p.GetGeneration(), at(0), kind, value, reason, "")
}

func follows(g *v1alpha1.RealtimeGateway) { g.Status.ObservedClassGeneration = 2 }
func rolling(g *v1alpha1.RealtimeGateway) {
	mark(g, v1alpha1.ConditionUpdateAvailable, metav1.ConditionTrue, v1alpha1.ReasonRolloutInProgress)
}
func down(g *v1alpha1.RealtimeGateway) {
	mark(g, v1alpha1.ConditionPlaneReady, metav1.ConditionFalse, "PlaneNotReady")
}
func elsewhere(g *v1alpha1.RealtimeGateway) { g.Spec.ClassName = "d" }

func TestAhead(t *testing.T) {
	tests := []struct {
		name   string
		others []client.Object
		want   string
	}{
		{"nobody else", nil, ""},
		{"one that comes first", []client.Object{member("a")}, "a"},
		{"one that comes later", []client.Object{member("z")}, ""},
		{"one that comes later and rolls", []client.Object{member("z", follows, rolling)}, "z"},
		{"one that rolls goes before one that comes first", []client.Object{member("a"), member("z", follows, rolling)}, "z"},
		{"one that is done", []client.Object{member("a", follows)}, ""},
		{"one that does not serve", []client.Object{member("a", down)}, ""},
		{"one that does not serve since its turn", []client.Object{member("a", follows, rolling, down)}, "a"},
		{"one of another class", []client.Object{member("a", elsewhere), member("b", elsewhere, rolling)}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			scheme, err := NewScheme()
			if err != nil {
				t.Fatal(err)
			}
			me := member("m")
			r := &Reconciler{
				kind: testKind{called: "RealtimeGateway"}, kinds: []kind{testKind{called: "Engine"}, testKind{called: "RealtimeGateway"}},
				scheme: scheme, client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(append(tt.others, me)...).Build(),
			}
			s := found(func(s *scope) {
				s.obj = me
				s.inputs.Class = makeClass("c").obj()
				s.inputs.Class.Generation = 2
			})
			first, err := r.ahead(context.Background(), s)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if first != nil {
				got = first.GetName()
			}
			if got != tt.want {
				t.Errorf("%q is ahead, want %q", got, tt.want)
			}
		})
	}
}

func TestQueue(t *testing.T) {
	at := func(class, kind string, order int, name string) place {
		return place{class: class, order: order, kind: kind, key: types.NamespacedName{Namespace: "apps", Name: name}}
	}
	q := newQueue()
	for _, p := range []place{at("c", "RealtimeGateway", 1, "b"), at("c", "RealtimeGateway", 1, "a"), at("c", "Engine", 0, "z"), at("d", "Engine", 0, "a")} {
		q.join(p)
		q.join(p)
	}
	names := func(places []place) (out []string) {
		for _, p := range places {
			out = append(out, p.kind+" "+p.key.Name)
		}
		return out
	}
	if diff := cmp.Diff([]string{"Engine z", "RealtimeGateway a", "RealtimeGateway b"}, names(q.next("c", true))); diff != "" {
		t.Errorf("the order of a class (-want +got):\n%s", diff)
	}
	q.leave("Engine", types.NamespacedName{Namespace: "apps", Name: "z"})
	if diff := cmp.Diff([]string{"RealtimeGateway a"}, names(q.next("c", false))); diff != "" {
		t.Errorf("the next of a class (-want +got):\n%s", diff)
	}
	if got := q.next("none", true); got != nil {
		t.Errorf("%v wait of a class that nobody has", got)
	}
}
