//go:build integration

package laws

import (
	"encoding/json"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/config/crd"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// place is a field of a kind's spec; what is inside of lists and maps is no place of its own.
type place struct {
	kind   string
	path   []string
	schema apiextensionsv1.JSONSchemaProps
}

func (p place) String() string { return p.kind + "." + strings.Join(p.path, ".") }

// foreign are fields whose insides come from other APIs.
var foreign = []string{"resources", "affinity", "tolerations"}

// places are all fields of the specs of the registered kinds, by their names.
func places(t testing.TB) []place {
	t.Helper()
	defs, err := crd.Definitions()
	if err != nil {
		t.Fatal(err)
	}
	var out []place
	for _, def := range defs {
		if !slices.Contains(trellis.kinds().Names(), def.Spec.Names.Kind) {
			continue
		}
		spec := def.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
		out = append(out, inside(place{kind: def.Spec.Names.Kind, path: []string{"spec"}, schema: spec})...)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].String() < out[j].String() })
	return out
}

func inside(p place) []place {
	var out []place
	for name, schema := range p.schema.Properties {
		nested := place{kind: p.kind, path: append(slices.Clone(p.path), name), schema: schema}
		out = append(out, nested)
		if !slices.Contains(foreign, name) {
			out = append(out, inside(nested)...)
		}
	}
	return out
}

// texts are tried as the values of strings: whichever the schema accepts.
var texts = []string{
	"other", "https://other.example.com/x", "other.example.com", "15s", "10m", "2Gi", "docker.io/example/other:2", "26h",
}

// draws are values that a schema may accept; the API server is asked which it does.
func draws(s apiextensionsv1.JSONSchemaProps) []any {
	switch {
	case len(s.Enum) > 0:
		return enum(s)
	case s.XIntOrString:
		return []any{"2Gi", "3"}
	case s.Type == "boolean":
		return []any{true, false}
	case s.Type == "integer":
		low, high := int64(ptr.Deref(s.Minimum, 0)), int64(ptr.Deref(s.Maximum, 10))
		return []any{low, high, min(low+1, high), min(low+2, high)}
	case s.Type == "string":
		return anys(texts)
	case s.Type == "array":
		var out []any
		for _, item := range draws(*s.Items.Schema) {
			out = append(out, []any{item})
		}
		return out
	case s.AdditionalProperties != nil:
		return []any{map[string]any{"example.com/other": "other"}, map[string]any{"other": "1"}}
	default:
		return objects(s)
	}
}

func enum(s apiextensionsv1.JSONSchemaProps) []any {
	var out []any
	for _, raw := range s.Enum {
		var value any
		if json.Unmarshal(raw.Raw, &value) == nil {
			out = append(out, value)
		}
	}
	return out
}

func anys[T any](values []T) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out
}

// objects have the required fields, all with their i-th draw, and one more where none is required.
func objects(s apiextensionsv1.JSONSchemaProps) []any {
	var out []any
	for i := range texts {
		obj := map[string]any{}
		for _, name := range s.Required {
			if values := draws(s.Properties[name]); len(values) > 0 {
				obj[name] = values[i%len(values)]
			}
		}
		if len(obj) > 0 {
			out = append(out, obj)
		}
	}
	if len(s.Required) > 0 {
		return out
	}
	for name, schema := range s.Properties {
		for _, value := range draws(schema) {
			out = append(out, map[string]any{name: value})
		}
	}
	return out
}

// variant is an example whose object is to be changed from one spec to another.
type variant struct {
	example example
	target  *unstructured.Unstructured
	// from and to are specs as the API server completes them.
	from, to map[string]any
}

// variants draws, for a place, up to most changes that the API server accepts in a new object; the first
// example where there is one serves as the base.
func variants(p place, all []example, most int) []variant {
	var donors []*unstructured.Unstructured
	for _, e := range all {
		for _, obj := range e.patterns("default") {
			if obj.GetKind() == p.kind {
				donors = append(donors, obj)
			}
		}
	}
	for _, e := range all {
		for _, obj := range e.patterns("default") {
			if obj.GetKind() != p.kind {
				continue
			}
			if found := variantsOf(p, e, obj, donors, most); len(found) > 0 {
				return found
			}
		}
	}
	return nil
}

func variantsOf(p place, e example, base *unstructured.Unstructured, donors []*unstructured.Unstructured, most int) []variant {
	from, err := completed(base)
	if err != nil {
		return nil
	}
	old, _, _ := unstructured.NestedFieldNoCopy(from, p.path[1:]...)
	var out []variant
	for _, changed := range changes(p, base, donors) {
		to, err := completed(changed)
		if err != nil {
			continue
		}
		value, _, _ := unstructured.NestedFieldNoCopy(to, p.path[1:]...)
		seen := slices.ContainsFunc(out, func(v variant) bool { return reflect.DeepEqual(v.to, to) })
		if seen || reflect.DeepEqual(old, value) {
			continue
		}
		out = append(out, variant{example: e, target: base, from: from, to: to})
		if len(out) == most {
			break
		}
	}
	return out
}

// changes of an object at a place: to what other examples have there, to drawn values, and to nothing.
// Where what it is in is missing, that comes from another example.
func changes(p place, base *unstructured.Unstructured, donors []*unstructured.Unstructured) []*unstructured.Unstructured {
	var values []any
	for _, donor := range donors {
		if value, found, _ := unstructured.NestedFieldCopy(donor.Object, p.path...); found {
			values = append(values, value)
		}
	}
	values = append(values, draws(p.schema)...)
	var out []*unstructured.Unstructured
	for _, bed := range beds(p, base, donors) {
		for _, value := range values {
			changed := bed.DeepCopy()
			if unstructured.SetNestedField(changed.Object, value, p.path...) == nil {
				out = append(out, changed)
			}
		}
	}
	if _, found, _ := unstructured.NestedFieldNoCopy(base.Object, p.path...); found {
		changed := base.DeepCopy()
		unstructured.RemoveNestedField(changed.Object, p.path...)
		out = append(out, changed)
	}
	return out
}

// beds are the object, and the object with the missing parents of a place as other examples have them.
func beds(p place, base *unstructured.Unstructured, donors []*unstructured.Unstructured) []*unstructured.Unstructured {
	out := []*unstructured.Unstructured{base}
	for i := 2; i < len(p.path); i++ {
		if _, found, _ := unstructured.NestedFieldNoCopy(base.Object, p.path[:i]...); found {
			continue
		}
		for _, donor := range donors {
			parent, found, _ := unstructured.NestedFieldCopy(donor.Object, p.path[:i]...)
			bed := base.DeepCopy()
			if found && unstructured.SetNestedField(bed.Object, parent, p.path[:i]...) == nil {
				out = append(out, bed)
			}
		}
		break
	}
	return out
}

// completed is the spec that the API server would make of a new object, or its refusal.
func completed(obj *unstructured.Unstructured) (map[string]any, error) {
	obj = obj.DeepCopy()
	obj.SetNamespace("default")
	if err := framework.Admin.Create(ctx, obj, client.DryRunAll); err != nil {
		return nil, err
	}
	spec, _, err := unstructured.NestedMap(obj.Object, "spec")
	return spec, err
}
