package jobqueue

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/scaling"
)

func TestCensus(t *testing.T) {
	first := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	later := metav1.NewTime(first.Add(time.Hour))
	counted := func(waits, again, runs, gone, done float64) pattern.Counts {
		return pattern.Counts{Pods: []map[scaling.Gauge]float64{{queued: waits, scheduled: 2, retrying: again, running: runs, dead: gone, succeeded: done}}}
	}
	said := v1alpha1.JobCountsStatus{Waiting: 120, Scheduled: 3, Running: 8, Succeeded: 5000, CountedAt: first}
	tests := []struct {
		name   string
		before *v1alpha1.JobCountsStatus
		counts pattern.Counts
		asked  bool
		want   v1alpha1.JobCountsStatus
	}{
		{"the first count", nil, counted(123, 1, 8, 0, 4980), false, said},
		{"much the same", &said, counted(150, 1, 7, 0, 5900), false, said},
		{"many more", &said, counted(170, 1, 8, 0, 5000), false, v1alpha1.JobCountsStatus{Waiting: 170, Scheduled: 3, Running: 8, Succeeded: 5000, CountedAt: later}},
		{"none any more", &said, counted(120, 1, 0, 0, 5000), false, v1alpha1.JobCountsStatus{Waiting: 120, Scheduled: 3, Succeeded: 5000, CountedAt: later}},
		{"the first one that died", &said, counted(120, 1, 8, 1, 5000), false,
			v1alpha1.JobCountsStatus{Waiting: 120, Scheduled: 3, Running: 8, Dead: 1, Succeeded: 5000, CountedAt: later}},
		{"the spec changed", &said, counted(121, 1, 8, 0, 5000), true, v1alpha1.JobCountsStatus{Waiting: 120, Scheduled: 3, Running: 8, Succeeded: 5000, CountedAt: later}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q, now := makeQueue(), later
			if q.Status.Jobs = tt.before; tt.before == nil {
				now = first
			}
			census().Note(q, tt.counts, now, tt.asked)
			if diff := cmp.Diff(&tt.want, q.Status.Jobs); diff != "" {
				t.Errorf("jobs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestImpactHasTheCounts(t *testing.T) {
	q := makeQueue()
	q.Status.Jobs = &v1alpha1.JobCountsStatus{
		Waiting: 120, Scheduled: 3, Running: 8, Dead: 1, Succeeded: 5000, CountedAt: metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
	}
	p, err := plan(q, inputs())
	if err != nil {
		t.Fatal(err)
	}
	want := "all jobs, at 2026-01-02T03:04:05Z about 120 waiting, 3 scheduled or to be tried again, 8 running, 1 dead and 5000 succeeded " +
		"(GET /v1/stats counts those of now): a JobQueue of the same name goes on with them"
	for _, i := range p.Impact {
		if i.Kind == "Engine" && i.Detail == want {
			return
		}
	}
	t.Errorf("the impact is %+v, want %s", p.Impact, want)
}
