package pattern

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// annotationApplied holds a hash of what was applied last: when the plan is the
// same and nobody changed what it sets, there is nothing to write.
const annotationApplied = "patterns.trellis.dev/applied"

// strip removes what a plan does not mean to set: null values and the status,
// also that of claim templates.
func strip(u *unstructured.Unstructured) {
	delete(u.Object, "status")
	stripNulls(u.Object)
	stripClaims(u)
}

// stripClaims removes the status of claim templates, which the API server fills in.
func stripClaims(u *unstructured.Unstructured) {
	claims, _, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "volumeClaimTemplates")
	templates, _ := claims.([]any)
	for _, t := range templates {
		if template, ok := t.(map[string]any); ok {
			delete(template, "status")
		}
	}
}

func stripNulls(m map[string]any) {
	for k, v := range m {
		switch value := v.(type) {
		case nil:
			delete(m, k)
		case map[string]any:
			stripNulls(value)
		case []any:
			for _, item := range value {
				if nested, ok := item.(map[string]any); ok {
					stripNulls(nested)
				}
			}
		}
	}
}

// markApplied stamps the hash of u onto u. The resourceVersion, a precondition
// of the write, is no part of it.
func markApplied(u *unstructured.Unstructured) error {
	hashed := u.DeepCopy()
	hashed.SetResourceVersion("")
	sum, err := hash(hashed.Object)
	if err != nil {
		return fmt.Errorf("hash %s: %w", u.GetKind(), err)
	}
	setAnnotation(u, annotationApplied, sum)
	return nil
}

// hash of a value's JSON, short enough for an annotation.
func hash(value any) (string, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8]), nil
}

// unchanged is true when live was applied from the same plan and still has
// every value of it.
func unchanged(desired *unstructured.Unstructured, live client.Object) (bool, error) {
	if live.GetAnnotations()[annotationApplied] != desired.GetAnnotations()[annotationApplied] {
		return false, nil
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(live)
	if err != nil {
		return false, fmt.Errorf("convert live %s: %w", desired.GetKind(), err)
	}
	want := desired.DeepCopy()
	for _, own := range [][]string{{"apiVersion"}, {"kind"}, {"metadata", "resourceVersion"}} {
		unstructured.RemoveNestedField(want.Object, own...)
	}
	return covers(content, want.Object), nil
}

// covers is true when have holds every value of want. Maps may have more; items
// of lists are matched by their key name or, without one, by place.
func covers(have, want any) bool {
	switch w := want.(type) {
	case map[string]any:
		h, ok := have.(map[string]any)
		if !ok {
			return len(w) == 0 && have == nil
		}
		for k, v := range w {
			if !covers(h[k], v) {
				return false
			}
		}
		return true
	case []any:
		h, ok := have.([]any)
		return ok && coversList(h, w)
	default:
		return reflect.DeepEqual(have, want)
	}
}

func coversList(have, want []any) bool {
	byName := map[string]any{}
	for _, item := range have {
		if name := itemName(item); name != "" {
			byName[name] = item
		}
	}
	named := len(byName) == len(have)
	if !named && len(have) != len(want) {
		return false
	}
	for i, item := range want {
		candidate := any(nil)
		if name := itemName(item); named && name != "" {
			candidate = byName[name]
		} else if i < len(have) {
			candidate = have[i]
		}
		if !covers(candidate, item) {
			return false
		}
	}
	return true
}

// itemName is the merge key of a list's item.
func itemName(item any) string {
	m, ok := item.(map[string]any)
	if !ok {
		return ""
	}
	for _, key := range []string{"name", "uid", "mountPath"} {
		if name, ok := m[key].(string); ok {
			return name
		}
	}
	return ""
}
