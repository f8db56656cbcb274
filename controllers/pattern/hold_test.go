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
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// sameInputs is the mark that the objects of testdata/live bear.
const sameInputs = "1/c/1/"

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
	const manual, automatic = v1alpha1.UpdateManual, v1alpha1.UpdateAutomatic
	tests := []struct {
		name, mark string
		policy     v1alpha1.UpdatePolicy
		// samePlan is true when the living object was made from this very plan.
		samePlan, held bool
	}{
		{"only the operator changed", sameInputs, manual, false, true},
		{"only the operator changed, and the class says nothing", sameInputs, "", false, true},
		{"only the operator changed, and the class lets it", sameInputs, automatic, false, false},
		{"the spec changed", "2/c/1/", manual, false, false},
		{"the class changed", "1/c/2/", manual, false, false},
		{"another class", "1/d/1/", manual, false, false},
		{"the user approved", "1/c/1/now", manual, false, false},
		{"nothing changed", sameInputs, manual, true, false},
	}
	for _, c := range holdCases {
		for _, tt := range tests {
			t.Run(c.name+": "+tt.name, func(t *testing.T) {
				u := applied(t, c.name)
				c.change(t, u)
				planned := field(t, u, c.path...)
				mark, err := hash(planned)
				if err != nil {
					t.Fatal(err)
				}
				alive := live(t, c.name, c.child.DeepCopyObject().(client.Object))
				if tt.samePlan {
					setAnnotation(alive, annotationPlanned, mark)
				}
				held, err := hold(u, c.child, alive, tt.mark, tt.policy)
				if err != nil || held != tt.held {
					t.Fatalf("held is %t, error %v", held, err)
				}
				want, wantMark := planned, mark
				if tt.held {
					want, wantMark = field(t, applied(t, c.name), c.path...), "old-plan"
				}
				if diff := cmp.Diff(normalised(t, want), normalised(t, field(t, u, c.path...))); diff != "" {
					t.Errorf("%v (-want +got):\n%s", c.path, diff)
				}
				marks := map[string]string{annotationInputs: tt.mark, annotationPlanned: wantMark}
				if diff := cmp.Diff(marks, u.GetAnnotations()); diff != "" {
					t.Errorf("annotations (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestHoldLetsReplicasGo shows that a scale is no update.
func TestHoldLetsReplicasGo(t *testing.T) {
	u := applied(t, "deployment")
	setField(int64(5), "spec", "replicas")(t, u)
	setField(int64(99), "spec", "template", "spec", "terminationGracePeriodSeconds")(t, u)
	held, err := hold(u, &appsv1.Deployment{}, live(t, "deployment", &appsv1.Deployment{}), sameInputs, v1alpha1.UpdateManual)
	if err != nil || !held {
		t.Fatalf("held is %t, error %v", held, err)
	}
	if got := field(t, u, "spec", "replicas"); got != int64(5) {
		t.Errorf("replicas are %v, want 5", got)
	}
}

// TestHoldKeepsClaimTemplates shows that what a StatefulSet can not change is never asked of it.
func TestHoldKeepsClaimTemplates(t *testing.T) {
	for _, mark := range []string{sameInputs, "2/c/1/"} {
		u := applied(t, "statefulset")
		templates := field(t, u, "spec", "volumeClaimTemplates").([]any)
		setField("9Gi", "spec", "resources", "requests", "storage")(t, &unstructured.Unstructured{Object: templates[0].(map[string]any)})
		setField(templates, "spec", "volumeClaimTemplates")(t, u)
		if _, err := hold(u, &appsv1.StatefulSet{}, live(t, "statefulset", &appsv1.StatefulSet{}), mark, v1alpha1.UpdateAutomatic); err != nil {
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
			held, err := hold(u, c.child, nil, sameInputs, v1alpha1.UpdateManual)
			if err != nil || held {
				t.Fatalf("held is %t, error %v", held, err)
			}
			if got := u.GetAnnotations(); got[annotationInputs] != sameInputs || got[annotationPlanned] == "" {
				t.Errorf("annotations are %v", got)
			}
		})
	}
}

func TestHoldOfOtherKinds(t *testing.T) {
	u := applied(t, "configmap")
	before := u.DeepCopy()
	held, err := hold(u, &corev1.Secret{}, &corev1.Secret{}, "2/c/1/", v1alpha1.UpdateManual)
	if err != nil || held {
		t.Fatalf("held is %t, error %v", held, err)
	}
	if diff := cmp.Diff(before.Object, u.Object); diff != "" {
		t.Errorf("a kind that runs nothing is changed:\n%s", diff)
	}
}

func TestInputsMark(t *testing.T) {
	mark := func(mutate func(*scope)) string {
		return inputsMark(found(mutate))
	}
	same := mark(func(*scope) {})
	if again := mark(func(s *scope) { s.obj.SetLabels(map[string]string{"a": "b"}) }); again != same {
		t.Errorf("a label makes %s of %s", again, same)
	}
	for name, mutate := range map[string]func(*scope){
		"a spec":              func(s *scope) { s.obj.SetGeneration(9) },
		"a class's spec":      func(s *scope) { s.inputs.Class.Generation = 9 },
		"another class":       func(s *scope) { s.inputs.Class.Name = "d" },
		"the user's approval": func(s *scope) { setAnnotation(s.obj, v1alpha1.AnnotationApproveUpdate, "now") },
	} {
		if mark(mutate) == same {
			t.Errorf("%s makes no difference", name)
		}
	}
}

// TestHoldOfTheSamePlanMakesNoWrite shows that what is sent a second time is what was sent the first.
func TestHoldOfTheSamePlanMakesNoWrite(t *testing.T) {
	for _, c := range holdCases {
		t.Run(c.name, func(t *testing.T) {
			sent := func(alive client.Object) any {
				u := applied(t, c.name)
				if _, err := hold(u, c.child, alive, sameInputs, v1alpha1.UpdateManual); err != nil {
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
