package jobs

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// TestBacklogIsAbsentUntilItIsKnown: who scales by it would take 0 for a queue without work.
func TestBacklogIsAbsentUntilItIsKnown(t *testing.T) {
	m := plane.NewMetrics(planeconfig.Config{}, "test")
	q := newMetrics(m)
	series := func() int {
		out := make(chan prometheus.Metric, 8)
		q.backlog.Collect(out)
		return len(out)
	}
	if n := series(); n != 0 {
		t.Errorf("%d series before anything was counted, want none", n)
	}
	q.counted(jobs.Stats{Backlog: 7})
	if n := series(); n != 1 {
		t.Errorf("%d series after a count, want one", n)
	}
}
