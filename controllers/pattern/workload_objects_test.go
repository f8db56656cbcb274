package pattern

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

var (
	testReasons  = WorkloadReasons{Ready: "Ready", Waiting: "Waiting", Failing: "Failing", Rolling: "Rolling"}
	testSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "rooms"}}
)

// deployment of n pods that all serve.
func deployment(n int32, mutate ...func(*appsv1.Deployment)) *appsv1.Deployment {
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Generation: 2},
		Spec:       appsv1.DeploymentSpec{Replicas: &n, Selector: testSelector},
		Status:     appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: n, UpdatedReplicas: n, AvailableReplicas: n},
	}
	for _, m := range mutate {
		m(d)
	}
	return d
}

// statefulSet of n pods that all serve.
func statefulSet(n int32, mutate ...func(*appsv1.StatefulSet)) *appsv1.StatefulSet {
	s := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Generation: 2},
		Spec:       appsv1.StatefulSetSpec{Replicas: &n, Selector: testSelector},
		Status: appsv1.StatefulSetStatus{
			ObservedGeneration: 2, Replicas: n, AvailableReplicas: n, CurrentRevision: "a", UpdateRevision: "a",
		},
	}
	for _, m := range mutate {
		m(s)
	}
	return s
}

func failing(kind appsv1.DeploymentConditionType, value corev1.ConditionStatus) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) {
		d.Status.AvailableReplicas = 0
		d.Status.Conditions = []appsv1.DeploymentCondition{{Type: kind, Status: value, Reason: "Because"}}
	}
}

func TestWorkloadVerdict(t *testing.T) {
	tests := []struct {
		name     string
		children []client.Object
		want     Verdict
	}{
		{"no workload", []client.Object{&corev1.Service{}}, Verdict{OK: true, Reason: "Ready", Message: "all pods are ready"}},
		{"a Deployment that serves", []client.Object{&corev1.Service{}, deployment(2)}, Verdict{OK: true, Reason: "Ready", Message: "all pods are ready"}},
		{"replicas by default", []client.Object{deployment(0, func(d *appsv1.Deployment) { d.Spec.Replicas = nil })},
			Verdict{Reason: "Waiting", Message: "0 of 1 pods are ready"}},
		{"a Deployment of another generation", []client.Object{deployment(1, func(d *appsv1.Deployment) { d.Generation = 3 })},
			Verdict{OK: true, Progressing: true, Reason: "Rolling", Message: "pods are about to be replaced"}},
		{"pods that are refused", []client.Object{deployment(1, failing(appsv1.DeploymentReplicaFailure, corev1.ConditionTrue))},
			Verdict{Stalled: true, Reason: "Failing",
				Message: "0 of 1 pods are ready: they can not be created (Because): look at `kubectl describe replicaset -l app=rooms`"}},
		{"pods that do not start", []client.Object{deployment(1, failing(appsv1.DeploymentProgressing, corev1.ConditionFalse))},
			Verdict{Stalled: true, Reason: "Failing",
				Message: "0 of 1 pods are ready: they do not start: look at `kubectl describe pods -l app=rooms`"}},
		{"pods that make progress", []client.Object{deployment(1, failing(appsv1.DeploymentProgressing, corev1.ConditionTrue))},
			Verdict{Reason: "Waiting", Message: "0 of 1 pods are ready"}},
		{"a StatefulSet that serves", []client.Object{statefulSet(1)}, Verdict{OK: true, Reason: "Ready", Message: "all pods are ready"}},
		{"a StatefulSet that rolls", []client.Object{statefulSet(3, func(s *appsv1.StatefulSet) {
			s.Status.UpdateRevision, s.Status.UpdatedReplicas = "b", 1
		})}, Verdict{OK: true, Progressing: true, Reason: "Rolling", Message: "1 of 3 pods are replaced"}},
		{"a StatefulSet that starts", []client.Object{statefulSet(1, func(s *appsv1.StatefulSet) { s.Status.AvailableReplicas = 0 })},
			Verdict{Reason: "Waiting", Message: "0 of 1 pods are ready"}},
		{"the first of several that does not serve", []client.Object{deployment(1), statefulSet(1, func(s *appsv1.StatefulSet) { s.Status.AvailableReplicas = 0 })},
			Verdict{Reason: "Waiting", Message: "0 of 1 pods are ready"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(&tt.want, WorkloadVerdict(tt.children, testReasons)); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
		})
	}
}

func TestScaleStatus(t *testing.T) {
	tests := []struct {
		name     string
		children []client.Object
		before   v1alpha1.ScaleStatus
		want     v1alpha1.ScaleStatus
	}{
		{name: "no workload", children: []client.Object{&corev1.Service{}}},
		{name: "a Deployment", children: []client.Object{&corev1.Service{}, deployment(3)},
			want: v1alpha1.ScaleStatus{Replicas: 3, DesiredReplicas: 3, SettledReplicas: 3, Selector: "app=rooms"}},
		{name: "a StatefulSet", children: []client.Object{statefulSet(2)},
			want: v1alpha1.ScaleStatus{Replicas: 2, DesiredReplicas: 2, SettledReplicas: 2, Selector: "app=rooms"}},
		{name: "more are being started", before: v1alpha1.ScaleStatus{SettledReplicas: 1},
			children: []client.Object{deployment(3, func(d *appsv1.Deployment) { d.Status.AvailableReplicas = 1 })},
			want:     v1alpha1.ScaleStatus{Replicas: 3, DesiredReplicas: 3, SettledReplicas: 1, Selector: "app=rooms"}},
		{name: "fewer are wanted, which is not looked at yet", before: v1alpha1.ScaleStatus{SettledReplicas: 3},
			children: []client.Object{deployment(2, func(d *appsv1.Deployment) { d.Generation = 3 })},
			want:     v1alpha1.ScaleStatus{Replicas: 2, DesiredReplicas: 2, SettledReplicas: 2, Selector: "app=rooms"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, ScaleStatus(tt.children, tt.before)); diff != "" {
				t.Errorf("scale (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEngineVerdict(t *testing.T) {
	engine := func(mutate func(*v1alpha1.Engine)) *v1alpha1.Engine {
		e := &v1alpha1.Engine{ObjectMeta: metav1.ObjectMeta{Name: "store", Generation: 2}}
		e.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: metav1.ConditionTrue, ObservedGeneration: 2, Message: "serves"}}
		mutate(e)
		return e
	}
	tests := []struct {
		name   string
		engine *v1alpha1.Engine
		want   Verdict
	}{
		{"none yet", nil, Verdict{Reason: "EngineNotReady", Message: "the Engine is being created"}},
		{"ready", engine(func(*v1alpha1.Engine) {}), Verdict{OK: true, Reason: "EngineReady", Message: "Engine store answers"}},
		{"not ready", engine(func(e *v1alpha1.Engine) {
			e.Status.Conditions[0].Status, e.Status.Conditions[0].Message = metav1.ConditionFalse, "no answer"
		}), Verdict{Reason: "EngineNotReady", Message: "Engine store: no answer"}},
		{"suspended", engine(func(e *v1alpha1.Engine) {
			e.Status.Conditions[0].Reason, e.Status.Conditions[0].Message = v1alpha1.ReasonSuspended, "stopped"
		}), Verdict{Reason: "EngineNotReady", Message: "Engine store: stopped"}},
		{"of no status", engine(func(e *v1alpha1.Engine) { e.Status.Conditions = nil }),
			Verdict{Reason: "EngineNotReady", Message: "Engine store has not been looked at yet"}},
		{"changed since", engine(func(e *v1alpha1.Engine) { e.Generation = 3 }),
			Verdict{Reason: "EngineNotReady", Message: "Engine store has not been looked at yet"}},
		{"deleted", engine(func(e *v1alpha1.Engine) { e.DeletionTimestamp = ptr.To(at(1)) }),
			Verdict{Reason: "EngineNotReady", Message: "Engine store is being deleted: create it again, or use another"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(&tt.want, EngineVerdict(tt.engine)); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
		})
	}
}
