//go:build integration

package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// TestFieldsFollowTheConventions holds every field to design/architecture.md, "Conventions of the API".
func TestFieldsFollowTheConventions(t *testing.T) {
	eachField(t, func(f field) {
		for _, problem := range f.problems() {
			t.Errorf("%s %s %s", f.kind, f.path, problem)
		}
	})
}

func (f field) problems() []string {
	var out []string
	need := func(ok bool, format string, args ...any) {
		if !ok {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	s := f.schema
	if f.name != "" {
		need(strings.HasPrefix(s.Description, f.name+" "), "has a description that does not begin with its name: %q", s.Description)
	}
	switch s.Type {
	case "array":
		need(s.MaxItems != nil, "is a list without maxItems")
		need(s.XListType != nil, "is a list without a list type")
	case "string":
		need(s.MaxLength != nil || len(s.Enum) > 0 || s.Format != "", "is a string without maxLength, enum or format")
	case "object":
		need(s.AdditionalProperties == nil || s.MaxProperties != nil || slices.Contains(foreign, f.name), "is a map without maxProperties")
	case "integer":
		need(s.Minimum != nil || len(s.XValidations) > 0, "is an integer without a minimum")
		need(s.Maximum != nil || len(s.XValidations) > 0 || strings.HasPrefix(f.path, "status"), "is an integer without a maximum")
	case "number":
		need(false, "is a floating-point number")
	}
	if f.name != "" && strings.HasPrefix(f.path, "spec.") {
		for _, words := range stated(s) {
			need(strings.Contains(s.Description, words), "does not state %q in its description: %q", words, s.Description)
		}
	}
	return out
}

// stated are the bounds and the default that a description has to tell.
func stated(s *apiextensionsv1.JSONSchemaProps) []string {
	var out []string
	if s.Minimum != nil && s.Maximum != nil {
		out = append(out, fmt.Sprintf("%d to %d", int64(*s.Minimum), int64(*s.Maximum)))
	}
	// Of a value that a list of values or a rule bounds already, the length is of no use to a reader.
	bounded := len(s.Enum) > 0 || (s.Items != nil && len(s.Items.Schema.Enum) > 0) || (s.Pattern != "" && len(s.XValidations) > 0)
	for _, most := range []*int64{s.MaxItems, s.MaxProperties, s.MaxLength} {
		if most != nil && !bounded {
			out = append(out, fmt.Sprint(*most))
		}
	}
	if s.Default == nil {
		return out
	}
	var value any
	if err := json.Unmarshal(s.Default.Raw, &value); err != nil {
		return append(out, err.Error())
	}
	switch v := value.(type) {
	case map[string]any:
		return out
	case []any:
		first := v[0]
		if item, ok := first.(map[string]any); ok {
			first = item["name"]
		}
		return append(out, "Default: "+fmt.Sprint(first))
	default:
		return append(out, "Default: "+fmt.Sprint(v))
	}
}

// TestKindsFollowTheConventions holds every kind to the same page.
func TestKindsFollowTheConventions(t *testing.T) {
	type kind struct {
		Short, Categories, Columns []string
		Status, Scale              bool
	}
	want := map[string]kind{
		"PatternClass": {Short: []string{"pclass"}, Categories: []string{"trellis"},
			Columns: []string{"Default", "Plane", "Engines", "Deletion", "Age"}},
		"Engine": {Short: []string{"eng"}, Categories: []string{"trellis"}, Status: true,
			Columns: []string{"Ready", "Reason", "Type", "Version", "Age"}},
		"RealtimeGateway": {Short: []string{"rtg"}, Categories: []string{"patterns", "trellis"}, Status: true, Scale: true,
			Columns: []string{"Ready", "Reason", "Engine", "URL", "Age"}},
		"SinkGrant": {Short: []string{"sgrant"}, Categories: []string{"trellis"}, Columns: []string{"From", "To", "Age"}},
		"JobQueue": {Short: []string{"jq"}, Categories: []string{"patterns", "trellis"}, Status: true, Scale: true,
			Columns: []string{"Ready", "Reason", "Engine", "Workers", "URL", "Age"}},
		"BlobBucket": {Short: []string{"blob"}, Categories: []string{"patterns", "trellis"}, Status: true, Scale: true,
			Columns: []string{"Ready", "Reason", "Engine", "Bucket", "URL", "Age"}},
		"ShardSet": {Short: []string{"shs"}, Categories: []string{"patterns", "trellis"}, Status: true, Scale: true,
			Columns: []string{"Ready", "Reason", "Shards", "Moving", "URL", "Age"}},
	}
	got := map[string]kind{}
	for _, crd := range definitions(t) {
		version := crd.Spec.Versions[0]
		k := kind{Short: crd.Spec.Names.ShortNames, Categories: crd.Spec.Names.Categories}
		for _, c := range version.AdditionalPrinterColumns {
			k.Columns = append(k.Columns, c.Name)
		}
		if version.Subresources != nil {
			k.Status, k.Scale = version.Subresources.Status != nil, version.Subresources.Scale != nil
		}
		got[crd.Spec.Names.Kind] = k
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
}
