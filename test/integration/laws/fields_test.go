//go:build integration

package laws

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// andBack: a spec that was changed and changed back leaves what it would have made in the first place.
// A change that the API server refuses, as the field can not be changed or in one direction only, is none.
func (s subject) andBack(t testing.TB, v variant) error {
	want, err := s.undisturbed(t, v.example)
	if err != nil {
		return err
	}
	ns := v.example.namespace(t)
	op := s.start(t, ns)
	defer op.Stop()
	if err := v.example.apply(ns); err != nil {
		return err
	}
	if err := reach(op, ns, func() error { return compareAdopted(ns, want.state) }); err != nil {
		return err
	}
	if err := v.set(ns, v.to); apierrors.IsInvalid(err) {
		t.Logf("refused: %v", err)
		return nil
	} else if err != nil {
		return err
	}
	if err := until(op, ns, func() error { return v.said(ns) }); err != nil {
		return fmt.Errorf("changed: %w", err)
	}
	if err := v.set(ns, v.from); apierrors.IsInvalid(err) {
		t.Logf("there is no way back: %v", err)
		return op.guard.verdict()
	} else if err != nil {
		return err
	}
	if err := reach(op, ns, func() error { return compareBack(ns, want.state) }); err != nil {
		return fmt.Errorf("changed back: %w", err)
	}
	return op.guard.verdict()
}

// set gives the object a spec.
func (v variant) set(ns string, spec map[string]any) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		obj := v.target.DeepCopy()
		if err := framework.Admin.Get(ctx, client.ObjectKey{Namespace: ns, Name: obj.GetName()}, obj); err != nil {
			return err
		}
		if err := unstructured.SetNestedMap(obj.Object, spec, "spec"); err != nil {
			return err
		}
		return framework.Admin.Update(ctx, obj)
	})
}

// said wants the object to serve in its present generation, or to say what keeps it from that.
func (v variant) said(ns string) error {
	patterns, err := framework.Patterns(ctx, ns)
	if err != nil {
		return err
	}
	for _, p := range patterns {
		if nameOf(p) != v.target.GetKind()+"/"+v.target.GetName() {
			continue
		}
		if status := p.GetPatternStatus(); status.ObservedGeneration != p.GetGeneration() {
			return errors.New("the change has not been looked at")
		}
		for _, c := range p.GetPatternStatus().Conditions {
			named := c.Reason != "" && c.Reason != v1alpha1.ReasonProgressing && c.Message != ""
			if c.Type == v1alpha1.ConditionReady && (c.Status == metav1.ConditionTrue || named) {
				return nil
			}
		}
		return errors.New("no condition says why the object does not serve")
	}
	return errors.New("the object is gone")
}

// compareBack compares with a fresh run, without what a change of a spec leaves for good.
func compareBack(ns string, want state) error {
	got, err := snapshot(ns)
	if err != nil {
		return err
	}
	return differ(want.plain(), got.without(left(want, got)).plain())
}

// left are the objects that a change of a spec and back may leave, as to drop them would be to drop data
// that nobody asked to drop: what was kept and labelled, and the shared Engine of another class or type
// with all that is its own.
func left(want, got state) map[string]bool {
	out, engines := map[string]bool{}, map[string]bool{}
	for name, content := range got {
		obj := unstructured.Unstructured{Object: content.(map[string]any)}
		if _, wanted := want[name]; wanted {
			continue
		}
		shared := strings.HasPrefix(name, "Engine/") && obj.GetLabels()[v1alpha1.LabelManagedBy] == v1alpha1.ManagedBy && len(obj.GetOwnerReferences()) == 0
		out[name] = shared || obj.GetLabels()[v1alpha1.LabelRetained] == "true"
		engines[obj.GetName()] = engines[obj.GetName()] || (out[name] && strings.HasPrefix(name, "Engine/"))
	}
	for name, content := range got {
		labels := (&unstructured.Unstructured{Object: content.(map[string]any)}).GetLabels()
		if labels[v1alpha1.LabelKind] == "Engine" && engines[labels[v1alpha1.LabelName]] {
			out[name] = true
		}
	}
	return out
}

func (s state) without(names map[string]bool) state {
	out := state{}
	for name, content := range s {
		if !names[name] {
			out[name] = content
		}
	}
	return out
}

// wrong are values that a schema does not accept.
func wrong(s apiextensionsv1.JSONSchemaProps) []any {
	switch {
	case len(s.Enum) > 0:
		return []any{"NoSuchValue"}
	case s.Type == "boolean":
		return []any{"yes"}
	case s.Type == "integer":
		out := []any{"many"}
		if s.Minimum != nil {
			out = append(out, int64(*s.Minimum)-1)
		}
		if s.Maximum != nil {
			out = append(out, int64(*s.Maximum)+1)
		}
		return out
	case s.Type == "string":
		out := []any{int64(1)}
		if s.MaxLength != nil {
			out = append(out, strings.Repeat("x", int(*s.MaxLength)+1))
		}
		return out
	case s.Type == "array":
		return []any{"no list"}
	case s.Type == "object":
		return []any{"no object"}
	default:
		return []any{true}
	}
}

func TestEveryFieldThereAndBack(t *testing.T) {
	list, most := examples(t), 1
	if all() {
		most = 3
	}
	var drawn, none int
	for i, p := range places(t) {
		found := variants(p, list, most)
		if len(found) == 0 {
			none++
			t.Logf("%s: the API server accepts no other value", p)
		}
		for n, v := range found {
			drawn++
			if !all() && i%fieldsSampled != 0 {
				continue
			}
			check(t, fmt.Sprintf("%s,%d", p, n), func(t *testing.T) error { return trellis.andBack(t, v) })
		}
	}
	t.Logf("%d changes of fields; %d fields have but one value", drawn, none)
}

// fieldsSampled: each of so many fields is changed in a quick run.
const fieldsSampled = 3

func TestWrongValuesAreRefused(t *testing.T) {
	list := examples(t)
	for _, p := range places(t) {
		for _, e := range list {
			for _, obj := range e.patterns("default") {
				if obj.GetKind() != p.kind {
					continue
				}
				for _, value := range wrong(p.schema) {
					changed := obj.DeepCopy()
					if unstructured.SetNestedField(changed.Object, value, p.path...) != nil {
						continue
					}
					_, err := completed(changed)
					if !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) {
						t.Errorf("%s of %s: %.40v is not refused: %v", p, e.name, value, err)
					}
				}
			}
		}
	}
}
