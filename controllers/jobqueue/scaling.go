package jobqueue

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/scaling"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Defaults are those of the schema.
const (
	defaultStabilization = time.Minute
	defaultIdleAfter     = 5 * time.Minute
)

// scale says how the workers follow the backlog, nil where their number is the user's.
func scale(q *v1alpha1.JobQueue) *scaling.Spec {
	if runsOnce(q) {
		return scaleOnce(q)
	}
	s := q.Spec.Scaling
	if s == nil || isSuspended(q) || pulls(q) {
		return nil
	}
	return &scaling.Spec{
		Min: ptr.Deref(s.MinReplicas, 0), Max: s.MaxReplicas,
		PerReplica:    int64(ptr.Deref(s.BacklogPerWorker, max(1, q.Spec.Concurrency))),
		Stabilization: or(s.ScaleDownStabilization, defaultStabilization),
		IdleAfter:     or(s.IdleAfter, defaultIdleAfter),
		Total:         planeconfig.MetricBacklog,
		Metric:        planeconfig.MetricRunning,
		Unit:          "jobs",
	}
}

func or(d *metav1.Duration, otherwise time.Duration) time.Duration {
	if d == nil {
		return otherwise
	}
	return d.Duration
}

// mostWorkers that the spec asks for, and the field that does.
func mostWorkers(q *v1alpha1.JobQueue) (int32, string) {
	switch {
	case pulls(q):
		return 0, ""
	case runsOnce(q):
		return q.Spec.Worker.Job.MaxParallel, "spec.worker.job.maxParallel"
	case q.Spec.Scaling != nil:
		return q.Spec.Scaling.MaxReplicas, "spec.scaling.maxReplicas"
	default:
		return ptr.Deref(q.Spec.Worker.Replicas, 1), "spec.worker.replicas"
	}
}
