//go:build integration

package api

import (
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

func newGateway(t *testing.T, mutate func(*v1alpha1.RealtimeGateway)) *v1alpha1.RealtimeGateway {
	t.Helper()
	g := &v1alpha1.RealtimeGateway{ObjectMeta: metav1.ObjectMeta{Namespace: newNamespace(t), Name: "rooms"}}
	mutate(g)
	if err := framework.Admin.Create(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	return g
}

func reload(t *testing.T, g *v1alpha1.RealtimeGateway) *v1alpha1.RealtimeGateway {
	t.Helper()
	out := &v1alpha1.RealtimeGateway{}
	if err := framework.Admin.Get(t.Context(), client.ObjectKeyFromObject(g), out); err != nil {
		t.Fatal(err)
	}
	return out
}

func ready() []metav1.Condition {
	return []metav1.Condition{{
		Type: "Ready", Status: metav1.ConditionTrue, Reason: "Ready", Message: "serves", LastTransitionTime: metav1.Now().Rfc3339Copy(),
	}}
}

// pending is the status of a gateway that no operator has looked at.
func pending() v1alpha1.RealtimeGatewayStatus {
	var s v1alpha1.RealtimeGatewayStatus
	s.Conditions = []metav1.Condition{{
		Type: "Ready", Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonPending, Message: "the operator has not looked at it yet",
		LastTransitionTime: metav1.Unix(0, 0),
	}}
	return s
}

// inUTC compares times by the moment that they mean.
var inUTC = cmp.Comparer(func(a, b metav1.Time) bool { return a.Equal(&b) })

// TestNewObjectsAreInProgress asks the reader that Flux, Argo CD and kubectl's kin use.
func TestNewObjectsAreInProgress(t *testing.T) {
	for _, tab := range []table{{kind: "Engine", base: "spec: {type: Redis}"}, {kind: "RealtimeGateway", base: "{}"},
		{kind: "JobQueue", base: "spec: " + execBase}, {kind: "BlobBucket", base: "{}"},
		{kind: "ShardSet", base: shardBase("")}} {
		t.Run(tab.kind, func(t *testing.T) {
			obj := tab.object(t)
			create(t, obj)
			if err := framework.Admin.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil {
				t.Fatal(err)
			}
			result, err := status.Compute(obj)
			if err != nil || result.Status != status.InProgressStatus {
				t.Errorf("kstatus reads %v, error %v", result, err)
			}
		})
	}
}

// TestStatusIsApart shows that who may change a spec can not change a status with it, nor the other way round.
func TestStatusIsApart(t *testing.T) {
	g := newGateway(t, func(g *v1alpha1.RealtimeGateway) { g.Status.Conditions = ready() })
	if diff := cmp.Diff(pending(), reload(t, g).Status, inUTC); diff != "" {
		t.Errorf("a create sets the status (-want +got):\n%s", diff)
	}
	g.Status.Conditions, g.Status.Replicas = ready(), 7
	if err := framework.Admin.Update(t.Context(), g.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	g = reload(t, g)
	if diff := cmp.Diff(pending(), g.Status, inUTC); diff != "" {
		t.Errorf("an update sets the status (-want +got):\n%s", diff)
	}
	generation, spec := g.Generation, g.Spec.DeepCopy()
	g.Status.Conditions, g.Spec.Suspend = ready(), ptr.To(true)
	if err := framework.Admin.Status().Update(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	g = reload(t, g)
	if diff := cmp.Diff(spec, &g.Spec); diff != "" {
		t.Errorf("an update of the status changes the spec: %s", diff)
	}
	if g.Generation != generation {
		t.Errorf("an update of the status makes generation %d of %d", g.Generation, generation)
	}
	if diff := cmp.Diff(ready(), g.Status.Conditions, cmpopts.IgnoreFields(metav1.Condition{}, "LastTransitionTime")); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
}

// TestScale gets and sets replicas as `kubectl scale` and an autoscaler do.
func TestScale(t *testing.T) {
	g := newGateway(t, func(g *v1alpha1.RealtimeGateway) {
		g.Spec.Engine, g.Spec.Replicas = v1alpha1.RealtimeRedis, ptr.To[int32](2)
	})
	g.Status.Replicas, g.Status.Selector = 1, "patterns.trellis.dev/name=rooms"
	if err := framework.Admin.Status().Update(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	scale := &autoscalingv1.Scale{}
	if err := framework.Admin.SubResource("scale").Get(t.Context(), g, scale); err != nil {
		t.Fatal(err)
	}
	want := autoscalingv1.Scale{
		Spec:   autoscalingv1.ScaleSpec{Replicas: 2},
		Status: autoscalingv1.ScaleStatus{Replicas: 1, Selector: "patterns.trellis.dev/name=rooms"},
	}
	if diff := cmp.Diff(want, *scale, cmpopts.IgnoreFields(autoscalingv1.Scale{}, "TypeMeta", "ObjectMeta")); diff != "" {
		t.Errorf("scale (-want +got):\n%s", diff)
	}
	scale.Spec.Replicas = 5
	if err := framework.Admin.SubResource("scale").Update(t.Context(), g, client.WithSubResourceBody(scale)); err != nil {
		t.Fatal(err)
	}
	if got := ptr.Deref(reload(t, g).Spec.Replicas, 0); got != 5 {
		t.Errorf("replicas are %d after a scale to 5", got)
	}
}

// TestScaleIsValidated shows that the rules of a spec hold for its scale as well.
func TestScaleIsValidated(t *testing.T) {
	tests := []struct {
		name     string
		engine   v1alpha1.RealtimeEngine
		replicas int32
		want     []string
	}{
		{"none", v1alpha1.RealtimeMemory, 0, nil},
		{"too many of Memory", v1alpha1.RealtimeMemory, 2, []string{rule("spec", onePod)}},
		{"too many", v1alpha1.RealtimeRedis, 1001, []string{"spec.replicas: Invalid value: 1001: spec.replicas in body should be less than or equal to 1000"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGateway(t, func(g *v1alpha1.RealtimeGateway) { g.Spec.Engine = tt.engine })
			scale := &autoscalingv1.Scale{}
			if err := framework.Admin.SubResource("scale").Get(t.Context(), g, scale); err != nil {
				t.Fatal(err)
			}
			scale.Spec.Replicas = tt.replicas
			err := framework.Admin.SubResource("scale").Update(t.Context(), g, client.WithSubResourceBody(scale))
			if diff := cmp.Diff(tt.want, causes(t, err)); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}
