package jobqueue

import (
	"fmt"
	"strings"
	"time"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/planes"
	"github.com/trellis-dev/trellis/controllers/scaling"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// What the plane tells of the whole queue.
var (
	isPaused   = scaling.Gauge{Name: planeconfig.MetricPaused, Always: true}
	isDraining = scaling.Gauge{Name: planeconfig.MetricDraining, Always: true}
	queued     = depth("queued")
	running    = depth("running")
	retrying   = depth("retrying")
)

func depth(status string) scaling.Gauge {
	return scaling.Gauge{Name: planeconfig.MetricDepth, Label: planeconfig.LabelStatus, Value: status, Always: true}
}

// drain works off what is due. Under the policy Retain what waits stays in the engine, for a queue of the same name.
func drain() *pattern.Drain[*v1alpha1.JobQueue] {
	return &pattern.Drain[*v1alpha1.JobQueue]{
		Timeout: func(q *v1alpha1.JobQueue, _ v1alpha1.DeletionPolicy) time.Duration {
			if isSuspended(q) {
				return 0
			}
			return or(q.Spec.Drain.Timeout, 0)
		},
		Announce: announce,
		Gauges:   []scaling.Gauge{isPaused, isDraining, queued, running, retrying},
		Left:     left,
	}
}

// announce has the plane accept no jobs and, where those that wait are kept, hand none out.
func announce(_ *v1alpha1.JobQueue, policy v1alpha1.DeletionPolicy, file, config string) (string, error) {
	marks := []string{"draining"}
	if policy == v1alpha1.DeletionRetain {
		marks = append(marks, "paused")
	}
	return planes.Announced(file, config, "jobs", marks...)
}

// left says what there is to wait for. Jobs that are not due until later, by their runAt, are none of it.
func left(q *v1alpha1.JobQueue, policy v1alpha1.DeletionPolicy, counts pattern.Counts) pattern.Verdict {
	waits, runs := counts.Most(queued)+counts.Most(retrying), counts.Most(running)
	words := []string{fmt.Sprintf("jobs that run: %.0f", runs)}
	if policy == v1alpha1.DeletionDelete {
		words = append([]string{fmt.Sprintf("jobs that wait: %.0f", waits)}, words...)
	} else {
		waits = 0
	}
	verdict := pattern.Verdict{Reason: v1alpha1.ReasonDraining}
	switch {
	case counts.Silent > 0 || len(counts.Pods) == 0:
		verdict.Message = "the plane does not say how many jobs wait or run"
		return verdict
	case !counts.All(isDraining):
		verdict.Message = "the plane is told to accept no more jobs"
		return verdict
	case waits > 0 && counts.Most(isPaused) > 0:
		words = append(words, "the queue is paused, so that those that wait do not start: resume it")
	case waits > 0 && noWorkers(q):
		words = append(words, "worker.replicas is 0, so that those that wait do not start: raise it")
	}
	verdict.OK, verdict.Message = waits+runs == 0, strings.Join(words, ", ")
	return verdict
}

func noWorkers(q *v1alpha1.JobQueue) bool {
	most, _ := mostWorkers(q)
	return !pulls(q) && most == 0
}
