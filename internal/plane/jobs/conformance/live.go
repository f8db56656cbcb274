package conformance

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

var liveTests = []test{
	{"SchedulesFire", testSchedule},
	{"SettingsChangeWhileItRuns", testReload},
	{"DrainAnswersWhatWaits", testDrain},
}

func jsonUnmarshal(data []byte, into any) error { return json.Unmarshal(data, into) }

func every(name, concurrency string) planeconfig.JobSchedule {
	return planeconfig.JobSchedule{
		Name: name, Cron: "@every 1s", Concurrency: concurrency, Missed: "Skip", Type: name, Payload: json.RawMessage(`{"a":1}`), Metadata: map[string]string{"m": "n"},
	}
}

func testSchedule(t *testing.T, start Factory) {
	c := start(t, Options{Configure: jobsSection(func(j *planeconfig.Jobs) {
		j.Schedules = []planeconfig.JobSchedule{every("allow", "Allow"), every("forbid", "Forbid"), every("replace", "Replace"), {Name: "bad", Cron: "* * *"}}
	})}).client(t)
	eventually(t, "the schedules to fire", func() bool {
		return len(c.list("type", "allow").Jobs) >= 3 && len(c.list("type", "replace", "status", "cancelled").Jobs) >= 2
	})
	if got := c.list("type", "forbid").Jobs; len(got) != 1 {
		t.Errorf("%d jobs of a schedule that forbids a second one", len(got))
	}
	l := c.leaseOne("forbid")
	if string(l.Payload) != `{"a":1}` || l.Job.Metadata["schedule"] != "forbid" || l.Job.Metadata["scheduledAt"] == "" || l.Job.Metadata["m"] != "n" {
		t.Errorf("leased %+v", l)
	}
	c.complete(l, "1")
	eventually(t, "it to fire again", func() bool { return len(c.list("type", "forbid").Jobs) > 1 })
}

func testReload(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	waiting := make(chan []jobs.Lease, 1)
	target.Reconfigure(t, jobsSection(func(j *planeconfig.Jobs) {
		j.Paused = true
		j.Priorities = append(j.Priorities, planeconfig.JobPriority{Name: "urgent", Weight: 20})
	}))
	eventually(t, "the priority to be known", func() bool {
		ctx, cancel := soon(t.Context())
		defer cancel()
		r, err := c.do(ctx, http.MethodPost, "/v1/jobs", []byte(`{"priority":"urgent","idempotencyKey":"k"}`))
		return err == nil && r.status == http.StatusAccepted
	})
	if got := c.leaseNow(1); len(got) != 0 {
		t.Errorf("leased %+v while paused", got)
	}
	go func() { waiting <- c.lease(1) }()
	target.Reconfigure(t, jobsSection(func(j *planeconfig.Jobs) { j.Paused = false }))
	if got := <-waiting; len(got) != 1 || got[0].Job.Priority != "urgent" {
		t.Errorf("leased %+v", got)
	}
}

func testDrain(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	a := c.submit(jobs.Submission{Delay: "1h"})
	leases, polled, streamed := make(chan []jobs.Lease, 1), make(chan jobs.Job, 1), make(chan int, 1)
	go func() { leases <- c.leaseFor(1, "60s") }()
	go func() {
		polled <- decode[jobs.Job](t, c.must(http.StatusOK, http.MethodGet, "/v1/jobs/"+a.ID+"?wait=60s", nil).body)
	}()
	ctx, cancel := soon(t.Context())
	defer cancel()
	resp, err := c.stream(ctx, a.ID, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	go func() {
		n := 0
		readEvents(resp.Body, func(event) { n++ })
		streamed <- n
	}()
	eventually(t, "all to wait", func() bool { return target.metric(t, "trellis_plane_connections{") == 3 })
	drained := make(chan error, 1)
	go func() { drained <- target.Replicas[0].Drain() }()
	if got := <-leases; len(got) != 0 {
		t.Errorf("leased %+v", got)
	}
	if got := <-polled; got.ID != a.ID {
		t.Errorf("the poll is answered %+v", got)
	}
	if got := <-streamed; got != 1 {
		t.Errorf("the stream had %d events", got)
	}
	if err := <-drained; err != nil {
		t.Errorf("the drain ended with: %v", err)
	}
}
