package pattern

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// older are the marks that the objects of testdata/live bear, which an older version wrote: they have no hashes.
func older(mutate ...func(*marks)) marks {
	m := marks{generation: 1, class: "c", classGeneration: 1, spec: "s1", ofClass: "c1"}
	for _, change := range mutate {
		change(&m)
	}
	return m
}

// applied is what Trellis applied to an object of testdata/live.
func applied(t *testing.T, name string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	unmarshal(t, name+".applied.yaml", &u.Object)
	return u
}

// live is the object as a real API server had it, after others wrote to it too;
// test/integration/api keeps it true.
func live[T client.Object](t *testing.T, name string, into T) T {
	t.Helper()
	unmarshal(t, name+".live.json", into)
	return into
}

func unmarshal(t *testing.T, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "live", file))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

func field(t *testing.T, u *unstructured.Unstructured, path ...string) any {
	t.Helper()
	value, _, err := unstructured.NestedFieldCopy(u.Object, path...)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// normalised is JSON's own view of a value, where all numbers are of one type.
func normalised(t *testing.T, value any) any {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// holdCase is an object of testdata/live and what a new plan says of it.
type holdCase struct {
	name  string
	child client.Object
	path  []string
	// change makes the new plan of what was applied.
	change func(*testing.T, *unstructured.Unstructured)
}

func setField(value any, path ...string) func(*testing.T, *unstructured.Unstructured) {
	return func(t *testing.T, u *unstructured.Unstructured) {
		t.Helper()
		if err := unstructured.SetNestedField(u.Object, value, path...); err != nil {
			t.Fatal(err)
		}
	}
}

var holdCases = []holdCase{
	{"deployment", &appsv1.Deployment{}, []string{"spec", "template"},
		setField(int64(99), "spec", "template", "spec", "terminationGracePeriodSeconds")},
	{"statefulset", &appsv1.StatefulSet{}, []string{"spec", "template"},
		setField(int64(99), "spec", "template", "spec", "terminationGracePeriodSeconds")},
	{"configmap", &corev1.ConfigMap{}, []string{"data"}, setField("new", "data", "config.json")},
}

func TestHold(t *testing.T) {
	const automatic = v1alpha1.UpdateAutomatic
	tests := []struct {
		name   string
		now    marks
		policy v1alpha1.UpdatePolicy
		// recorded has the living object bear the hashes of older() too.
		recorded bool
		// queued is true while it is another's turn.
		queued bool
		// planned of the living object: of this very plan, or what waits is.
		samePlan, sameOffer bool
		want                decision
	}{
		{name: "only the operator changed", now: older(), want: waitsForApproval},
		{name: "only the operator changed, and the class lets it", now: older(), policy: automatic, want: goes},
		{name: "only the operator changed, and now the spec is read with more defaults", recorded: true,
			now: older(func(m *marks) { m.spec = "s2" }), want: waitsForApproval},
		{name: "the spec changed, an older version's marks", now: older(func(m *marks) { m.generation = 2 }), want: goes},
		{name: "the spec changed", recorded: true, now: older(func(m *marks) { m.generation, m.spec = 2, "s2" }), want: goes},
		{name: "replicas changed", recorded: true, now: older(func(m *marks) { m.generation = 2 }), want: waitsForApproval},
		{name: "what does not shape these pods changed", recorded: true, sameOffer: true,
			now: older(func(m *marks) { m.generation, m.spec = 2, "s2" }), want: waitsForApproval},
		{name: "the class changed", recorded: true, now: older(func(m *marks) { m.classGeneration, m.ofClass = 2, "c2" }), want: goes},
		{name: "the class changed and it is another's turn", recorded: true, queued: true,
			now: older(func(m *marks) { m.classGeneration, m.ofClass = 2, "c2" }), want: waitsForTurn},
		{name: "the class changed, which also lets updates go, and it is another's turn", recorded: true, queued: true, policy: automatic,
			now: older(func(m *marks) { m.classGeneration, m.ofClass = 2, "c2" }), want: waitsForTurn},
		{name: "the class's limits changed", recorded: true, queued: true, now: older(func(m *marks) { m.classGeneration = 2 }), want: waitsForApproval},
		{name: "another class", recorded: true, now: older(func(m *marks) { m.class = "d" }), want: goes},
		{name: "the user approved", recorded: true, now: older(func(m *marks) { m.approval = "now" }), want: goes},
		{name: "the user approved what waits", recorded: true, sameOffer: true, now: older(func(m *marks) { m.approval = "now" }), want: goes},
		{name: "the spec and the class changed and it is another's turn", recorded: true, queued: true,
			now: older(func(m *marks) { m.generation, m.spec, m.classGeneration, m.ofClass = 2, "s2", 2, "c2" }), want: goes},
		{name: "nothing changed", recorded: true, samePlan: true, now: older(), want: goes},
		{name: "the class changed and not these pods", recorded: true, samePlan: true, queued: true,
			now: older(func(m *marks) { m.classGeneration, m.ofClass = 2, "c2" }), want: goes},
	}
	for _, c := range holdCases {
		for _, tt := range tests {
			t.Run(c.name+": "+tt.name, func(t *testing.T) {
				u := applied(t, c.name)
				c.change(t, u)
				planned := field(t, u, c.path...)
				sum, err := hash(planned)
				if err != nil {
					t.Fatal(err)
				}
				alive := live(t, c.name, c.child.DeepCopyObject().(client.Object))
				if tt.recorded {
					setAnnotation(alive, annotationShape, "s1/c1")
				}
				if tt.samePlan {
					setAnnotation(alive, annotationPlanned, sum)
				}
				if tt.sameOffer {
					setAnnotation(alive, annotationOffered, sum)
				}
				h := holding{marks: tt.now, policy: tt.policy, queued: tt.queued}
				held, err := h.hold(u, c.child, alive)
				if err != nil || held != (tt.want == waitsForApproval) {
					t.Fatalf("held is %t, error %v", held, err)
				}
				want := planned
				if tt.want != goes {
					want = field(t, applied(t, c.name), c.path...)
				}
				if diff := cmp.Diff(normalised(t, want), normalised(t, field(t, u, c.path...))); diff != "" {
					t.Errorf("%v (-want +got):\n%s", c.path, diff)
				}
				if diff := cmp.Diff(annotationsAfter(tt.want, tt.now, alive, sum), u.GetAnnotations()); diff != "" {
					t.Errorf("annotations (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// annotationsAfter a decision on a plan of the given hash.
func annotationsAfter(d decision, now marks, alive client.Object, planned string) map[string]string {
	bearer := &corev1.ConfigMap{}
	switch d {
	case waitsForTurn:
		copyAnnotations(bearer, alive, annotationInputs, annotationShape, annotationPlanned)
	case waitsForApproval:
		now.write(bearer)
		setAnnotation(bearer, annotationPlanned, "old-plan")
		setAnnotation(bearer, annotationOffered, planned)
	default:
		now.write(bearer)
		setAnnotation(bearer, annotationPlanned, planned)
	}
	return bearer.Annotations
}

// TestHoldWithoutARecordOfOwners shows that pods keep what they run after somebody removed managedFields.
func TestHoldWithoutARecordOfOwners(t *testing.T) {
	for _, c := range holdCases {
		t.Run(c.name, func(t *testing.T) {
			u := applied(t, c.name)
			c.change(t, u)
			alive := live(t, c.name, c.child.DeepCopyObject().(client.Object))
			alive.SetManagedFields(nil)
			held, err := holding{marks: older()}.hold(u, c.child, alive)
			if err != nil || !held {
				t.Fatalf("held is %t, error %v", held, err)
			}
			content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(alive)
			if err != nil {
				t.Fatal(err)
			}
			stripNulls(content)
			want := field(t, &unstructured.Unstructured{Object: content}, c.path...)
			if diff := cmp.Diff(normalised(t, want), normalised(t, field(t, u, c.path...))); diff != "" {
				t.Errorf("%v (-alive +sent):\n%s", c.path, diff)
			}
		})
	}
}

// TestHoldLetsReplicasGo shows that a scale is no update.
func TestHoldLetsReplicasGo(t *testing.T) {
	u := applied(t, "deployment")
	setField(int64(5), "spec", "replicas")(t, u)
	setField(int64(99), "spec", "template", "spec", "terminationGracePeriodSeconds")(t, u)
	held, err := holding{marks: older()}.hold(u, &appsv1.Deployment{}, live(t, "deployment", &appsv1.Deployment{}))
	if err != nil || !held {
		t.Fatalf("held is %t, error %v", held, err)
	}
	if got := field(t, u, "spec", "replicas"); got != int64(5) {
		t.Errorf("replicas are %v, want 5", got)
	}
}

// TestHoldKeepsClaimTemplates shows that what a StatefulSet can not change is never asked of it.
func TestHoldKeepsClaimTemplates(t *testing.T) {
	for _, now := range []marks{older(), older(func(m *marks) { m.generation = 2 })} {
		u := applied(t, "statefulset")
		templates := field(t, u, "spec", "volumeClaimTemplates").([]any)
		setField("9Gi", "spec", "resources", "requests", "storage")(t, &unstructured.Unstructured{Object: templates[0].(map[string]any)})
		setField(templates, "spec", "volumeClaimTemplates")(t, u)
		if _, err := (holding{marks: now, policy: v1alpha1.UpdateAutomatic}).hold(u, &appsv1.StatefulSet{}, live(t, "statefulset", &appsv1.StatefulSet{})); err != nil {
			t.Fatal(err)
		}
		want := field(t, applied(t, "statefulset"), "spec", "volumeClaimTemplates")
		if diff := cmp.Diff(normalised(t, want), normalised(t, field(t, u, "spec", "volumeClaimTemplates"))); diff != "" {
			t.Errorf("claim templates (-want +got):\n%s", diff)
		}
	}
}

func TestHoldOfWhatIsNotThereYet(t *testing.T) {
	for _, c := range holdCases {
		t.Run(c.name, func(t *testing.T) {
			u := applied(t, c.name)
			u.SetAnnotations(nil)
			held, err := holding{marks: older()}.hold(u, c.child, nil)
			if err != nil || held {
				t.Fatalf("held is %t, error %v", held, err)
			}
			if got := u.GetAnnotations(); got[annotationInputs] != "1/c/1/" || got[annotationShape] != "s1/c1" || got[annotationPlanned] == "" {
				t.Errorf("annotations are %v", got)
			}
		})
	}
}

func TestHoldOfOtherKinds(t *testing.T) {
	u := applied(t, "configmap")
	before := u.DeepCopy()
	held, err := holding{marks: older()}.hold(u, &corev1.Secret{}, &corev1.Secret{})
	if err != nil || held {
		t.Fatalf("held is %t, error %v", held, err)
	}
	if diff := cmp.Diff(before.Object, u.Object); diff != "" {
		t.Errorf("a kind that runs nothing is changed:\n%s", diff)
	}
}

// TestHoldOfTheSamePlanMakesNoWrite shows that what is sent a second time is what was sent the first.
func TestHoldOfTheSamePlanMakesNoWrite(t *testing.T) {
	for _, c := range holdCases {
		t.Run(c.name, func(t *testing.T) {
			sent := func(alive client.Object) any {
				u := applied(t, c.name)
				if _, err := (holding{marks: older()}).hold(u, c.child, alive); err != nil {
					t.Fatal(err)
				}
				return normalised(t, u.Object)
			}
			first := sent(nil)
			alive := live(t, c.name, c.child.DeepCopyObject().(client.Object))
			mark, err := hash(field(t, applied(t, c.name), c.path...))
			if err != nil {
				t.Fatal(err)
			}
			setAnnotation(alive, annotationPlanned, mark)
			if diff := cmp.Diff(first, sent(alive)); diff != "" {
				t.Errorf("sent (-first +second):\n%s", diff)
			}
		})
	}
}
