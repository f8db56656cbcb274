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
				Waiting:   rounded(counts.Most(queued)),
				Scheduled: rounded(counts.Most(scheduled) + counts.Most(retrying)),
				Running:   rounded(counts.Most(running)),
				Dead:      rounded(counts.Most(dead)),
				Succeeded: rounded(counts.Most(succeeded)),
				CountedAt: now,
			}
			if q.Status.Jobs == nil || asked || isFarFrom(fresh, *q.Status.Jobs) {
				q.Status.Jobs = &fresh
			}
		},
	}
}

// rounded to two digits.
func rounded(n float64) int64 {
	out, unit := int64(n), int64(1)
	for out/unit >= 100 {
		unit *= 10
	}
	return (out + unit/2) / unit * unit
}

// isFarFrom is true where a number is by a quarter of it more or less, or one of them is none.
func isFarFrom(a, b v1alpha1.JobCountsStatus) bool {
	for _, pair := range [][2]int64{
		{a.Waiting, b.Waiting}, {a.Scheduled, b.Scheduled}, {a.Running, b.Running}, {a.Dead, b.Dead}, {a.Succeeded, b.Succeeded},
	} {
		least, most := min(pair[0], pair[1]), max(pair[0], pair[1])
		if most-least > most/4 && most != least {
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
