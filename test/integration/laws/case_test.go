//go:build integration

package laws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

var ctx = context.Background()

// example is a file of examples/valid: what a user would apply.
type example struct {
	name    string
	objects []*unstructured.Unstructured
}

// examples are all that are namespaced; classes are applied once for all.
func examples(t testing.TB) []example {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(framework.Root(), "examples", "valid", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	var out []example
	for _, file := range files {
		e := example{name: strings.TrimSuffix(filepath.Base(file), ".yaml")}
		for _, obj := range decode(t, file) {
			if obj.GetKind() == "PatternClass" {
				applyClass(t, obj)
				continue
			}
			e.objects = append(e.objects, obj)
		}
		if len(e.objects) > 0 {
			out = append(out, e)
		}
	}
	standardClass(t)
	return out
}

// some are the named examples, or all of them where LAWS=all: a run over every example takes
// long.
func some(t testing.TB, names ...string) []example {
	t.Helper()
	list := examples(t)
	if all() {
		return list
	}
	var out []example
	for _, e := range list {
		if slices.Contains(names, e.name) {
			out = append(out, e)
		}
	}
	if len(out) != len(names) {
		t.Fatalf("of the examples %v only %d are there", names, len(out))
	}
	return out
}

func decode(t testing.TB, file string) []*unstructured.Unstructured {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// A test sends nothing to other machines: nobody listens at the port of this one either.
	data = bytes.ReplaceAll(data, []byte("redis.example.com"), []byte("127.0.0.1"))
	var out []*unstructured.Unstructured
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		obj := &unstructured.Unstructured{}
		if err := decoder.Decode(&obj.Object); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if len(obj.Object) > 0 {
			skipDrain(obj)
			out = append(out, obj)
		}
	}
}

// skipDrain has a bucket whose files go be deleted without a plane, which would empty it: no pod runs in these tests.
func skipDrain(obj *unstructured.Unstructured) {
	if annotations := obj.GetAnnotations(); annotations[v1alpha1.AnnotationDeleteFiles] != "" {
		annotations[v1alpha1.AnnotationSkipDrain] = "true"
		obj.SetAnnotations(annotations)
	}
}

func applyClass(t testing.TB, obj *unstructured.Unstructured) {
	t.Helper()
	if err := framework.Admin.Create(ctx, obj.DeepCopy()); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
}

var makeStandard sync.Once

// standardClass is the default, where no example brings one.
func standardClass(t testing.TB) {
	t.Helper()
	makeStandard.Do(func() {
		err := framework.Admin.Create(ctx, &v1alpha1.PatternClass{
			ObjectMeta: metav1.ObjectMeta{Name: "standard", Annotations: map[string]string{v1alpha1.AnnotationDefaultClass: "true"}},
			Spec: v1alpha1.PatternClassSpec{
				Plane:   v1alpha1.PlaneClass{Version: "v0.1.0"},
				Engines: framework.Engines(),
			},
		})
		if client.IgnoreAlreadyExists(err) != nil {
			t.Fatal(err)
		}
	})
}

// namespace for the example, with a cluster that plays along, and a mover where there are shards.
func (e example) namespace(t testing.TB) string {
	t.Helper()
	ns := framework.NewNamespace(t)
	if e.hasShards() {
		framework.PlayMover(t, ns)
	}
	return ns
}

func (e example) hasShards() bool {
	return slices.ContainsFunc(e.objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == "ShardSet" })
}

// apply creates the example's objects in a namespace.
func (e example) apply(namespace string) error {
	for _, obj := range e.objects {
		obj = obj.DeepCopy()
		obj.SetNamespace(namespace)
		if err := framework.Admin.Create(ctx, obj); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("apply %s %s: %w", obj.GetKind(), obj.GetName(), err)
		}
	}
	return nil
}

// patterns are the example's objects of a registered kind, with the namespace that they are applied to.
func (e example) patterns(namespace string) []*unstructured.Unstructured {
	var out []*unstructured.Unstructured
	for _, obj := range e.objects {
		if obj.GroupVersionKind().GroupVersion() == v1alpha1.GroupVersion {
			obj = obj.DeepCopy()
			obj.SetNamespace(namespace)
			out = append(out, obj)
		}
	}
	return out
}

// with is the example with all its patterns changed.
func (e example) with(change func(*unstructured.Unstructured)) example {
	out := example{name: e.name}
	for _, obj := range e.objects {
		obj = obj.DeepCopy()
		if obj.GroupVersionKind().GroupVersion() == v1alpha1.GroupVersion {
			change(obj)
		}
		out.objects = append(out.objects, obj)
	}
	return out
}
