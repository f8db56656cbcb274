package planlaws

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
)

// namespace of every object that is planned.
const namespace = "apps"

// file is what one YAML file holds.
type file struct {
	name    string
	objects []*unstructured.Unstructured
}

// readFiles reads every YAML file of the folders.
func readFiles(folders ...string) ([]file, error) {
	var out []file
	for _, folder := range folders {
		paths, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			objects, err := readFile(path)
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", path, err)
			}
			out = append(out, file{strings.TrimSuffix(filepath.Base(path), ".yaml"), objects})
		}
	}
	return out, nil
}

// readFile reads the documents of a file, with the defaults of the CRDs.
func readFile(path string) ([]*unstructured.Unstructured, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		obj := &unstructured.Unstructured{}
		err := decoder.Decode(&obj.Object)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if err := setDefaults(obj); err != nil {
			return nil, err
		}
		out = append(out, obj)
	}
}

// of returns the objects of a kind, as T.
func of[T any](f file, kind string) ([]*T, error) {
	var out []*T
	for _, obj := range f.objects {
		if obj.GetKind() != kind {
			continue
		}
		typed := new(T)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(obj.Object, typed, true); err != nil {
			return nil, fmt.Errorf("%s: %s %s: %w", f.name, kind, obj.GetName(), err)
		}
		out = append(out, typed)
	}
	return out, nil
}

// classesOf are the PatternClasses of the file, or of all files where it has none.
func classesOf(f file, all []file) ([]v1alpha1.PatternClass, error) {
	var out []v1alpha1.PatternClass
	for _, from := range [][]file{{f}, all} {
		for _, g := range from {
			classes, err := of[v1alpha1.PatternClass](g, "PatternClass")
			if err != nil {
				return nil, err
			}
			for _, c := range classes {
				out = append(out, *c)
			}
		}
		if len(out) > 0 {
			break
		}
	}
	return out, nil
}

// preview is what an object of a file is planned from.
func preview(obj v1alpha1.Pattern, f file, all []file) (pattern.Preview, error) {
	classes, err := classesOf(f, all)
	if err != nil {
		return pattern.Preview{}, err
	}
	class, err := pattern.PickClass(obj.GetPatternSpec().ClassName, classes)
	if err != nil {
		return pattern.Preview{}, fmt.Errorf("%s: %w", f.name, err)
	}
	secrets, err := of[corev1.Secret](f, "Secret")
	if err != nil {
		return pattern.Preview{}, err
	}
	p := pattern.Preview{Class: class, ClusterDomain: "cluster.local"}
	if i := slices.IndexFunc(secrets, func(s *corev1.Secret) bool { return s.StringData["uri"] != "" }); i >= 0 {
		p.Source = map[string][]byte{}
		for k, v := range secrets[i].StringData {
			p.Source[k] = []byte(v)
		}
	}
	return p, nil
}
