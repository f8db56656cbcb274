//go:build integration

package api

import (
	"slices"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/trellis-dev/trellis/config/crd"
)

// definitions reads the CRDs.
func definitions(t *testing.T) []apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	out, err := crd.Definitions()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// field is one place in a schema.
type field struct {
	kind string
	// path as errors show it, with [*] for the items of a list and .* for the values of a map.
	path string
	// name of the property; empty for items and values.
	name   string
	schema *apiextensionsv1.JSONSchemaProps
}

// foreign are properties whose insides come from other APIs, and so have the words and bounds of those.
var foreign = []string{"metadata", "resources", "affinity", "tolerations", "conditions"}

// eachField visits every place in the schema of every kind but those of other APIs.
func eachField(t *testing.T, visit func(field)) {
	t.Helper()
	for _, def := range definitions(t) {
		walk(field{kind: def.Spec.Names.Kind, schema: def.Spec.Versions[0].Schema.OpenAPIV3Schema}, visit)
	}
}

func walk(f field, visit func(field)) {
	visit(f)
	if slices.Contains(foreign, f.name) {
		return
	}
	for name := range f.schema.Properties {
		if f.path == "" && slices.Contains([]string{"apiVersion", "kind", "metadata"}, name) {
			continue
		}
		schema := f.schema.Properties[name]
		walk(field{kind: f.kind, path: join(f.path, name), name: name, schema: &schema}, visit)
	}
	if f.schema.Items != nil {
		walk(field{kind: f.kind, path: f.path + "[*]", schema: f.schema.Items.Schema}, visit)
	}
	if f.schema.AdditionalProperties != nil {
		walk(field{kind: f.kind, path: f.path + ".*", schema: f.schema.AdditionalProperties.Schema}, visit)
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
