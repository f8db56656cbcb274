package kubectl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
)

// manifest is what a file holds of Trellis.
type manifest struct {
	classes  []v1alpha1.PatternClass
	patterns []v1alpha1.Pattern
	kinds    []string
}

// read decodes, validates and defaults every object of the files; "-" is stdin.
// Kinds of other groups are left out.
func read(ctx context.Context, kinds *pattern.Registration, stdin io.Reader, files []string, namespace string) (*manifest, error) {
	known, err := loadSchemas()
	if err != nil {
		return nil, err
	}
	m := &manifest{}
	for _, file := range files {
		objects, err := decode(file, stdin)
		if err != nil {
			return nil, err
		}
		for _, obj := range objects {
			if obj.GroupVersionKind().Group != v1alpha1.GroupVersion.Group {
				continue
			}
			if err := known.complete(ctx, obj); err != nil {
				return nil, fmt.Errorf("%s: %s %q: %w", file, obj.GetKind(), obj.GetName(), err)
			}
			if err := m.add(kinds, obj, namespace); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	return m, nil
}

func decode(file string, stdin io.Reader) ([]*unstructured.Unstructured, error) {
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	decoder := utilyaml.NewYAMLOrJSONDecoder(in, 4096)
	var out []*unstructured.Unstructured
	for {
		var raw runtime.RawExtension
		err := decoder.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if len(raw.Raw) == 0 || string(raw.Raw) == "null" {
			continue
		}
		obj := &unstructured.Unstructured{}
		if err := obj.UnmarshalJSON(raw.Raw); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		out = append(out, obj)
	}
}

func (m *manifest) add(kinds *pattern.Registration, obj *unstructured.Unstructured, namespace string) error {
	if obj.GetKind() == "PatternClass" {
		var class v1alpha1.PatternClass
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, &class); err != nil {
			return err
		}
		m.classes = append(m.classes, class)
		return nil
	}
	p := kinds.New(obj.GetKind())
	if p == nil {
		return fmt.Errorf("kind %q is not one of this version of Trellis", obj.GetKind())
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, p); err != nil {
		return err
	}
	if p.GetNamespace() == "" {
		p.SetNamespace(namespace)
	}
	m.patterns = append(m.patterns, p)
	m.kinds = append(m.kinds, obj.GetKind())
	return nil
}
