//go:build integration

package api

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// kubectl runs the real one against the API server and returns what it prints, a line a row, with single spaces.
func kubectl(t *testing.T, args ...string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"),
		append([]string{"--kubeconfig", framework.Kubeconfig(t)}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return lines
}

// newBucket makes one that serves, in a namespace of its own.
func newBucket(t *testing.T) *v1alpha1.BlobBucket {
	t.Helper()
	b := &v1alpha1.BlobBucket{ObjectMeta: metav1.ObjectMeta{Namespace: newNamespace(t), Name: "files"}}
	if err := framework.Admin.Create(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	b.Status.Conditions, b.Status.BucketName = ready(), "media"
	b.Status.Engine = &v1alpha1.EngineStatusReference{Name: "store", Type: string(v1alpha1.EngineS3)}
	b.Status.Endpoints = []v1alpha1.Endpoint{{Name: "http", URL: "http://files"}}
	if err := framework.Admin.Status().Update(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	return b
}

// newShards makes a ShardSet that serves while partitions move, in a namespace of its own.
func newShards(t *testing.T) *v1alpha1.ShardSet {
	t.Helper()
	obj := table{kind: "ShardSet", base: "metadata: {name: carts}\n" + shardBase(", shards: 3")}.object(t)
	if err := apply(t, newNamespace(t), obj); err != nil {
		t.Fatal(err)
	}
	s := &v1alpha1.ShardSet{}
	if err := framework.Admin.Get(t.Context(), client.ObjectKeyFromObject(obj), s); err != nil {
		t.Fatal(err)
	}
	s.Status.Conditions, s.Status.Replicas = ready(), 5
	s.Status.Ring = &v1alpha1.ShardRingStatus{Epoch: 40, Members: 5, PartitionsMoving: 410}
	s.Status.Endpoints = []v1alpha1.Endpoint{{Name: "http", URL: "http://carts-shs"}}
	if err := framework.Admin.Status().Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestKubectl shows that kinds are found by short name and category, and print as the design says.
func TestKubectl(t *testing.T) {
	g := newGateway(t, func(*v1alpha1.RealtimeGateway) {})
	g.Status.Conditions = ready()
	g.Status.Endpoints = []v1alpha1.Endpoint{{Name: "http", URL: "http://rooms"}, {Name: "external", URL: "https://rooms.example.com"}}
	if err := framework.Admin.Status().Update(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	for _, doc := range documents(t, read(t, filepath.Join(framework.Root(), "examples", "valid", "patternclass-standard.yaml"))) {
		if err := apply(t, "", doc); err != nil {
			t.Fatal(err)
		}
	}
	engine := table{kind: "Engine", base: "{metadata: {name: store}, spec: {type: Redis}}"}.object(t)
	if err := apply(t, g.Namespace, engine); err != nil {
		t.Fatal(err)
	}
	b, s := newBucket(t), newShards(t)
	namespaced := func(args ...string) []string { return append([]string{"get", "-n", g.Namespace}, args...) }
	gateways := []string{"NAME READY REASON ENGINE URL AGE", "rooms True Ready Memory http://rooms AGE"}
	tests := []struct {
		name       string
		args, want []string
	}{
		{"rtg", namespaced("rtg"), gateways},
		{"patterns", namespaced("patterns"), []string{gateways[0], "realtimegateway.patterns.trellis.dev/" + gateways[1]}},
		{"jq", namespaced("jq"), []string{"No resources found in " + g.Namespace + " namespace."}},
		{"blob", []string{"get", "-n", b.Namespace, "blob"}, []string{"NAME READY REASON ENGINE BUCKET URL AGE", "files True Ready store media http://files AGE"}},
		{"shs", []string{"get", "-n", s.Namespace, "shs"}, []string{"NAME READY REASON SHARDS MOVING URL AGE", "carts True Ready 5 410 http://carts-shs AGE"}},
		{"shards by category", []string{"get", "-n", s.Namespace, "patterns", "-o", "name"}, []string{"shardset.patterns.trellis.dev/carts"}},
		{"shards scaled", []string{"scale", "-n", s.Namespace, "shs/carts", "--replicas=4"}, []string{"shardset.patterns.trellis.dev/carts scaled"}},
		{"eng", namespaced("eng"), []string{"NAME READY REASON TYPE VERSION AGE", "store Unknown Pending Redis AGE"}},
		{"pclass", []string{"get", "pclass"}, []string{"NAME DEFAULT PLANE ENGINES DELETION AGE", "standard true v0.1.0 NATS Retain AGE"}},
		{"trellis", namespaced("trellis", "-o", "name"), []string{
			"engine.patterns.trellis.dev/store", "patternclass.patterns.trellis.dev/standard", "realtimegateway.patterns.trellis.dev/rooms"}},
		{"scale", []string{"scale", "-n", g.Namespace, "rtg/rooms", "--replicas=0"}, []string{"realtimegateway.patterns.trellis.dev/rooms scaled"}},
		{"wait", []string{"wait", "-n", g.Namespace, "rtg/rooms", "--for=condition=Ready", "--timeout=5s"},
			[]string{"realtimegateway.patterns.trellis.dev/rooms condition met"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := kubectl(t, tt.args...)
			for i, line := range got {
				if fields := strings.Fields(line); i > 0 && len(fields) > 1 && strings.HasSuffix(fields[len(fields)-1], "s") {
					got[i] = strings.Join(append(fields[:len(fields)-1], "AGE"), " ")
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("kubectl %s (-want +got):\n%s", strings.Join(tt.args, " "), diff)
			}
		})
	}
}
