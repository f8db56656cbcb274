package pattern

import (
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"pgregory.net/rapid"
)

// value makes JSON as an applied object may hold it: no nulls, no empty lists, items of a list
// either all with names of their own or none.
func value(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		kinds := 3
		if depth == 0 {
			kinds = 1
		}
		switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
		case 1:
			return object(depth-1).Draw(t, "map")
		case 2:
			return items(depth-1).Draw(t, "list")
		default:
			return rapid.OneOf(
				rapid.Just[any]("text"), rapid.Just[any]("other"), rapid.Just[any](int64(3)), rapid.Just[any](true), rapid.Just[any](false),
			).Draw(t, "leaf")
		}
	})
}

func object(depth int) *rapid.Generator[map[string]any] {
	return rapid.Custom(func(t *rapid.T) map[string]any {
		out := map[string]any{}
		for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 1, 3, rapid.ID).Draw(t, "keys") {
			out[key] = value(depth).Draw(t, key)
		}
		return out
	})
}

func items(depth int) *rapid.Generator[[]any] {
	return rapid.Custom(func(t *rapid.T) []any {
		key := rapid.SampledFrom([]string{"", "name", "uid", "mountPath"}).Draw(t, "key")
		var out []any
		for i := range rapid.IntRange(1, 3).Draw(t, "items") {
			if key == "" {
				out = append(out, value(depth).Draw(t, "item"))
				continue
			}
			item := object(depth).Draw(t, "item")
			item[key] = fmt.Sprintf("item%d", i)
			out = append(out, item)
		}
		return out
	})
}

// leaf is a place in a value that holds no other.
type leaf struct {
	set    func(any)
	remove func()
}

// leaves of a value, in itself.
func leaves(v any) []leaf {
	var out []leaf
	switch v := v.(type) {
	case map[string]any:
		for key, nested := range v {
			if more := leaves(nested); len(more) > 0 {
				out = append(out, more...)
				continue
			}
			out = append(out, leaf{func(x any) { v[key] = x }, func() { delete(v, key) }})
		}
	case []any:
		for i, nested := range v {
			if more := leaves(nested); len(more) > 0 {
				out = append(out, more...)
				continue
			}
			out = append(out, leaf{func(x any) { v[i] = x }, func() { v[i] = nil }})
		}
	}
	return out
}

// extend adds to maps, and to lists of named items, in front: what others may do without harm.
func extend(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, nested := range v {
			v[key] = extend(nested)
		}
		v["added"] = "by others"
		return v
	case []any:
		named := true
		for i, nested := range v {
			named = named && itemName(nested) != ""
			v[i] = extend(nested)
		}
		if named {
			return append([]any{map[string]any{"name": "added by others"}}, v...)
		}
		return v
	default:
		return v
	}
}

func TestCoversItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := object(3).Draw(t, "want")
		if !covers(runtime.DeepCopyJSON(want), want) {
			t.Fatal("a value does not cover itself")
		}
	})
}

func TestCoversNotWithoutALeaf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := object(3).Draw(t, "want")
		have := runtime.DeepCopyJSON(want)
		rapid.SampledFrom(leaves(have)).Draw(t, "leaf").remove()
		if covers(have, want) {
			t.Fatalf("%v covers", have)
		}
	})
}

func TestCoversNotWithAnotherLeaf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := object(3).Draw(t, "want")
		have := runtime.DeepCopyJSON(want)
		rapid.SampledFrom(leaves(have)).Draw(t, "leaf").set("changed by others")
		if covers(have, want) {
			t.Fatalf("%v covers", have)
		}
	})
}

func TestCoversWithMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := object(3).Draw(t, "want")
		have := extend(runtime.DeepCopyJSON(want))
		if !covers(have, want) {
			t.Fatalf("%v does not cover", have)
		}
	})
}

func TestCovers(t *testing.T) {
	type m = map[string]any
	tests := []struct {
		name       string
		have, want any
		covered    bool
	}{
		{"an empty map that the API server drops", m{}, m{"securityContext": m{}}, true},
		{"an empty map where there is something else", m{"a": "x"}, m{"a": m{}}, false},
		{"named items in another order", []any{m{"name": "b", "v": "2"}, m{"name": "a", "v": "1"}}, []any{m{"name": "a", "v": "1"}, m{"name": "b", "v": "2"}}, true},
		{"a named item too few", []any{m{"name": "b"}}, []any{m{"name": "a"}, m{"name": "b"}}, false},
		{"other items in another order", []any{"b", "a"}, []any{"a", "b"}, false},
		{"another item too many", []any{"a", "b"}, []any{"a"}, false},
		{"another item too few", []any{"a"}, []any{"a", "b"}, false},
		{"two items of one name, by place", []any{m{"name": "a", "v": "1"}, m{"name": "a", "v": "2"}}, []any{m{"name": "a", "v": "1"}, m{"name": "a", "v": "2"}}, true},
		{"two items of one name, turned round", []any{m{"name": "a", "v": "2"}, m{"name": "a", "v": "1"}}, []any{m{"name": "a", "v": "1"}, m{"name": "a", "v": "2"}}, false},
		{"a list where there is none", m{}, m{"a": []any{"x"}}, false},
		{"a number of another size", m{"a": int64(1)}, m{"a": int64(2)}, false},
		{"a text that looks like a number", m{"a": "1"}, m{"a": int64(1)}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := covers(tt.have, tt.want); got != tt.covered {
				t.Errorf("covers is %t", got)
			}
		})
	}
}

// planned is what desired makes of an object.
func planned(t *testing.T, obj runtime.Object) *unstructured.Unstructured {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: content}
	strip(u)
	if err := markApplied(u); err != nil {
		t.Fatal(err)
	}
	return u
}

func configMap(data map[string]string) *corev1.ConfigMap {
	cm := &corev1.ConfigMap{Data: data}
	cm.Kind, cm.APIVersion, cm.Name = "ConfigMap", "v1", "rooms"
	return cm
}

func TestUnchanged(t *testing.T) {
	tests := []struct {
		name   string
		mutate func(*corev1.ConfigMap)
		same   bool
	}{
		{"as it was applied", func(*corev1.ConfigMap) {}, true},
		{"with what the API server adds", func(cm *corev1.ConfigMap) {
			cm.TypeMeta.Kind, cm.TypeMeta.APIVersion = "", ""
			cm.UID, cm.ResourceVersion, cm.CreationTimestamp = "u", "7", at(0)
		}, true},
		{"with labels of others", func(cm *corev1.ConfigMap) { cm.Labels = map[string]string{"a": "b"} }, true},
		{"with more data", func(cm *corev1.ConfigMap) { cm.Data["more"] = "x" }, true},
		{"with other data", func(cm *corev1.ConfigMap) { cm.Data["file"] = "x" }, false},
		{"without data", func(cm *corev1.ConfigMap) { cm.Data = nil }, false},
		{"applied from another plan", func(cm *corev1.ConfigMap) { cm.Annotations[annotationApplied] = "other" }, false},
		{"never applied", func(cm *corev1.ConfigMap) { cm.Annotations = nil }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			desired := planned(t, configMap(map[string]string{"file": "a"}))
			live := configMap(map[string]string{"file": "a"})
			live.Annotations = desired.GetAnnotations()
			tt.mutate(live)
			same, err := unchanged(desired, live)
			if err != nil || same != tt.same {
				t.Errorf("unchanged is %t, error %v", same, err)
			}
		})
	}
}

func TestMarkApplied(t *testing.T) {
	mark := func(mutate func(*corev1.ConfigMap)) string {
		cm := configMap(map[string]string{"file": "a"})
		mutate(cm)
		return planned(t, cm).GetAnnotations()[annotationApplied]
	}
	first := mark(func(*corev1.ConfigMap) {})
	if again := mark(func(cm *corev1.ConfigMap) { cm.ResourceVersion = "7" }); again != first {
		t.Error("the precondition of a write changes the mark")
	}
	if other := mark(func(cm *corev1.ConfigMap) { cm.Data["file"] = "b" }); other == first {
		t.Error("other data have the same mark")
	}
}

func TestStrip(t *testing.T) {
	sts := &appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{}}}}
	sts.Status.Replicas = 3
	u := planned(t, sts)
	for _, path := range [][]string{{"status"}, {"metadata", "creationTimestamp"}, {"spec", "template", "metadata", "creationTimestamp"}} {
		if _, found, _ := unstructured.NestedFieldNoCopy(u.Object, path...); found {
			t.Errorf("%v is sent", path)
		}
	}
	claims, _, err := unstructured.NestedSlice(u.Object, "spec", "volumeClaimTemplates")
	if err != nil {
		t.Fatal(err)
	}
	if _, found := claims[0].(map[string]any)["status"]; found {
		t.Error("the status of a claim template is sent")
	}
}
