package planlaws

import (
	"fmt"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/trellis-dev/trellis/config/crd"
)

// schemas of the CRDs by kind.
var schemas = sync.OnceValues(func() (map[string]*schema.Structural, error) {
	defs, err := crd.Definitions()
	if err != nil {
		return nil, err
	}
	out := map[string]*schema.Structural{}
	for _, def := range defs {
		props := &apiextensions.JSONSchemaProps{}
		if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(
			def.Spec.Versions[0].Schema.OpenAPIV3Schema, props, nil); err != nil {
			return nil, fmt.Errorf("read the CRD of %s: %w", def.Spec.Names.Kind, err)
		}
		if out[def.Spec.Names.Kind], err = schema.NewStructural(props); err != nil {
			return nil, fmt.Errorf("read the CRD of %s: %w", def.Spec.Names.Kind, err)
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
