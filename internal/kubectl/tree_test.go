package kubectl

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
)

func sending(namespace, name, reason string, sinks ...v1alpha1.Sink) *v1alpha1.JobQueue {
	q := &v1alpha1.JobQueue{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	q.Spec.Sinks = sinks
	status := metav1.ConditionTrue
	if reason != "Ready" {
		status = metav1.ConditionFalse
	}
	q.Status.Engine = &v1alpha1.EngineStatusReference{Type: "PostgreSQL", Name: "standard-pgsql"}
	q.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: status, Reason: reason}}
	return q
}

func to(name, kind, namespace, receiver string) v1alpha1.Sink {
	return v1alpha1.Sink{Name: name, Ref: &v1alpha1.SinkReference{Kind: kind, Name: receiver, Namespace: namespace}}
}

// pipeline is cut → render → screens, and what hangs on it.
func pipeline(t *testing.T) client.WithWatch {
	t.Helper()
	scheme, err := pattern.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	toScreens := to("screens", "RealtimeGateway", "web", "screens")
	toScreens.Types, toScreens.Filter = []v1alpha1.SinkEventType{"dead"}, "event.data.attempt > 1"
	toScreens.Mapping = &v1alpha1.SinkMapping{Subject: "'room'"}
	render := sending("apps", "render", "PlaneNotReady", toScreens, v1alpha1.Sink{Name: "log", URL: "https://log.example.com/in?key=secret"})
	render.Status.Conditions = append(render.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionSinksReady, Status: "False", Reason: v1alpha1.ReasonSinkBacklog})
	carts := &v1alpha1.ShardSet{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "carts"}}
	carts.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Ready"}}
	screens := &v1alpha1.RealtimeGateway{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "screens"}}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		render, screens, carts,
		sending("apps", "cut", "Ready", to("render", "JobQueue", "", "render"), to("lost", "JobQueue", "", "lost")),
		sending("apps", "scan", "Ready", to("render", "JobQueue", "", "render")),
		sending("apps", "alone", "Suspended"),
		sending("apps", "a", "Ready", to("b", "JobQueue", "", "b")), sending("apps", "b", "SinkCycle", to("a", "JobQueue", "", "a")),
	).Build()
}

func runTree(t *testing.T, c client.Client, o treeOptions, of string) (out, problems string, err error) {
	t.Helper()
	o.connect = func() (client.Client, string, error) { return c, "apps", nil }
	var stdout, stderr bytes.Buffer
	cmd := &cobra.Command{RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd, of) }, SilenceUsage: true, SilenceErrors: true}
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	cmd.SetArgs(nil)
	err = cmd.Execute()
	return stdout.String(), stderr.String(), err
}

func TestTree(t *testing.T) {
	for of, want := range map[string]string{
		"jq/render": `JobQueue/cut  ready  on PostgreSQL/standard-pgsql
├─ render → JobQueue/render *  not ready: PlaneNotReady  on PostgreSQL/standard-pgsql  sinks: SinkBacklog
│  ├─ screens → web/RealtimeGateway/screens  not ready: Pending  [types dead; if event.data.attempt > 1; subject 'room']
│  └─ log → https://log.example.com/in?…
└─ lost → JobQueue/lost  not found

JobQueue/scan  ready  on PostgreSQL/standard-pgsql
└─ render → JobQueue/render *  not ready: PlaneNotReady  on PostgreSQL/standard-pgsql  sinks: SinkBacklog  (its sinks are shown above)
`,
		"shs/carts":      "ShardSet/carts *  ready\n",
		"JobQueue/alone": "JobQueue/alone *  not ready: Suspended  on PostgreSQL/standard-pgsql\n",
		"jobqueues/b": `JobQueue/b *  not ready: SinkCycle  on PostgreSQL/standard-pgsql
└─ a → JobQueue/a  ready  on PostgreSQL/standard-pgsql
   └─ b → JobQueue/b *  not ready: SinkCycle  on PostgreSQL/standard-pgsql  (its sinks are shown above)
`,
	} {
		got, _, err := runTree(t, pipeline(t), treeOptions{output: "tree"}, of)
		if err != nil {
			t.Errorf("%s: %v", of, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", of, diff)
		}
	}
}

func TestTreeAsJSON(t *testing.T) {
	out, _, err := runTree(t, pipeline(t), treeOptions{output: "json", namespace: "web"}, "rtg/screens")
	if err != nil {
		t.Fatal(err)
	}
	var got []treeNode
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Name != "cut" || !got[0].Sinks[0].To.Sinks[0].To.Asked || got[0].Sinks[0].To.Sinks[0].Filter == "" || strings.Contains(out, "secret") {
		t.Errorf("the trees are %s", out)
	}
}

func TestTreeRefuses(t *testing.T) {
	for of, want := range map[string]string{
		"render":          "is not KIND/NAME",
		"pod/render":      `"pod" is no kind of pattern: write one of Engine, RealtimeGateway, JobQueue`,
		"sinkgrant/a":     "is no kind of pattern",
		"jobqueue/absent": `there is no JobQueue "absent" in namespace "apps"`,
	} {
		if _, _, err := runTree(t, pipeline(t), treeOptions{output: "tree"}, of); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want %q", of, err, want)
		}
	}
	if _, _, err := runTree(t, pipeline(t), treeOptions{output: "yaml"}, "jq/render"); err == nil {
		t.Error("yaml is taken for an output")
	}
}

// TestTreeOfWhoMayReadOneNamespace shows that, and says so.
func TestTreeOfWhoMayReadOneNamespace(t *testing.T) {
	c := interceptor.NewClient(pipeline(t), interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if (&client.ListOptions{}).ApplyOptions(opts).Namespace == "" {
				return apierrors.NewForbidden(schema.GroupResource{}, "", nil)
			}
			return c.List(ctx, list, opts...)
		},
	})
	out, problems, err := runTree(t, c, treeOptions{output: "tree"}, "jq/cut")
	if err != nil || !strings.Contains(out, "screens → web/RealtimeGateway/screens  not found") || !strings.Contains(problems, "JobQueues of other namespaces are left out") {
		t.Errorf("%v\n%s\n%s", err, out, problems)
	}
}
