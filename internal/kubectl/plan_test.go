package kubectl

import (
	"bytes"
	"context"
	"fmt"
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

// TestPlanOfJobs: what is made when there is work counts in full, and is no object that an apply would create.
func TestPlanOfJobs(t *testing.T) {
	const queue = `
apiVersion: patterns.trellis.dev/v1alpha1
kind: PatternClass
metadata: {name: standard, annotations: {patternclass.patterns.trellis.dev/is-default-class: "true"}}
spec:
  plane: {version: v0.1.0}
  engines: [{type: PostgreSQL, image: "docker.io/library/postgres:17"}]
  limits: {maxReplicas: 3}
---
apiVersion: patterns.trellis.dev/v1alpha1
kind: JobQueue
metadata: {name: renders}
spec:
  worker:
    image: worker:1
    job: {command: [work], maxParallel: %d}
    resources: {requests: {cpu: "2", memory: 4Gi}, limits: {cpu: "2", memory: 4Gi}}
`
	footprint := func(most int) string {
		t.Helper()
		out, err := runPlan(t, fmt.Sprintf(queue, most))
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("up to %d, for jobs", most); !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
		lines := strings.Split(strings.TrimSpace(out), "\n")
		return lines[len(lines)-1]
	}
	var objects, pods [2]int
	var cpu [2]string
	for i, most := range []int{1, 3} {
		line := footprint(most)
		if _, err := fmt.Sscanf(line, "%d objects, %d pods; CPU %s", &objects[i], &pods[i], &cpu[i]); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	if objects[0] != objects[1] || pods[1]-pods[0] != 2 || cpu[0] == cpu[1] {
		t.Errorf("objects %v, pods %v, CPU %v", objects, pods, cpu)
	}
	if out, err := runPlan(t, fmt.Sprintf(queue, 3), "-o", "yaml"); err != nil || !strings.Contains(out, "# for JobQueue/renders; up to 3 of it at a time, one for each job\n") {
		t.Errorf("error %v in\n%s", err, out)
	}
	if _, err := runPlan(t, fmt.Sprintf(queue, 4)); err == nil || !strings.Contains(err.Error(), "spec.worker.job.maxParallel is 4 and PatternClass \"standard\" allows 3") {
		t.Errorf("more than the class allows: %v", err)
	}
}
