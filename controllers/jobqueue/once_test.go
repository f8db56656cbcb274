package jobqueue

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/scaling"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// inJobs has each job run in a Kubernetes Job.
func inJobs(s *spec) {
	s.Concurrency = 1
	s.Worker.Exec, s.Worker.Job = nil, &v1alpha1.JobOnce{Command: []string{"work"}, MaxParallel: 4}
}

func TestOnce(t *testing.T) {
	q := makeQueue(inJobs)
	p, err := plan(q, inputs())
	if err != nil {
		t.Fatal(err)
	}
	if _, worker := deployments(t, q, inputs()); worker != nil {
		t.Error("there is a Deployment of workers too")
	}
	job := p.Once.Job.Spec
	pod := job.Template.Spec
	// 10m to start, 45s to be given a job, its own hour, and 15s to hand it back.
	got := []any{p.Once.Most, *job.BackoffLimit, *job.ActiveDeadlineSeconds, *job.TTLSecondsAfterFinished, pod.RestartPolicy, pod.Containers[0].StartupProbe == nil}
	want := []any{int32(4), int32(0), int64(600 + 45 + 3600 + 15), int32(600), corev1.RestartPolicyNever, true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the Job (-want +got):\n%s", diff)
	}
	// The next pod is there when the lease of one that died comes free.
	r := runnerConfig(q, "http://a")
	if r.Exec == nil || r.Concurrency != 1 || time.Duration(r.Once) <= leaseTTL {
		t.Errorf("the runner is told %+v", r)
	}
	suspended(&q.Spec)
	if p, err = plan(q, inputs()); err != nil || p.Once != nil {
		t.Errorf("suspended, it has %+v, error %v", p.Once, err)
	}
}

// TestTheClassBoundsJobsToo by the most that are under way.
func TestTheClassBoundsJobsToo(t *testing.T) {
	n := needs(makeQueue(inJobs), nil)
	if n.Replicas != 4 || n.ReplicasField != "spec.worker.job.maxParallel" {
		t.Errorf("it needs %+v", n)
	}
}

func TestScaleOnce(t *testing.T) {
	all := &scaling.Spec{Max: 4, PerReplica: 1, Total: planeconfig.MetricStartable, Older: planeconfig.MetricBacklog, Unit: "jobs"}
	paused := func(s *spec) { s.Paused = ptr.To(true) }
	for name, c := range map[string]struct {
		mutate []func(*spec)
		want   *scaling.Spec
	}{
		"as many as there are jobs": {[]func(*spec){inJobs}, all},
		"not while suspended":       {[]func(*spec){inJobs, suspended}, nil},
		"not while paused":          {[]func(*spec){inJobs, paused}, nil},
	} {
		if diff := cmp.Diff(c.want, scale(makeQueue(c.mutate...))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	// What is under way of a paused queue goes on.
	if p, err := plan(makeQueue(inJobs, paused), inputs()); err != nil || p.Once == nil {
		t.Errorf("paused, it has no Jobs, error %v", err)
	}
}

func TestObserveOnce(t *testing.T) {
	var done, running batchv1.Job
	done.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
	done.Status.Conditions[0].LastTransitionTime.Time = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	running.Status.Active, running.Status.Ready = 1, ptr.To[int32](1)
	q := makeQueue(inJobs)
	h := observe(q, pattern.Observed{Children: living(0, 0)[:1], Once: []batchv1.Job{done, running}})
	if diff := cmp.Diff(&pattern.Verdict{OK: true, Reason: "WorkersReady", Message: "all pods are ready"}, h.Workers); diff != "" {
		t.Errorf("workers (-want +got):\n%s", diff)
	}
	want := v1alpha1.ScaleStatus{Replicas: 1, DesiredReplicas: 1,
		Selector: "app.kubernetes.io/component=worker,patterns.trellis.dev/kind=JobQueue,patterns.trellis.dev/name=reports"}
	if diff := cmp.Diff(want, q.Status.ScaleStatus); diff != "" {
		t.Errorf("scale (-want +got):\n%s", diff)
	}
	if h := observe(q, pattern.Observed{Children: living(0, 0)[:1]}); h.Workers.Reason != "WorkersIdle" || !h.Workers.OK || q.Status.Replicas != 0 {
		t.Errorf("without any, workers are %+v", h.Workers)
	}
}
