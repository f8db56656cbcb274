package conformance

import (
	"net/http"
	"testing"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

var attemptTests = []test{
	{"Fenced", testFenced},
}

func testFenced(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	a := c.submit(jobs.Submission{})
	l := c.leaseOne()
	c.must(http.StatusNoContent, http.MethodPost, path(a.ID, "release"), encode(jobs.ReleaseRequest{Token: l.Token}))
	next := c.leaseOne()
	if next.Token <= l.Token || next.Job.Attempt != 1 {
		t.Errorf("after a release: token %d after %d, attempt %d", next.Token, l.Token, next.Job.Attempt)
	}
	for _, verb := range []string{"complete", "heartbeat", "fail"} {
		body := map[string]any{"token": l.Token}
		if verb == "fail" {
			body["error"] = "x"
		}
		if p := c.must(http.StatusConflict, http.MethodPost, path(a.ID, verb), encode(body)).problem(t); p.Slug() != "lease-lost" {
			t.Errorf("%s is refused as %s", verb, p.Slug())
		}
	}
	first := c.complete(next, "1")
	if again := c.complete(next, "2"); again.Revision != first.Revision || again.Status != jobs.StatusSucceeded {
		t.Errorf("completed again as %+v, at first %+v", again, first)
	}
	if got := c.get(a.ID); string(got.Result.Value) != "1" {
		t.Errorf("the result is %s", got.Result.Value)
	}
}
