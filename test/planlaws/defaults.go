package planlaws

import (
	"fmt"
	"io/fs"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/trellis-dev/trellis/config/crd"
)

// schemas of the CRDs by kind.
var schemas = sync.OnceValues(func() (map[string]*schema.Structural, error) {
	files, err := fs.Glob(crd.Files, "bases/*.yaml")
	if err != nil {
		return nil, err
	}
	out := map[string]*schema.Structural{}
	for _, file := range files {
		data, err := crd.Files.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var def apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(data, &def); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		props := &apiextensions.JSONSchemaProps{}
		if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(
			def.Spec.Versions[0].Schema.OpenAPIV3Schema, props, nil); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		if out[def.Spec.Names.Kind], err = schema.NewStructural(props); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
	}
	return out, nil
})

// setDefaults fills in what the API server would.
func setDefaults(obj *unstructured.Unstructured) error {
	all, err := schemas()
	if err != nil {
		return err
	}
	obj.SetNamespace(namespace)
	if s, ok := all[obj.GetKind()]; ok {
		defaulting.Default(obj.Object, s)
	}
	return nil
}
