package planlaws

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
)

// header is what a plan says besides its children.
type header struct {
	Binding        string                    `json:"binding"`
	Address        string                    `json:"address,omitempty"`
	Endpoints      []v1alpha1.Endpoint       `json:"endpoints,omitempty"`
	Impact         []v1alpha1.DeletionImpact `json:"impact,omitempty"`
	Recommendation string                    `json:"recommendation,omitempty"`
}

// Render is a plan as YAML for readers: Secrets as text, with what is generated named above them.
func Render(t testing.TB, name string, p pattern.Plan) string {
	t.Helper()
	var out strings.Builder
	fmt.Fprintf(&out, "# Plan of %s.\n%s", name, format(t, header{p.Binding, p.Address, p.Endpoints, p.Impact, p.Recommendation}))
	for _, child := range p.Children {
		out.WriteString("---\n")
		if note := noteOf(child); note != "" {
			fmt.Fprintf(&out, "# %s\n", note)
		}
		out.WriteString(format(t, content(t, child)))
	}
	if p.Once != nil {
		fmt.Fprintf(&out, "---\n# up to %d of it at a time, for the work that there is\n%s", p.Once.Most, format(t, content(t, pattern.Child{Object: p.Once.Job})))
	}
	return out.String()
}

func noteOf(child pattern.Child) string {
	var notes []string
	if child.Retain {
		notes = append(notes, "kept by the policy Retain")
	}
	if child.Shared {
		notes = append(notes, "shared: made once, and nobody's")
	}
	for _, key := range slices.Sorted(maps.Keys(child.Generate)) {
		notes = append(notes, fmt.Sprintf("%s is generated of %d bytes", key, child.Generate[key].Bytes))
	}
	return strings.Join(notes, "; ")
}

// content of an object without its empty status, nor those of its claim templates.
func content(t testing.TB, child pattern.Child) map[string]any {
	t.Helper()
	obj := child.DeepCopyObject()
	if s, ok := obj.(*corev1.Secret); ok {
		s.StringData = map[string]string{}
		for k, v := range s.Data {
			s.StringData[k] = string(v)
		}
		s.Data = nil
	}
	out, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		t.Fatal(err)
	}
	delete(out, "status")
	templates, _, _ := unstructured.NestedFieldNoCopy(out, "spec", "volumeClaimTemplates")
	if claims, ok := templates.([]any); ok {
		for _, claim := range claims {
			delete(claim.(map[string]any), "status")
		}
	}
	return out
}

func format(t testing.TB, value any) string {
	t.Helper()
	out, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
