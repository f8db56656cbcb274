package jobqueue

import (
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
)

func observe(q *v1alpha1.JobQueue, seen pattern.Observed) pattern.Health {
	workers, others := split(seen.Children)
	before := q.Status.ScaleStatus
	q.Status.ScaleStatus = pattern.ScaleStatus(workers, before)
	if runsOnce(q) {
		q.Status.ScaleStatus = pattern.OnceScale(seen.Once, workerOwner(q).Selector())
	}
	h := pattern.Health{Engine: pattern.EngineVerdict(seen.Engine)}
	if seen.Stopping {
		h.Plane = &pattern.Verdict{
			Reason: v1alpha1.ReasonStopping, Message: "spec.suspend is true: the workers end the jobs that they have, and the plane serves them until then",
		}
		return h
	}
	if isSuspended(q) {
		h.Plane = &pattern.Verdict{
			Reason: v1alpha1.ReasonSuspended, Message: "spec.suspend is true: set it to false to serve again",
		}
		return h
	}
	h.Plane = pattern.WorkloadVerdict(others, pattern.WorkloadReasons{
		Ready:   v1alpha1.ReasonPlaneReady,
		Waiting: v1alpha1.ReasonPlaneNotReady,
		Failing: v1alpha1.ReasonPlaneFailing,
		Rolling: v1alpha1.ReasonPlaneRolling,
	})
	switch {
	case runsOnce(q):
		h.Workers = pattern.OnceVerdict(seen.Once, pattern.OnceReasons{
			Idle: v1alpha1.ReasonWorkersIdle, Ready: v1alpha1.ReasonWorkersReady,
			Starting: v1alpha1.ReasonWorkersStarting, Failing: v1alpha1.ReasonWorkersFailing,
		})
	case !pulls(q):
		h.Workers = workersVerdict(q, workers, before)
	}
	return h
}

// split tells the workers from all else.
func split(children []client.Object) (workers, others []client.Object) {
	isWorker := func(o client.Object) bool { return o.GetLabels()[v1alpha1.LabelComponent] == v1alpha1.ComponentWorker }
	others = slices.DeleteFunc(slices.Clone(children), isWorker)
	workers = slices.DeleteFunc(slices.Clone(children), func(o client.Object) bool { return !isWorker(o) })
	return workers, others
}

// workersVerdict: none at all is as it should be where none is asked for. Those that the load asks for come and go,
// and while the first of them start the queue serves: jobs wait for a moment.
func workersVerdict(q *v1alpha1.JobQueue, workers []client.Object, before v1alpha1.ScaleStatus) *pattern.Verdict {
	v := pattern.ScaledVerdict(workers, before, pattern.WorkloadReasons{
		Ready:   v1alpha1.ReasonWorkersReady,
		Waiting: v1alpha1.ReasonWorkersNotReady,
		Failing: v1alpha1.ReasonWorkersFailing,
		Rolling: v1alpha1.ReasonWorkersRolling,
	})
	switch {
	case v.OK && q.Status.DesiredReplicas == 0 && q.Spec.Scaling != nil:
		return &pattern.Verdict{OK: true, Reason: v1alpha1.ReasonWorkersIdle, Message: "no worker runs: the first job wakes one"}
	case v.OK && q.Status.DesiredReplicas == 0:
		return &pattern.Verdict{OK: true, Reason: v1alpha1.ReasonWorkersIdle, Message: "spec.worker.replicas is 0: jobs wait until it is raised"}
	case v.Reason == v1alpha1.ReasonWorkersNotReady && q.Spec.Scaling != nil:
		return &pattern.Verdict{OK: true, Progressing: true, Reason: v1alpha1.ReasonWorkersStarting, Message: v.Message}
	default:
		return v
	}
}
