package pattern

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// container is the one of a pod, in some state.
func container(change ...func(*corev1.ContainerStatus)) *corev1.Pod {
	c := corev1.ContainerStatus{Name: "plane", Image: "example.com/plane:v1", Started: ptr.To(false)}
	for _, f := range change {
		f(&c)
	}
	p := &corev1.Pod{}
	p.Namespace, p.Name = "apps", "chat-rtg-1"
	p.Labels = map[string]string{v1alpha1.LabelKind: "RealtimeGateway", v1alpha1.LabelName: "chat"}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{c}
	return p
}

func waits(reason string) func(*corev1.ContainerStatus) {
	return func(c *corev1.ContainerStatus) { c.State.Waiting = &corev1.ContainerStateWaiting{Reason: reason} }
}

func runs(c *corev1.ContainerStatus) {
	c.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
}

func starts(c *corev1.ContainerStatus) { c.Started = ptr.To(true) }

func end(reason string, code int32) *corev1.ContainerStateTerminated {
	return &corev1.ContainerStateTerminated{Reason: reason, ExitCode: code, Message: "long and of no use"}
}

func ended(reason string, code int32) func(*corev1.ContainerStatus) {
	return func(c *corev1.ContainerStatus) { c.State.Terminated = end(reason, code) }
}

func endedBefore(reason string, code int32) func(*corev1.ContainerStatus) {
	return func(c *corev1.ContainerStatus) { c.LastTerminationState.Terminated = end(reason, code) }
}

const (
	noImage = `image "example.com/plane:v1" can not be had (ImagePullBackOff): correct its name, or let the nodes pull it`
	crashes = "container \"plane\" ended with Error (exit code 1) and is started again: `kubectl logs --previous` of the pod may say why"
)

// TestTroubleOf says the same of a pod and of what the cache keeps of it.
func TestTroubleOf(t *testing.T) {
	serving := container(runs, starts, endedBefore("Error", 1))
	unschedulable := container()
	unschedulable.Status.ContainerStatuses = nil
	unschedulable.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/2 nodes"}}
	gated := unschedulable.DeepCopy()
	gated.Status.Conditions[0].Reason = "SchedulingGated"
	going := container(waits("ImagePullBackOff"))
	going.DeletionTimestamp = &metav1.Time{}
	going.DeletionTimestamp.Time = metav1.Unix(1, 0).Time
	evicted := container(waits("ImagePullBackOff"))
	evicted.Status.Phase = corev1.PodFailed
	first := container(runs, starts)
	first.Status.InitContainerStatuses = container(waits("CreateContainerConfigError")).Status.ContainerStatuses
	prepared := container(waits("PodInitializing"))
	prepared.Status.InitContainerStatuses = container(ended("Completed", 0), endedBefore("Error", 1)).Status.ContainerStatuses

	for name, tc := range map[string]struct {
		pod  *corev1.Pod
		want string
	}{
		"is made":                       {container(waits("ContainerCreating")), ""},
		"runs for the first time":       {container(runs), ""},
		"serves after a crash":          {serving, ""},
		"an image is tried":             {container(waits("ErrImagePull")), noImage},
		"an image is tried again later": {container(waits("ImagePullBackOff")), noImage},
		"an image that is gone since":   {container(waits("ImagePullBackOff"), endedBefore("Error", 1)), noImage},
		"a name that is none": {container(waits("InvalidImageName")),
			`image "example.com/plane:v1" can not be had (InvalidImageName): correct its name, or let the nodes pull it`},
		"a Secret is missing": {container(waits("CreateContainerConfigError")),
			`container "plane" can not be started (CreateContainerConfigError): the events of the pod say why`},
		"crashed":                     {container(ended("Error", 1)), crashes},
		"waits after a crash":         {container(waits("CrashLoopBackOff"), endedBefore("Error", 1)), crashes},
		"is made again after a crash": {container(waits("ContainerCreating"), endedBefore("Error", 1)), crashes},
		"runs again after a crash":    {container(runs, endedBefore("Error", 1)), crashes},
		"memory ran out": {container(waits("CrashLoopBackOff"), endedBefore("OOMKilled", 137)),
			strings.NewReplacer("Error", "OOMKilled", "code 1)", "code 137)").Replace(crashes)},
		"no node":                        {unschedulable, "no node can take a pod (Unschedulable): the events of the pod say what is missing"},
		"held back by others":            {gated, ""},
		"on its way out":                 {going, ""},
		"evicted":                        {evicted, ""},
		"an init container":              {first, `container "plane" can not be started (CreateContainerConfigError): the events of the pod say why`},
		"an init container that is done": {prepared, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := troubleOf(tc.pod); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			slim, err := slimPod(tc.pod)
			if err != nil {
				t.Fatal(err)
			}
			if slim, err = slimPod(slim); err != nil {
				t.Fatal(err)
			}
			if got := troubleOf(slim.(*corev1.Pod)); got != tc.want {
				t.Errorf("of what is cached: got %q, want %q", got, tc.want)
			}
			if kept := slim.(*corev1.Pod).Status; tc.pod == serving && len(slices.Concat(kept.ContainerStatuses, kept.InitContainerStatuses)) > 0 {
				t.Errorf("of a pod without trouble is kept: %v", kept)
			}
		})
	}
}

func TestTroubleChanges(t *testing.T) {
	pulls, waitsToPull, serves := container(waits("ErrImagePull")), container(waits("ImagePullBackOff")), container(runs, starts)
	p := troubleChanges()
	for name, tc := range map[string]struct{ got, want bool }{
		"new":              {p.Create(event.CreateEvent{Object: serves}), false},
		"new with trouble": {p.Create(event.CreateEvent{Object: pulls}), true},
		"the same":         {p.Update(event.UpdateEvent{ObjectOld: pulls, ObjectNew: waitsToPull}), false},
		"begins":           {p.Update(event.UpdateEvent{ObjectOld: serves, ObjectNew: pulls}), true},
		"ends":             {p.Update(event.UpdateEvent{ObjectOld: pulls, ObjectNew: serves}), true},
		"goes":             {p.Delete(event.DeleteEvent{Object: serves}), false},
		"goes with it":     {p.Delete(event.DeleteEvent{Object: pulls}), true},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %v, want %v", name, tc.got, tc.want)
		}
	}
}

// TestExplain adds a pod's trouble to what holds an object back, and to nothing else.
func TestExplain(t *testing.T) {
	other := container(waits("CreateContainerError"))
	other.Name, other.Labels = "other-rtg-1", map[string]string{v1alpha1.LabelKind: "RealtimeGateway", v1alpha1.LabelName: "other"}
	second := container(waits("CrashLoopBackOff"), endedBefore("Error", 1))
	second.Name = "chat-rtg-0"
	waiting := Verdict{Reason: v1alpha1.ReasonPlaneNotReady, Message: "0 of 1 pods are ready"}
	rolling := Verdict{OK: true, Progressing: true, Reason: v1alpha1.ReasonPlaneRolling, Message: "0 of 2 pods are replaced"}
	for name, tc := range map[string]struct {
		pods         []*corev1.Pod
		health, want Health
	}{
		"pods that start": {[]*corev1.Pod{container(runs), other}, Health{Plane: &waiting}, Health{Plane: &waiting}},
		"pods that do not": {[]*corev1.Pod{container(waits("ErrImagePull")), second}, Health{Plane: &waiting},
			Health{Plane: &Verdict{Reason: v1alpha1.ReasonPlaneFailing, Message: "0 of 1 pods are ready; " + crashes}}},
		"new ones that do not": {[]*corev1.Pod{container(waits("ErrImagePull"))}, Health{Plane: &rolling},
			Health{Plane: &Verdict{OK: true, Progressing: true, Reason: v1alpha1.ReasonPlaneRolling, Message: "0 of 2 pods are replaced; " + noImage}}},
		"an engine's": {[]*corev1.Pod{second}, Health{Engine: &Verdict{Reason: v1alpha1.ReasonEngineNotReady, Message: "0 of 1 pods are ready"}},
			Health{Engine: &Verdict{Reason: v1alpha1.ReasonEngineNotReady, Message: "0 of 1 pods are ready; " + crashes}}},
		"not an engine's that another has": {[]*corev1.Pod{second},
			Health{Engine: &Verdict{Reason: v1alpha1.ReasonEngineNotReady}, Plane: &Verdict{OK: true}},
			Health{Engine: &Verdict{Reason: v1alpha1.ReasonEngineNotReady}, Plane: &Verdict{OK: true}}},
		"one that serves": {[]*corev1.Pod{second}, Health{Plane: &Verdict{OK: true, Message: "all"}}, Health{Plane: &Verdict{OK: true, Message: "all"}}},
		"one that sleeps": {[]*corev1.Pod{second}, Health{Plane: &Verdict{Reason: v1alpha1.ReasonSuspended}}, Health{Plane: &Verdict{Reason: v1alpha1.ReasonSuspended}}},
	} {
		t.Run(name, func(t *testing.T) {
			scheme, err := NewScheme()
			if err != nil {
				t.Fatal(err)
			}
			b := fake.NewClientBuilder().WithScheme(scheme).WithIndex(&corev1.Pod{}, madeFor, makerOf)
			for _, p := range tc.pods {
				b = b.WithObjects(p.DeepCopy())
			}
			s := &scope{obj: makeGateway("chat").obj()}
			s.obj.SetNamespace("apps")
			if tc.health.Plane != nil {
				s.health.Plane = ptr.To(*tc.health.Plane)
			}
			if tc.health.Engine != nil {
				s.health.Engine = ptr.To(*tc.health.Engine)
			}
			r := &Reconciler{client: b.Build(), kind: Definition[*v1alpha1.RealtimeGateway]{Kind: "RealtimeGateway"}}
			if err := r.explain(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, s.health); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
