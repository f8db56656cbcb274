package conformance

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

var metricTests = []test{{"Metrics", testMetrics}}

// metric sums the samples of the first replica whose line has all the parts.
func (g *Target) metric(t *testing.T, parts ...string) float64 {
	t.Helper()
	return g.metricOf(t, 0, parts...)
}

// metricOf is metric of any replica.
func (g *Target) metricOf(t *testing.T, replica int, parts ...string) float64 {
	t.Helper()
	text := newClient(t, g.Replicas[replica].Admin, "").must(http.StatusOK, http.MethodGet, "/metrics", nil).body
	var sum float64
lines:
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue lines
			}
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]), 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += v
	}
	return sum
}

func testMetrics(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	c.submitN(5, jobs.Submission{Priority: "low"})
	c.complete(c.leaseOne(), "1")
	c.fail(c.leaseOne(), jobs.FailRequest{Permanent: true})
	for _, want := range []struct {
		value float64
		parts []string
	}{
		{5, []string{"trellis_jobs_accepted_total"}}, {2, []string{"trellis_jobs_started_total"}}, {1, []string{"trellis_jobs_completed_total"}},
		{1, []string{"trellis_jobs_dead_total"}}, {1, []string{"trellis_jobs_failed_total", `status="dead"`}}, {2, []string{"trellis_jobs_wait_seconds_count"}},
		{1, []string{"trellis_jobs_run_seconds_count"}}, {3, []string{"trellis_jobs_backlog"}}, {3, []string{"trellis_jobs_waiting", `priority="low"`}},
		{3, []string{"trellis_jobs_depth", `status="queued"`}}, {1, []string{"trellis_plane_engine_up"}},
	} {
		eventually(t, strings.Join(want.parts, " "), func() bool { return target.metric(t, want.parts...) == want.value })
	}
	s := c.stats()
	if s.Backlog != 3 || s.Depth[jobs.StatusDead] != 1 || s.ByPriority["low"] != 3 || s.OldestAgeSeconds <= 0 || s.AcceptedPerSecond <= 0 {
		t.Errorf("the counts are %+v", s)
	}
}
