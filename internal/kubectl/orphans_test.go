package kubectl

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
)

var keptAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// madeBy is the metadata of what Trellis made for an object.
func madeBy(namespace, name, kind, of string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{
		v1alpha1.LabelManagedBy: v1alpha1.ManagedBy, v1alpha1.LabelKind: kind, v1alpha1.LabelName: of,
	}}
}

// retained marks it as a deletion does.
func retained(m metav1.ObjectMeta, from string) metav1.ObjectMeta {
	m.Labels[v1alpha1.LabelRetained] = "true"
	m.Annotations = map[string]string{"patterns.trellis.dev/retained-from": from}
	m.ManagedFields = []metav1.ManagedFieldsEntry{{
		Manager: "trellis", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", FieldsType: "FieldsV1", Time: &metav1.Time{Time: keptAt},
		FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:labels":{"f:patterns.trellis.dev/retained":{}}}}`),
	}}
	return m
}

func claimOf(m metav1.ObjectMeta, size string) *corev1.PersistentVolumeClaim {
	c := &corev1.PersistentVolumeClaim{ObjectMeta: m}
	c.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}
	return c
}

func engineOf(m metav1.ObjectMeta, consumers int32) *v1alpha1.Engine {
	e := &v1alpha1.Engine{ObjectMeta: m}
	e.Status.Consumers = consumers
	return e
}

// cluster has one of everything that is an orphan, and of everything that is none.
func cluster(t *testing.T) client.WithWatch {
	t.Helper()
	scheme, err := pattern.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	grown := claimOf(retained(madeBy("apps", "data-old-eng-0", "Engine", "old"), "Engine/apps/old"), "1Gi")
	grown.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("2Gi")}
	owned := engineOf(madeBy("apps", "mine", "RealtimeGateway", "chat"), 0)
	owned.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "RealtimeGateway", Name: "chat", UID: "1", Controller: new(true)}}
	return fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.Engine{}).WithReturnManagedFields().WithObjects(
		grown, owned,
		engineOf(retained(madeBy("apps", "chat-redis", "RealtimeGateway", "chat"), "RealtimeGateway/apps/chat"), 0),
		claimOf(madeBy("apps", "data-chat-redis-eng-0", "Engine", "chat-redis"), "3Gi"),
		claimOf(madeBy("apps", "data-chat-redis-eng-1", "Engine", "chat-redis"), "3Gi"),
		&corev1.Secret{ObjectMeta: retained(madeBy("apps", "chat-rtg-keys", "RealtimeGateway", "chat"), "RealtimeGateway/apps/chat")},
		&corev1.Secret{ObjectMeta: madeBy("apps", "live-rtg-keys", "RealtimeGateway", "live")},
		engineOf(madeBy("other", "standard-redis", "", ""), 0),
		engineOf(madeBy("other", "used-redis", "", ""), 2),
		engineOf(metav1.ObjectMeta{Namespace: "other", Name: "by-hand"}, 0),
	).Build()
}

func runOrphans(t *testing.T, c client.Client, o orphanOptions) (string, string) {
	t.Helper()
	o.connect = func() (client.Client, string, error) { return c, "apps", nil }
	o.now = func() time.Time { return keptAt.Add(50 * time.Hour) }
	var out, problems bytes.Buffer
	cmd := &cobra.Command{RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) }}
	cmd.SetOut(&out)
	cmd.SetErr(&problems)
	cmd.SetArgs(nil)
	if err := cmd.ExecuteContext(context.Background()); err != nil {
		t.Fatal(err)
	}
	return out.String(), problems.String()
}

// rows are the lines of a table with single spaces.
func rows(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		out = append(out, strings.Join(strings.Fields(line), " "))
	}
	return out
}

func TestOrphansTable(t *testing.T) {
	out, _ := runOrphans(t, cluster(t), orphanOptions{output: "table", all: true})
	want := []string{
		"NAMESPACE KIND NAME FROM SIZE KEPT FOR",
		"apps PersistentVolumeClaim data-old-eng-0 Engine/old 2Gi 2d2h",
		"apps Engine chat-redis RealtimeGateway/chat 6Gi 2d2h",
		"apps Secret chat-rtg-keys RealtimeGateway/chat - 2d2h",
		"other Engine standard-redis nobody uses it - -",
		"",
		"To use one again, apply an object of the kind, name and namespace that it is from.",
		"To delete one, and its data with it: kubectl delete KIND -n NAMESPACE NAME",
	}
	if diff := cmp.Diff(want, rows(out)); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestOrphansJSON(t *testing.T) {
	out, _ := runOrphans(t, cluster(t), orphanOptions{output: "json"})
	var got []orphan
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	want := orphan{
		Kind: "Engine", Namespace: "apps", Name: "chat-redis", From: "RealtimeGateway/chat", Size: "6Gi", Since: &keptAt,
		Adopt:  "apply a RealtimeGateway named chat in namespace apps",
		Delete: "kubectl delete engine -n apps chat-redis",
	}
	if len(got) != 3 {
		t.Fatalf("%d of the namespace of the context, want 3", len(got))
	}
	if diff := cmp.Diff(want, got[1]); diff != "" {
		t.Errorf("orphan (-want +got):\n%s", diff)
	}
}

func TestNoOrphans(t *testing.T) {
	out, _ := runOrphans(t, cluster(t), orphanOptions{output: "table", namespace: "none"})
	if out != "Nothing was kept that no pattern uses.\n" {
		t.Errorf("says %q", out)
	}
	if out, _ = runOrphans(t, cluster(t), orphanOptions{output: "json", namespace: "none"}); out != "[]\n" {
		t.Errorf("says %q", out)
	}
}

// TestOrphansWithoutAllRights shows that who may not list Secrets still sees the rest.
func TestOrphansWithoutAllRights(t *testing.T) {
	c := interceptor.NewClient(cluster(t), interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if _, secrets := list.(*metav1.PartialObjectMetadataList); secrets {
				return apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "", fmt.Errorf("no"))
			}
			return c.List(ctx, list, opts...)
		},
	})
	out, problems := runOrphans(t, c, orphanOptions{output: "table"})
	if !strings.Contains(out, "data-old-eng-0") || problems != "Secrets are left out, since you may not list them\n" {
		t.Errorf("says %q and %q", out, problems)
	}
}
