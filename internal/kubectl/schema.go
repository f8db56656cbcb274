package kubectl

import (
	"context"
	"fmt"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"

	"github.com/trellis-dev/trellis/config/crd"
)

// schemas are the CRDs by kind.
type schemas map[string]*apiextensions.JSONSchemaProps

func loadSchemas() (schemas, error) {
	defs, err := crd.Definitions()
	if err != nil {
		return nil, err
	}
	out := schemas{}
	for _, def := range defs {
		internal := &apiextensions.JSONSchemaProps{}
		if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(
			def.Spec.Versions[0].Schema.OpenAPIV3Schema, internal, nil); err != nil {
			return nil, fmt.Errorf("read the CRD of %s: %w", def.Spec.Names.Kind, err)
		}
		out[def.Spec.Names.Kind] = internal
	}
	return out, nil
}

// complete does to obj what the API server does on create: it refuses unknown
// fields and what the schema or its CEL rules refuse, and fills in defaults.
func (s schemas) complete(ctx context.Context, obj *unstructured.Unstructured) error {
	props, ok := s[obj.GetKind()]
	if !ok {
		return fmt.Errorf("kind %q is not one of Trellis", obj.GetKind())
	}
	structural, err := structuralschema.NewStructural(props)
	if err != nil {
		return fmt.Errorf("read the schema of %s: %w", obj.GetKind(), err)
	}
	if unknown := pruning.PruneWithOptions(obj.DeepCopy().Object, structural, true, structuralschema.UnknownFieldPathOptions{
		TrackUnknownFieldPaths: true,
	}); len(unknown) > 0 {
		return fmt.Errorf("unknown field %q: remove it", unknown[0])
	}
	defaulting.Default(obj.Object, structural)
	validator, _, err := validation.NewSchemaValidator(props)
	if err != nil {
		return fmt.Errorf("read the schema of %s: %w", obj.GetKind(), err)
	}
	errs := validation.ValidateCustomResource(nil, obj.Object, validator)
	if len(errs) == 0 {
		rules := cel.NewValidator(structural, true, celconfig.PerCallLimit)
		more, _ := rules.Validate(ctx, (*field.Path)(nil), structural, obj.Object, nil, celconfig.RuntimeCELCostBudget)
		errs = append(errs, more...)
	}
	return errs.ToAggregate()
}
