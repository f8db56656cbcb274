//go:build integration

package laws

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/test/integration/framework"
)

// state is all that Trellis made or said in a namespace, by kind and name, without
// what must differ between two runs: names of namespaces, times, identities and
// generated secrets.
type state map[string]any

// hashes are over texts that hold the name of the namespace, or identities.
var hashes = regexp.MustCompile(`("patterns\.trellis\.dev/(?:applied|planned|config)"):"[0-9a-f]{16}"`)

// annotationInputs holds generations, and annotationRotatedAt a time.
const (
	annotationInputs    = "patterns.trellis.dev/inputs"
	annotationRotatedAt = "patterns.trellis.dev/rotated-at"
)

func snapshot(namespace string) (state, error) {
	objects, err := everything(namespace)
	if err != nil {
		return nil, err
	}
	out := state{}
	names := strings.NewReplacer(append(generatedValues(objects), identities(objects)...)...)
	for _, obj := range objects {
		gvks, _, err := framework.Admin.Scheme().ObjectKinds(obj)
		if err != nil {
			return nil, err
		}
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(decoded(obj))
		if err != nil {
			return nil, err
		}
		mask(content)
		text, err := json.Marshal(content)
		if err != nil {
			return nil, err
		}
		var clean any
		masked := hashes.ReplaceAllString(strings.ReplaceAll(string(text), namespace, "NAMESPACE"), `$1:"HASH"`)
		if err := json.Unmarshal([]byte(names.Replace(masked)), &clean); err != nil {
			return nil, fmt.Errorf("mask %s: %w", obj.GetName(), err)
		}
		out[gvks[0].Kind+"/"+obj.GetName()] = clean
	}
	return out, nil
}

// everything that is of Trellis in a namespace.
func everything(namespace string) ([]client.Object, error) {
	objects := framework.Children(ctx, namespace)
	patterns, err := framework.Patterns(ctx, namespace)
	if err != nil {
		return nil, err
	}
	for _, p := range patterns {
		objects = append(objects, p)
	}
	for _, claim := range framework.ClaimsOf(ctx, namespace) {
		objects = append(objects, &claim)
	}
	return objects, nil
}

// decoded shows a Secret's data as text.
func decoded(obj client.Object) client.Object {
	secret, ok := obj.(*corev1.Secret)
	if !ok {
		return obj
	}
	secret = secret.DeepCopy()
	secret.StringData = map[string]string{}
	for k, v := range secret.Data {
		secret.StringData[k] = string(v)
	}
	secret.Data = nil
	return secret
}

var random = regexp.MustCompile(`^[A-Za-z0-9_-]{8,64}$`)

// generatedKeys of Secrets are random.
var generatedKeys = []string{
	"password", "previousPassword", "replicationPassword", "previousReplicationPassword", "token", "previousToken",
	"signing-key", "previousSigningKey", "worker-token", "previousWorkerToken", "member-token", "previousMemberToken", "peer-token", "previousPeerToken", "instance",
	"operatorSeed", "systemSeed", "routePassword", "seed", "secretAccessKey", "bucket",
}

// generatedValues pairs every generated secret value with a name for it.
func generatedValues(objects []client.Object) []string {
	var pairs []string
	for _, obj := range objects {
		secret, ok := obj.(*corev1.Secret)
		if !ok {
			continue
		}
		for _, key := range generatedKeys {
			if value := string(secret.Data[key]); random.MatchString(value) {
				pairs = append(pairs, value, fmt.Sprintf("<%s of %d characters>", key, len(value)))
			}
		}
	}
	return pairs
}

// identities pairs every UID, which the fields of owner references are named by, with its object.
func identities(objects []client.Object) []string {
	var pairs []string
	for _, obj := range objects {
		pairs = append(pairs, string(obj.GetUID()), "<uid of "+obj.GetName()+">")
	}
	return pairs
}

// ringSuffix ends the name of the ConfigMap in which a ShardSet's mover publishes its table.
const ringSuffix = "-shs-ring"

func mask(content map[string]any) {
	meta := content["metadata"].(map[string]any)
	for _, field := range []string{"uid", "resourceVersion", "creationTimestamp", "generation"} {
		delete(meta, field)
	}
	if annotations, ok := meta["annotations"].(map[string]any); ok {
		delete(annotations, annotationInputs)
		if _, ok := annotations[annotationRotatedAt]; ok {
			annotations[annotationRotatedAt] = "TIME"
		}
	}
	if name, _ := meta["name"].(string); strings.HasSuffix(name, ringSuffix) {
		// It is the mover's, and guard holds the operator to that.
		delete(content, "data")
	}
	for _, list := range [][]string{{"metadata", "ownerReferences"}, {"metadata", "managedFields"}, {"status", "conditions"}, {"spec", "ports"}} {
		maskItems(content, list)
	}
	for _, field := range [][]string{
		{"spec", "clusterIP"}, {"spec", "clusterIPs"}, {"spec", "healthCheckNodePort"}, {"status", "observedGeneration"},
	} {
		unstructured.RemoveNestedField(content, field...)
	}
}

func maskItems(content map[string]any, path []string) {
	list, _, _ := unstructured.NestedSlice(content, path...)
	for _, item := range list {
		for _, field := range []string{"uid", "time", "lastTransitionTime", "observedGeneration", "nodePort"} {
			delete(item.(map[string]any), field)
		}
	}
	if list != nil {
		_ = unstructured.SetNestedSlice(content, list, path...)
	}
}

// differ explains how two states differ, value by value; nil when they do not.
func differ(want, got state) error {
	if cmp.Equal(want, got) {
		return nil
	}
	before, after := map[string]string{}, map[string]string{}
	flatten("", map[string]any(want), before)
	flatten("", map[string]any(got), after)
	var lines []string
	for place, value := range before {
		if other, ok := after[place]; !ok {
			lines = append(lines, fmt.Sprintf("- %s = %s", place, value))
		} else if other != value {
			lines = append(lines, fmt.Sprintf("! %s = %s, not %s", place, other, value))
		}
	}
	for place, value := range after {
		if _, ok := before[place]; !ok {
			lines = append(lines, fmt.Sprintf("+ %s = %s", place, value))
		}
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[2:], b[2:]) })
	return fmt.Errorf("the end states differ (- is missing, + is too much, ! is another value):\n%s",
		strings.Join(lines[:min(len(lines), mostLines)], "\n"))
}

// mostLines of a difference that are shown.
const mostLines = 40

// flatten puts every value under its path; what is whole missing is one line.
func flatten(place string, value any, out map[string]string) {
	switch v := value.(type) {
	case map[string]any:
		for key, nested := range v {
			flatten(place+"/"+key, nested, out)
		}
	case []any:
		for i, nested := range v {
			flatten(fmt.Sprintf("%s[%d]", place, i), nested, out)
		}
	default:
		out[place] = fmt.Sprintf("%.200v", v)
	}
}

// plain is a state without the record of who wrote what and of who the shards were, which tell of the way to it.
func (s state) plain() state {
	out := state{}
	for name, content := range s {
		obj := (&unstructured.Unstructured{Object: content.(map[string]any)}).DeepCopy()
		obj.SetManagedFields(nil)
		unstructured.RemoveNestedField(obj.Object, "status", "ring", "epoch")
		unstructured.RemoveNestedField(obj.Object, "status", "ring", "history")
		out[name] = obj.Object
	}
	return out
}
