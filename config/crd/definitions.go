package crd

import (
	"fmt"
	"io/fs"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// Definitions are the files, read.
func Definitions() ([]apiextensionsv1.CustomResourceDefinition, error) {
	files, err := fs.Glob(Files, "bases/*.yaml")
	if err != nil {
		return nil, err
	}
	out := make([]apiextensionsv1.CustomResourceDefinition, len(files))
	for i, file := range files {
		data, err := Files.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if err := yaml.UnmarshalStrict(data, &out[i]); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
	}
	return out, nil
}
