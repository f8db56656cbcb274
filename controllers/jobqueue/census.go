package jobqueue

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/scaling"
)

var (
	scheduled = depth("scheduled")
	dead      = depth("dead")
	succeeded = depth("succeeded")
)

// census counts the jobs, for who thinks of deleting the queue.
func census() *pattern.Census[*v1alpha1.JobQueue] {
	return &pattern.Census[*v1alpha1.JobQueue]{
		Gauges: []scaling.Gauge{queued, scheduled, retrying, running, dead, succeeded},
		Note: func(q *v1alpha1.JobQueue, counts pattern.Counts, now metav1.Time, asked bool) {
			fresh := v1alpha1.JobCountsStatus{
				Waiting:   pattern.Rounded(counts.Most(queued)),
				Scheduled: pattern.Rounded(counts.Most(scheduled) + counts.Most(retrying)),
				Running:   pattern.Rounded(counts.Most(running)),
				Dead:      pattern.Rounded(counts.Most(dead)),
				Succeeded: pattern.Rounded(counts.Most(succeeded)),
				CountedAt: now,
			}
			if q.Status.Jobs == nil || asked || isFarFrom(fresh, *q.Status.Jobs) {
				q.Status.Jobs = &fresh
			}
		},
	}
}

// isFarFrom is true where a number is by a quarter of it more or less, or one of them is none.
func isFarFrom(a, b v1alpha1.JobCountsStatus) bool {
	for _, pair := range [][2]int64{
		{a.Waiting, b.Waiting}, {a.Scheduled, b.Scheduled}, {a.Running, b.Running}, {a.Dead, b.Dead}, {a.Succeeded, b.Succeeded},
	} {
		if pattern.IsFarFrom(pair[0], pair[1]) {
			return true
		}
	}
	return false
}

// jobsKept says which jobs a deletion is about.
func jobsKept(c *v1alpha1.JobCountsStatus) string {
	if c == nil {
		return "all jobs, those that wait and the dead among them (GET /v1/stats counts them)"
	}
	return fmt.Sprintf("all jobs, at %s about %d waiting, %d scheduled or to be tried again, %d running, %d dead and %d succeeded (GET /v1/stats counts those of now)",
		c.CountedAt.UTC().Format(time.RFC3339), c.Waiting, c.Scheduled, c.Running, c.Dead, c.Succeeded)
}
