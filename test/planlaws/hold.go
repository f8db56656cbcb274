package planlaws

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
)

var update = flag.Bool("update", false, "write testdata/golden anew")

// Hold plans every object of a kind in examples/valid and testdata/cases, holds each plan to the
// laws, and compares it with its golden file. T is the struct of the kind, P its pointer.
func Hold[T any, P interface {
	*T
	v1alpha1.Pattern
}](t *testing.T, d pattern.Definition[P]) {
	t.Helper()
	HoldAmong[T](t, d, nil)
}

// HoldAmong is Hold for a kind whose sinks name others.
func HoldAmong[T any, P interface {
	*T
	v1alpha1.Pattern
}](t *testing.T, d pattern.Definition[P], kinds *pattern.Registration) {
	t.Helper()
	files, err := readFiles(filepath.Join("..", "..", "examples", "valid"), filepath.Join("testdata", "cases"))
	if err != nil {
		t.Fatal(err)
	}
	golden := map[string]bool{}
	for _, f := range files {
		objects, err := of[T](f, d.Kind)
		if err != nil {
			t.Fatal(err)
		}
		if len(objects) == 0 {
			continue
		}
		golden[f.name+".yaml"] = true
		t.Run(f.name, func(t *testing.T) {
			var plans []string
			for _, obj := range objects {
				p, err := preview(P(obj), f, files)
				if err != nil {
					t.Fatal(err)
				}
				p.Kinds = kinds
				plan := purePlan(t, d, P(obj), p)
				for _, problem := range Problems(d.Kind, P(obj).GetName(), plan, p.Source) {
					t.Errorf("%s: %s", P(obj).GetName(), problem)
				}
				plans = append(plans, Render(t, P(obj).GetName(), plan))
			}
			compare(t, f.name+".yaml", strings.Join(plans, "---\n"))
		})
	}
	if len(golden) == 0 {
		t.Fatalf("no %s in the examples", d.Kind)
	}
	noneLeft(t, golden)
}

// purePlan plans twice, and fails when the two differ or the inputs are changed.
func purePlan[P v1alpha1.Pattern](t *testing.T, d pattern.Definition[P], obj P, p pattern.Preview) pattern.Plan {
	t.Helper()
	before := []any{obj.DeepCopyObject(), p.Class.DeepCopy(), cloned(p.Source)}
	first, err := pattern.PlanOf(d, obj, p)
	if err != nil {
		t.Fatal(err)
	}
	second, err := pattern.PlanOf(d, obj, p)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("a second plan differs (-first +second):\n%s", diff)
	}
	if diff := cmp.Diff(before, []any{obj, p.Class, p.Source}); diff != "" {
		t.Errorf("planning changed its inputs (-before +after):\n%s", diff)
	}
	return first
}

func cloned(source map[string][]byte) map[string][]byte {
	if source == nil {
		return nil
	}
	out := map[string][]byte{}
	for k, v := range source {
		out[k] = append([]byte{}, v...)
	}
	return out
}

func compare(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run go test with -update and look at what it writes", err)
	}
	if diff := cmp.Diff(lines(string(want)), lines(got)); diff != "" {
		t.Errorf("the plan is not that of %s; if it is to be so, run go test with -update (-want +got):\n%s", path, diff)
	}
}

func lines(text string) []string { return strings.Split(text, "\n") }

// noneLeft fails for golden files of cases that are no more.
func noneLeft(t *testing.T, wanted map[string]bool) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join("testdata", "golden"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !wanted[e.Name()] {
			t.Errorf("testdata/golden/%s belongs to no case: remove it", e.Name())
		}
	}
}
