//go:build integration

package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/test/integration/framework"
)

// TestValidExamples applies every one, all documents of it, and those of what is made of several.
func TestValidExamples(t *testing.T) {
	for _, file := range slices.Concat(examples(t, "valid"), examples(t, "report-queue"), examples(t, "video-platform")) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data := read(t, file)
			if !bytes.HasPrefix(data, []byte("# ")) {
				t.Error("the first line does not say what the example is for")
			}
			namespace := newNamespace(t)
			for _, doc := range documents(t, data) {
				if err := apply(t, namespace, doc); err != nil {
					t.Errorf("%s %s is refused: %v", doc.GetKind(), doc.GetName(), err)
				}
			}
		})
	}
}

// TestInvalidExamples applies every one: the last document must be refused with what the first
// line says, and those before it must not be.
func TestInvalidExamples(t *testing.T) {
	for _, file := range examples(t, "invalid") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data := read(t, file)
			first, _, _ := strings.Cut(string(data), "\n")
			want, ok := strings.CutPrefix(first, "# refused: ")
			if !ok || want == "" {
				t.Fatalf("the first line is %q, not # refused: and a message", first)
			}
			namespace := newNamespace(t)
			docs := documents(t, data)
			for _, doc := range docs[:len(docs)-1] {
				if err := apply(t, namespace, doc); err != nil {
					t.Fatalf("%s %s, which is to be changed, is refused: %v", doc.GetKind(), doc.GetName(), err)
				}
			}
			if err := apply(t, namespace, docs[len(docs)-1]); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error is %v, want one with %q", err, want)
			}
		})
	}
}

func examples(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(framework.Root(), "examples", folder, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	return files
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// documents reads a file of one or more.
func documents(t *testing.T, data []byte) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		doc := &unstructured.Unstructured{}
		err := decoder.Decode(&doc.Object)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, doc)
	}
}

// apply creates an object, or changes the one of that name, as kubectl does: strictly.
func apply(t *testing.T, namespace string, doc *unstructured.Unstructured) error {
	t.Helper()
	if doc.GetKind() != "PatternClass" {
		doc.SetNamespace(namespace)
	}
	err := framework.Admin.Create(t.Context(), doc, client.FieldValidation("Strict"))
	if apierrors.IsAlreadyExists(err) {
		live := doc.DeepCopy()
		if err := framework.Admin.Get(t.Context(), client.ObjectKeyFromObject(doc), live); err != nil {
			return fmt.Errorf("get what is there: %w", err)
		}
		doc.SetResourceVersion(live.GetResourceVersion())
		return framework.Admin.Update(t.Context(), doc, client.FieldValidation("Strict"))
	}
	if err == nil {
		remove(t, doc)
	}
	return err
}

func newNamespace(t *testing.T) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "api-"}}
	if err := framework.Admin.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	return namespace.Name
}

// TestExamplesShowEveryField asks that each field of a spec is set in a valid example, but for
// those that this version refuses.
func TestExamplesShowEveryField(t *testing.T) {
	shown := map[string]bool{}
	for _, file := range examples(t, "valid") {
		for _, doc := range documents(t, read(t, file)) {
			eachValue(doc.GetKind(), doc.Object, func(path string) { shown[path] = true })
		}
	}
	eachField(t, func(f field) {
		if f.name == "" || !strings.HasPrefix(f.path, "spec") || strings.Contains(f.path, "sinks") {
			return
		}
		if f.kind == "JobQueue" && f.path == "spec.worker.podTemplate.resources" ||
			f.kind == "ShardSet" && f.path == "spec.template.podTemplate.resources" {
			// It is refused: there is worker.resources, and template.resources.
			return
		}
		if !shown[f.kind+"."+f.path] {
			t.Errorf("no valid example sets %s of %s", f.path, f.kind)
		}
	})
}

// eachValue visits the path of every value, with [*] for the items of lists.
func eachValue(path string, value any, visit func(path string)) {
	visit(path)
	switch v := value.(type) {
	case map[string]any:
		for name, nested := range v {
			eachValue(path+"."+name, nested, visit)
		}
	case []any:
		for _, nested := range v {
			eachValue(path+"[*]", nested, visit)
		}
	}
}
