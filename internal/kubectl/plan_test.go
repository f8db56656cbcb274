package kubectl

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const class = `
apiVersion: patterns.trellis.dev/v1alpha1
kind: PatternClass
metadata: {name: standard, annotations: {patternclass.patterns.trellis.dev/is-default-class: "true"}}
spec:
  plane: {version: v0.1.0}
  engines: [{type: Redis, image: "docker.io/valkey/valkey:8.1"}]
  limits: {maxReplicas: 3}
---
`

func gateway(spec string) string {
	return class + `
apiVersion: patterns.trellis.dev/v1alpha1
kind: RealtimeGateway
metadata: {name: chat}
spec: ` + spec
}

// runPlan runs `kubectl trellis plan -f -` without a cluster.
func runPlan(t *testing.T, input string, args ...string) (string, error) {
	t.Helper()
	t.Setenv("KUBECONFIG", t.TempDir()+"/none")
	var out bytes.Buffer
	cmd := Command("test")
	cmd.SetIn(strings.NewReader(input))
	cmd.SetOut(&out)
	cmd.SetArgs(append([]string{"plan", "-f", "-"}, args...))
	err := cmd.ExecuteContext(context.Background())
	return out.String(), err
}

func TestPlanTable(t *testing.T) {
	out, err := runPlan(t, gateway(`{engine: Redis, replicas: 3, engineSelection: {sharing: Dedicated}}`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(out) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"FOR KIND NAME ON DELETION",
		"RealtimeGateway/chat Engine chat-redis kept",
		"RealtimeGateway/chat ServiceAccount chat-rtg removed",
		"RealtimeGateway/chat Secret chat-rtg-binding kept",
		"RealtimeGateway/chat Secret chat-rtg-keys kept",
		"RealtimeGateway/chat ConfigMap chat-rtg removed",
		"RealtimeGateway/chat NetworkPolicy chat-rtg removed",
		"RealtimeGateway/chat Service chat-rtg removed",
		"RealtimeGateway/chat PodDisruptionBudget chat-rtg removed",
		"RealtimeGateway/chat Deployment chat-rtg removed",
		"Engine/chat-redis ServiceAccount chat-redis-eng removed",
		"Engine/chat-redis Secret chat-redis-eng-binding kept",
		"Engine/chat-redis ConfigMap chat-redis-eng removed",
		"Engine/chat-redis NetworkPolicy chat-redis-eng removed",
		"Engine/chat-redis Service chat-redis-eng-pods removed",
		"Engine/chat-redis Service chat-redis-eng removed",
		"Engine/chat-redis PodDisruptionBudget chat-redis-eng removed",
		"Engine/chat-redis StatefulSet chat-redis-eng removed; its claims are kept",
		"",
		"17 objects, 4 pods; CPU 200m (limit 4), memory 256Mi (limit 1792Mi), storage 1Gi",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestPlanYAMLShowsNoSecret(t *testing.T) {
	out, err := runPlan(t, gateway(`{engine: Redis}`), "-o", "yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"token: <generated>", "uri: redis://default:<generated>@standard-redis-eng.default.svc.cluster.local:6379/0"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in the output", want)
		}
	}
	secrets := 0
	for _, document := range strings.Split(out, "\n---\n") {
		placeholder := "${"
		if strings.Contains(document, "kind: Secret\n") {
			secrets++
		} else {
			// A script has variables of its own.
			placeholder = "${password}"
		}
		if strings.Contains(document, placeholder) {
			t.Errorf("a placeholder of the plan is shown:\n%s", document)
		}
	}
	if secrets == 0 {
		t.Error("the plan shows no Secret at all")
	}
}

func TestPlanRefusesWhatTheClusterWould(t *testing.T) {
	tests := []struct{ name, input, want string }{
		{"CEL rule", gateway(`{replicas: 2}`), "engine Memory keeps rooms inside one pod"},
		{"unknown field", gateway(`{engin: Redis}`), `unknown field "spec.engin"`},
		{"enum", gateway(`{engine: Kafka}`), `Unsupported value: "Kafka"`},
		{"class limit", gateway(`{engine: Redis, replicas: 4}`), "allows 3"},
		{"class missing", gateway(`{className: other}`), `PatternClass "other" does not exist`},
		{"no pattern", class, "no pattern in"},
		{"no class and no cluster", strings.TrimPrefix(gateway(`{}`), class), "put a PatternClass into the file"},
		{"unknown kind", "apiVersion: patterns.trellis.dev/v1alpha1\nkind: Teapot\nmetadata: {name: x}", `kind "Teapot" is not one of Trellis`},
		{"no YAML", "a: [", "yaml"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, err := runPlan(t, tt.input)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want one with %q", err, tt.want)
			}
			if out != "" {
				t.Errorf("printed in spite of the error: %s", out)
			}
		})
	}
}
