package conformance

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

var manageTests = []test{
	{"ListFilterCursor", testList},
	{"PauseAndResume", testPause},
	{"Delete", testDelete},
}

func (c *client) list(query ...string) jobs.Page {
	c.t.Helper()
	q := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		q.Set(query[i], query[i+1])
	}
	return decode[jobs.Page](c.t, c.must(http.StatusOK, http.MethodGet, "/v1/jobs?"+q.Encode(), nil).body)
}

func testList(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	var want []string
	for i := range 25 {
		a := c.submit(jobs.Submission{Type: fmt.Sprint("t", i%2), Metadata: map[string]string{"mod.3": fmt.Sprint(i % 3), "all": "ä"}})
		want = append([]string{a.ID}, want...)
	}
	l := c.leaseOne()
	c.complete(l, "1")
	var got []string
	cursor := ""
	for pages := 0; ; pages++ {
		page := c.list("limit", "10", "cursor", cursor)
		for _, j := range page.Jobs {
			got = append(got, j.ID)
			if len(j.Attempts) > 0 || j.Result != nil {
				t.Errorf("a list has attempts or results: %+v", j)
			}
		}
		if cursor = page.Cursor; cursor == "" || pages > 5 {
			break
		}
		// What comes meanwhile is newer, and on no further page.
		c.submit(jobs.Submission{Delay: "1h"})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	for _, f := range []struct {
		want  int
		query []string
	}{
		{12, []string{"type", "t1"}}, {1, []string{"status", "succeeded"}}, {24, []string{"status", "queued"}}, {9, []string{"metadata.mod.3", "0"}},
		{4, []string{"metadata.mod.3", "0", "type", "t1"}}, {25, []string{"metadata.all", "ä"}}, {0, []string{"metadata.none", ""}}, {0, []string{"type", "t"}},
		{0, []string{"metadata.mod.3", "0", "metadata.all", "a"}}, {2, []string{"status", "scheduled"}}, {0, []string{"type", "' OR 1=1 --"}},
	} {
		if got := len(c.list(append(f.query, "limit", "200")...).Jobs); got != f.want {
			t.Errorf("%v: %d jobs, want %d", f.query, got, f.want)
		}
	}
	for query, slug := range map[string]string{
		"status=lost": "invalid-request", "limit=0": "invalid-request", "limit=1000": "invalid-request", "limit=x": "invalid-request", "metadata.a%00=b": "invalid-request",
		"metadata.=b": "invalid-request", "metadata.a=b&metadata.a=c": "invalid-request", "page=2": "invalid-request", "status=queued&status=dead": "invalid-request",
		"cursor=%F0%9F%98%80": "invalid-cursor", "cursor=not-a-cursor": "invalid-cursor", "type=a%00": "invalid-request",
	} {
		if p := c.must(http.StatusBadRequest, http.MethodGet, "/v1/jobs?"+query, nil).problem(t); p.Slug() != slug {
			t.Errorf("%s is refused as %s: %s", query, p.Slug(), p.Detail)
		}
	}
}

func testPause(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	c.submit(jobs.Submission{})
	running := c.leaseOne()
	c.must(http.StatusNoContent, http.MethodPost, "/v1/queue:pause", nil)
	a := c.submit(jobs.Submission{})
	if got := c.leaseNow(1); len(got) != 0 {
		t.Errorf("leased %+v while paused", got)
	}
	eventually(t, "the counts to say so", func() bool { return c.stats().Paused })
	c.complete(running, "1")
	waiting := make(chan []jobs.Lease, 1)
	go func() { waiting <- c.lease(1) }()
	c.must(http.StatusNoContent, http.MethodPost, "/v1/queue:resume", nil)
	if got := <-waiting; len(got) != 1 || got[0].Job.ID != a.ID {
		t.Errorf("leased %+v", got)
	}
}

func testDelete(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	waits, runs := c.submit(jobs.Submission{Delay: "1h"}), c.submit(jobs.Submission{})
	l := c.leaseOne()
	if p := c.must(http.StatusConflict, http.MethodDelete, "/v1/jobs/"+runs.ID, nil).problem(t); p.Slug() != "wrong-status" {
		t.Errorf("refused as %s", p.Slug())
	}
	c.complete(l, "1")
	for _, id := range []string{waits.ID, runs.ID} {
		c.must(http.StatusNoContent, http.MethodDelete, "/v1/jobs/"+id, nil)
		for _, method := range []string{http.MethodGet, http.MethodDelete} {
			if p := c.must(http.StatusNotFound, method, "/v1/jobs/"+id, nil).problem(t); p.Slug() != "no-such-job" {
				t.Errorf("refused as %s", p.Slug())
			}
		}
	}
	if got := c.list(); len(got.Jobs) != 0 {
		t.Errorf("listed %+v", got)
	}
}
