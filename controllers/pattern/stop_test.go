package pattern

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

func TestStopsRest(t *testing.T) {
	worker := func(planned, alive int32, settled bool) stoppable {
		return stoppable{planned: planned, alive: alive, first: true, settled: settled}
	}
	plane := func(planned, alive int32) stoppable { return stoppable{planned: planned, alive: alive, settled: true} }
	tests := []struct {
		name         string
		list         []stoppable
		stops, waits bool
	}{
		{"nothing stops", []stoppable{plane(1, 1), worker(1, 1, true)}, false, false},
		{"workers alone stop", []stoppable{plane(1, 1), worker(0, 3, true)}, false, false},
		{"both are to stop", []stoppable{plane(0, 1), worker(0, 3, true)}, true, true},
		{"the Deployment has not heard yet", []stoppable{plane(0, 1), worker(0, 0, false)}, true, true},
		{"the Deployment counts none", []stoppable{plane(0, 1), worker(0, 0, true)}, true, false},
		{"there are no workers", []stoppable{plane(0, 1)}, true, false},
		{"all have stopped", []stoppable{plane(0, 0), worker(0, 0, true)}, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if stops, waits := stopsRest(tt.list); stops != tt.stops || waits != tt.waits {
				t.Errorf("stops %t, waits %t; want %t, %t", stops, waits, tt.stops, tt.waits)
			}
		})
	}
}

func TestStopping(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	pod := func(name string, phase corev1.PodPhase, deleted time.Duration) corev1.Pod {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.PodStatus{Phase: phase}}
		if deleted != 0 {
			p.DeletionTimestamp = &metav1.Time{Time: now.Add(deleted)}
		}
		return p
	}
	var got []string
	for _, p := range stopping([]corev1.Pod{
		pod("runs", corev1.PodRunning, 0), pod("in its grace", corev1.PodRunning, time.Minute), pod("just over", corev1.PodRunning, -overdueAfter),
		pod("lost with its node", corev1.PodRunning, -overdueAfter-time.Second), pod("done", corev1.PodSucceeded, 0), pod("failed", corev1.PodFailed, time.Minute),
	}, now) {
		got = append(got, p.Name)
	}
	if diff := cmp.Diff([]string{"runs", "in its grace", "just over"}, got); diff != "" {
		t.Errorf("waited for (-want +got):\n%s", diff)
	}
}

func TestLinger(t *testing.T) {
	component := func(name string) func(*appsv1.Deployment) {
		return func(d *appsv1.Deployment) { d.Labels = map[string]string{v1alpha1.LabelComponent: name} }
	}
	first := Definition[*v1alpha1.RealtimeGateway]{StopsFirst: v1alpha1.ComponentWorker}
	tests := []struct {
		name          string
		lingers       bool
		planned, live client.Object
		want          int32
	}{
		{"the plane stays", true, deployment(0, component("plane")), deployment(3, component("plane")), 3},
		{"a worker stops", true, deployment(0, component("worker")), deployment(3, component("worker")), 0},
		{"none is left", false, deployment(0, component("plane")), deployment(3, component("plane")), 0},
		{"what is to run does", true, deployment(2, component("plane")), deployment(3, component("plane")), 2},
		{"what is not there is not waited for", true, deployment(0, component("plane")), nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			(&Reconciler{kind: first}).linger(&scope{lingers: tt.lingers}, tt.planned, tt.live)
			if got := ptr.Deref(tt.planned.(*appsv1.Deployment).Spec.Replicas, -1); got != tt.want {
				t.Errorf("%d replicas, want %d", got, tt.want)
			}
		})
	}
}

func TestEndingUntil(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	stops := func(at string, grace int64) appsv1.Deployment {
		return *deployment(0, func(d *appsv1.Deployment) {
			d.Annotations = map[string]string{annotationStoppedAt: at}
			d.Spec.Template.Spec.TerminationGracePeriodSeconds = &grace
		})
	}
	for name, c := range map[string]struct {
		first []appsv1.Deployment
		want  time.Duration
	}{
		"nobody stops first":      {nil, 0},
		"its grace and a little":  {[]appsv1.Deployment{stops("2026-01-02T03:04:05Z", 60)}, time.Minute + overdueAfter},
		"the slowest":             {[]appsv1.Deployment{stops("2026-01-02T03:04:05Z", 60), stops("2026-01-02T03:04:05Z", 90)}, 90*time.Second + overdueAfter},
		"it is over":              {[]appsv1.Deployment{stops("2026-01-02T02:04:05Z", 60)}, 0},
		"somebody broke the note": {[]appsv1.Deployment{stops("yesterday", 60)}, 0},
		"it began some time ago":  {[]appsv1.Deployment{stops("2026-01-02T03:03:05Z", 60)}, overdueAfter},
	} {
		if got := (ending{first: c.first}).until(now, nil); !got.Equal(now.Add(c.want)) {
			t.Errorf("%s: until %s, want %s", name, got, now.Add(c.want))
		}
	}
	// Jobs bear no note, so that the others do; their pods outlive them.
	grace := int64(90)
	pod := corev1.Pod{Spec: corev1.PodSpec{TerminationGracePeriodSeconds: &grace}}
	job := batchv1.Job{Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: pod.Spec}}}
	rest := []appsv1.Deployment{stops("2026-01-02T03:04:05Z", 30)}
	for name, got := range map[string]time.Time{
		"a Job": (ending{rest: rest, jobs: []batchv1.Job{job}}).until(now, nil),
		"a pod": (ending{rest: rest}).until(now, []corev1.Pod{pod}),
	} {
		if want := now.Add(90*time.Second + overdueAfter); !got.Equal(want) {
			t.Errorf("%s: until %s, want %s", name, got, want)
		}
	}
}
