package conformance

import (
	"net/http"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

var drainTests = []test{
	{"ADrainingQueueTakesNothingNewAndWorksOffWhatItHas", testDraining},
}

// testDraining: new jobs are refused however they come, schedules are still, and those that were accepted go on to their end.
func testDraining(t *testing.T, start Factory) {
	target := start(t, Options{Replicas: 2, Configure: jobsSection(func(j *planeconfig.Jobs) {
		j.Schedules = []planeconfig.JobSchedule{every("tick", "Allow")}
		// The configuration is read again every few seconds.
		j.LeaseTTL = planeconfig.Duration(5 * time.Minute)
	})})
	c := target.client(t)
	first := c.submit(jobs.Submission{Type: "work"})
	running := c.leaseOne("work")
	second := c.submit(jobs.Submission{Type: "work"})
	eventually(t, "the schedule to fire", func() bool { return len(c.list("type", "tick").Jobs) > 0 })

	target.Reconfigure(t, jobsSection(func(j *planeconfig.Jobs) { j.Draining = true }))
	ctx, cancel := soon(t.Context())
	defer cancel()
	for path, body := range map[string]string{"/v1/jobs": `{}`, "/v1/jobs:batch": `{"jobs":[{},{}]}`} {
		eventually(t, path+" to be refused", func() bool {
			r, err := c.do(ctx, http.MethodPost, path, []byte(body))
			return err == nil && r.status == http.StatusServiceUnavailable && r.problem(t).Slug() == "queue-draining" && r.header.Get("Retry-After") != ""
		})
	}
	r := c.must(http.StatusServiceUnavailable, http.MethodPost, planeconfig.EventsPath, []byte(`{}`), "Content-Type", "application/json",
		"ce-specversion", "1.0", "ce-id", "1", "ce-source", "/test", "ce-type", "work")
	if slug := r.problem(t).Slug(); slug != "queue-draining" {
		t.Errorf("an event is refused as %s", slug)
	}
	eventually(t, "every replica to say that its counts are the last word", func() bool {
		return target.metricOf(t, 0, planeconfig.MetricDraining) == 1 && target.metricOf(t, 1, planeconfig.MetricDraining) == 1
	})
	if s := c.stats(); !s.Draining || s.Paused {
		t.Errorf("the counts say %+v", s)
	}
	ticks := len(c.list("type", "tick", "limit", "200").Jobs)

	c.must(http.StatusOK, http.MethodPost, "/v1/jobs/"+first.ID+":heartbeat", encode(jobs.HeartbeatRequest{Token: running.Token}))
	c.complete(running, "1")
	next := c.leaseOne("work")
	if next.Job.ID != second.ID {
		t.Errorf("leased %+v", next)
	}
	c.must(http.StatusOK, http.MethodPost, "/v1/jobs/"+second.ID+":fail", encode(jobs.FailRequest{Token: next.Token, Error: "again"}))
	again := c.leaseOne("work")
	if again.Job.ID != second.ID || again.Job.Attempt != 2 {
		t.Errorf("leased %+v", again)
	}
	c.complete(again, "1")
	if got := len(c.list("type", "tick", "limit", "200").Jobs); got != ticks {
		t.Errorf("%d jobs of the schedule, and %d when it drained", got, ticks)
	}

	target.Reconfigure(t, jobsSection(func(j *planeconfig.Jobs) { j.Draining = false }))
	eventually(t, "jobs to be taken again", func() bool {
		r, err := c.do(ctx, http.MethodPost, "/v1/jobs", []byte(`{"idempotencyKey":"k"}`))
		return err == nil && r.status == http.StatusAccepted
	})
}
