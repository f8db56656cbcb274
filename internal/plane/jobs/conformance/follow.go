package conformance

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

var followTests = []test{
	{"LongPollMissesNothing", testLongPoll},
	{"ETags", testETags},
	{"StreamsMissNothing", testStream},
	{"WaitingLeasesAreServedInTurn", testLeaseTurns},
	{"AbandonedLeasesGoBack", testAbandoned},
}

func testLongPoll(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	a := c.submit(jobs.Submission{})
	poll := func(revision int64) jobs.Job {
		return decode[jobs.Job](t, c.must(http.StatusOK, http.MethodGet, fmt.Sprintf("/v1/jobs/%s?wait=30s&revision=%d", a.ID, revision), nil).body)
	}
	job := c.get(a.ID)
	next := make(chan jobs.Job, 1)
	go func() { next <- poll(job.Revision) }()
	l := c.leaseOne()
	if got := <-next; got.Status != jobs.StatusRunning {
		t.Errorf("told of %s", got.Status)
	}
	// What happened between two polls is told at once.
	c.heartbeat(l, &jobs.Progress{Percent: 50})
	if got := poll(l.Job.Revision); got.Progress == nil || got.Progress.Percent != 50 {
		t.Errorf("told of %+v", got)
	}
	job = c.get(a.ID)
	go func() { next <- poll(job.Revision) }()
	done := c.complete(l, "1")
	if got := <-next; got.Status != jobs.StatusSucceeded || got.Result == nil {
		t.Errorf("told of %+v", got)
	}
	// Nothing more is to come.
	if got := poll(done.Revision); got.Revision != done.Revision {
		t.Errorf("told of %+v", got)
	}
	began := time.Now()
	b := c.submit(jobs.Submission{})
	c.must(http.StatusOK, http.MethodGet, "/v1/jobs/"+b.ID+"?wait=200ms", nil)
	if time.Since(began) < 200*time.Millisecond {
		t.Error("a job that does not change was answered too early")
	}
	for _, wait := range []string{"61s", "-1s", "soon"} {
		c.must(http.StatusBadRequest, http.MethodGet, "/v1/jobs/"+b.ID+"?wait="+wait, nil).problem(t)
	}
}

func testETags(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	a := c.submit(jobs.Submission{})
	tag := c.must(http.StatusOK, http.MethodGet, "/v1/jobs/"+a.ID, nil).header.Get("ETag")
	if r := c.must(http.StatusNotModified, http.MethodGet, "/v1/jobs/"+a.ID+"?wait=50ms", nil, "If-None-Match", tag); len(r.body) != 0 {
		t.Errorf("304 with a body: %s", r.body)
	}
	c.leaseOne()
	if r := c.must(http.StatusOK, http.MethodGet, "/v1/jobs/"+a.ID+"?wait=30s", nil, "If-None-Match", tag); r.header.Get("ETag") == tag {
		t.Error("the ETag is the same after a change")
	}
}

// event is one of a stream.
type event struct{ id, name, data string }

// stream opens the events of a job.
func (c *client) stream(ctx context.Context, id, last string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/v1/jobs/"+id+"/events", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	return c.http.Do(req)
}

// readEvents reads a stream to its end.
func readEvents(body io.Reader, each func(event)) {
	var e event
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "":
			if e.name != "" {
				each(e)
			}
			e = event{}
		}
	}
}

func testStream(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	a := c.submit(jobs.Submission{})
	ctx, cancel := soon(context.Background())
	defer cancel()
	resp, err := c.stream(ctx, a.ID, "")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v %+v", err, resp)
	}
	seen, ended := make(chan jobs.Job, 100), make(chan string, 1)
	go func() {
		defer func() { _ = resp.Body.Close() }()
		last := ""
		readEvents(resp.Body, func(e event) {
			var job jobs.Job
			if err := json.Unmarshal([]byte(e.data), &job); err != nil || e.id != fmt.Sprint(job.Revision) || e.name != "job" {
				t.Errorf("an event is %+v", e)
			}
			last = e.id
			seen <- job
		})
		close(seen)
		ended <- last
	}()
	statuses := []string{string((<-seen).Status)}
	l := c.leaseOne()
	statuses = append(statuses, string((<-seen).Status))
	c.heartbeat(l, &jobs.Progress{Percent: 10, Message: "a\nb"})
	if got := <-seen; got.Progress == nil || got.Progress.Message != "a\nb" {
		t.Errorf("told of %+v", got)
	}
	c.complete(l, "{\"a\":\n1}")
	for job := range seen {
		statuses = append(statuses, string(job.Status))
	}
	if diff := cmp.Diff([]string{"queued", "running", "succeeded"}, statuses); diff != "" {
		t.Errorf("told of (-want +got):\n%s", diff)
	}
	again, err := c.stream(ctx, a.ID, <-ended)
	if err != nil || again.StatusCode != http.StatusNoContent {
		t.Errorf("after the end: %v %+v", err, again)
	}
	_ = again.Body.Close()
	c.must(http.StatusBadRequest, http.MethodGet, "/v1/jobs/"+a.ID+"/events", nil, "Last-Event-ID", "x").problem(t)
	c.must(http.StatusNotFound, http.MethodGet, "/v1/jobs/0198a9e4-0000-7000-8000-000000000000/events", nil).problem(t)
}

// testLeaseTurns has workers wait, and jobs come one by one: whoever waits longest is served first.
func testLeaseTurns(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	const n = 5
	got := make(chan int, n)
	for i := range n {
		go func() {
			if len(c.leaseFor(1, "60s")) == 1 {
				got <- i
			}
		}()
		eventually(t, "the worker to wait", func() bool { return target.metric(t, `trellis_plane_connections{`, `protocol="lease"`) == float64(i+1) })
	}
	for i := range n {
		c.submit(jobs.Submission{})
		if first := <-got; first != i {
			t.Errorf("worker %d was served, want %d", first, i)
		}
	}
}

// testAbandoned has workers go away while they wait: what they would have got is for the next. A job that is handed out before the plane
// hears of the closed connection may be lost until its lease ends, as with any worker that dies: so the plane is given time to hear.
func testAbandoned(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	for i := range 5 {
		ctx, cancel := context.WithCancel(context.Background())
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_, _ = c.do(ctx, http.MethodPost, "/v1/jobs:lease", encode(jobs.LeaseRequest{Worker: "gone", Wait: "60s"}))
		}()
		eventually(t, "the worker to wait", func() bool { return target.metric(t, `trellis_plane_connections{`, `protocol="lease"`) > 0 })
		cancel()
		<-gone
		eventually(t, "the plane to hear that it is gone", func() bool { return target.metric(t, `trellis_plane_connections{`, `protocol="lease"`) == 0 })
		a := c.submit(jobs.Submission{Type: fmt.Sprint(i)})
		l := c.leaseOne()
		if l.Job.ID != a.ID || l.Job.Attempt != 1 {
			t.Errorf("leased %+v", l)
		}
		c.complete(l, "1")
	}
}
