package pattern

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// reader is a kind with a StatefulSet of as many pods as its ConfigMap "state" says.
func reader() Definition[*v1alpha1.RealtimeGateway] {
	return Definition[*v1alpha1.RealtimeGateway]{
		Kind: "RealtimeGateway",
		Plan: func(g *v1alpha1.RealtimeGateway, in Inputs) (Plan, error) {
			n, err := strconv.Atoi(in.Read["state"]["n"])
			if err != nil {
				n = 0
			}
			return Plan{Children: []Child{{Object: pods(g.Namespace, int32(n))}}}, nil
		},
	}
}

func pods(namespace string, n int32) *appsv1.StatefulSet {
	return &appsv1.StatefulSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "pods"},
		Spec:       appsv1.StatefulSetSpec{Replicas: ptr.To(n), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}},
	}
}

// stateOf what the pods have written for an object.
func stateOf(g *v1alpha1.RealtimeGateway, n string, mutate ...func(*corev1.ConfigMap)) *corev1.ConfigMap {
	out := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: g.Namespace, Name: "state", Labels: map[string]string{
			v1alpha1.LabelManagedBy: v1alpha1.ManagedBy, v1alpha1.LabelKind: "RealtimeGateway", v1alpha1.LabelName: g.Name,
		}},
		Data: map[string]string{"n": n},
	}
	for _, m := range mutate {
		m(out)
	}
	return out
}

func readerOf(t *testing.T, there ...client.Object) *Reconciler {
	t.Helper()
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(there...).Build()
	return &Reconciler{kind: reader(), client: c, live: c, scheme: scheme, clock: clock.RealClock{}, written: newWritten()}
}

func TestRead(t *testing.T) {
	g := makeGateway("rooms").obj()
	g.UID = "mine"
	controlled := func(uid types.UID) func(*corev1.ConfigMap) {
		return func(c *corev1.ConfigMap) { c.OwnerReferences = controlledBy(uid) }
	}
	found := map[string]map[string]string{"state": {"n": "3"}}
	for name, c := range map[string]struct {
		there []client.Object
		want  map[string]map[string]string
	}{
		"nothing":                             {nil, nil},
		"its own":                             {[]client.Object{stateOf(g, "3", controlled("mine"))}, found},
		"kept by a deletion":                  {[]client.Object{stateOf(g, "3")}, found},
		"left by another of the name":         {[]client.Object{stateOf(g, "3", controlled("another"))}, nil},
		"somebody else's, without our labels": {[]client.Object{stateOf(g, "3", func(c *corev1.ConfigMap) { c.Labels = nil })}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := readerOf(t, c.there...)
			got, err := r.read(t.Context(), r.client, g, []string{"state"})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("read (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAnOldCacheStopsNoPod shows that a StatefulSet is written by what the API server has of what the plan reads.
func TestAnOldCacheStopsNoPod(t *testing.T) {
	for name, c := range map[string]struct {
		reads      []string
		old, now   string
		live, want int32
	}{
		"a pod that holds something since":   {[]string{"state"}, "1", "3", 3, 3},
		"a pod that was emptied since":       {[]string{"state"}, "3", "1", 3, 1},
		"a pod that was emptied":             {[]string{"state"}, "1", "1", 3, 1},
		"what was read is there no more":     {[]string{"state"}, "2", "", 3, 0},
		"one that reads nothing is believed": {nil, "1", "3", 3, 1},
	} {
		t.Run(name, func(t *testing.T) {
			g := makeGateway("rooms").obj()
			g.UID = "mine"
			living := pods(g.Namespace, c.live)
			there := []client.Object{living}
			if c.now != "" {
				there = append(there, stateOf(g, c.now))
			}
			r := readerOf(t, there...)
			s := found(func(s *scope) { s.obj = g })
			s.needs.Reads = c.reads
			s.inputs = Inputs{Class: s.inputs.Class, Read: map[string]map[string]string{"state": {"n": c.old}}}
			s.now = metav1.NewTime(time.Unix(1, 0))
			plan, err := compose(r.kind, g, s.inputs)
			if err != nil {
				t.Fatal(err)
			}
			var live appsv1.StatefulSet
			if err := r.live.Get(t.Context(), client.ObjectKeyFromObject(living), &live); err != nil {
				t.Fatal(err)
			}
			live.OwnerReferences = controlledBy(g.UID)
			if _, err := r.applyChild(t.Context(), s, plan.Children[0], &live); err != nil {
				t.Fatal(err)
			}
			if err := r.live.Get(t.Context(), client.ObjectKeyFromObject(living), &live); err != nil {
				t.Fatal(err)
			}
			if got := *live.Spec.Replicas; got != c.want {
				t.Errorf("%d pods, want %d", got, c.want)
			}
		})
	}
}

func controlledBy(uid types.UID) []metav1.OwnerReference {
	return []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "RealtimeGateway", Name: "rooms", UID: uid, Controller: ptr.To(true)}}
}
