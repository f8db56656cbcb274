//go:build integration

package api

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/test/integration/framework"
)

var update = flag.Bool("update", false, "write what lives under controllers/pattern/testdata/live anew")

// TestLiveObjects keeps the objects that the unit tests of controllers/pattern take for living ones
// true: each .live.json is what this API server makes of the .applied.yaml beside it, after others
// wrote to it as well.
func TestLiveObjects(t *testing.T) {
	folder := filepath.Join(framework.Root(), "controllers", "pattern", "testdata", "live")
	files, err := filepath.Glob(filepath.Join(folder, "*.applied.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("nothing to apply: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			obj := documents(t, read(t, file))[0]
			remove(t, obj)
			if err := framework.Admin.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(obj.DeepCopy()), client.FieldOwner("trellis")); err != nil {
				t.Fatal(err)
			}
			touch(t, obj)
			got := normal(t, obj)
			path := strings.Replace(file, ".applied.yaml", ".live.json", 1)
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(strings.Split(string(read(t, path)), "\n"), strings.Split(string(got), "\n")); diff != "" {
				t.Errorf("the file is not what lives; run go test with -update (-file +live):\n%s", diff)
			}
		})
	}
}

// touch writes what users and the cluster's controllers do: a restart, a scale, a note, a status.
func touch(t *testing.T, obj *unstructured.Unstructured) {
	t.Helper()
	patches := []string{`{"metadata":{"annotations":{"example.com/note":"by hand"}}}`}
	if obj.GetKind() != "ConfigMap" {
		patches = append(patches,
			`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"2026-01-02T03:04:05Z"}}}}}`,
			`{"spec":{"template":{"spec":{"containers":[{"name":"`+mainContainer(t, obj)+`","env":[{"name":"DEBUG","value":"1"}]}]}}}}`)
	}
	for _, p := range patches {
		err := framework.Admin.Patch(t.Context(), obj.DeepCopy(), client.RawPatch(types.StrategicMergePatchType, []byte(p)), client.FieldOwner("kubectl"))
		if err != nil {
			t.Fatal(err)
		}
	}
	if obj.GetKind() == "ConfigMap" {
		return
	}
	status := client.RawPatch(types.MergePatchType, []byte(`{"status":{"replicas":1,"observedGeneration":1}}`))
	if err := framework.Admin.Status().Patch(t.Context(), obj.DeepCopy(), status, client.FieldOwner("kube-controller-manager")); err != nil {
		t.Fatal(err)
	}
}

func mainContainer(t *testing.T, obj *unstructured.Unstructured) string {
	t.Helper()
	containers, _, err := unstructured.NestedSlice(obj.Object, "spec", "template", "spec", "containers")
	if err != nil {
		t.Fatal(err)
	}
	return containers[0].(map[string]any)["name"].(string)
}

// normal is what lives, as JSON, without what differs from run to run.
func normal(t *testing.T, obj *unstructured.Unstructured) []byte {
	t.Helper()
	live := obj.DeepCopy()
	if err := framework.Admin.Get(t.Context(), client.ObjectKeyFromObject(obj), live); err != nil {
		t.Fatal(err)
	}
	live.SetUID("00000000-0000-0000-0000-000000000000")
	live.SetResourceVersion("1")
	live.SetCreationTimestamp(metav1.Unix(0, 0))
	fields := live.GetManagedFields()
	for i := range fields {
		fields[i].Time = nil
	}
	live.SetManagedFields(fields)
	out, err := json.MarshalIndent(live.Object, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}
