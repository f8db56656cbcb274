package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// long has leases that no slow machine lets run out.
func long(c *planeconfig.Config) { c.Jobs.LeaseTTL = planeconfig.Duration(patience) }

// completeAll completes a batch, and returns what each of it came to: a status, or that of its problem and its kind.
func (c *client) completeAll(want int, batch ...jobs.Completion) (got []string) {
	c.t.Helper()
	r := c.must(want, http.MethodPost, "/v1/jobs:complete", encode(jobs.CompleteBatch{Jobs: batch}))
	results := decode[jobs.CompleteBatchReply](c.t, r.body).Results
	if len(results) != len(batch) {
		c.t.Fatalf("%d completions are answered with %d results", len(batch), len(results))
	}
	for i, one := range results {
		if one.ID != "" && one.ID != batch[i].ID {
			c.t.Errorf("result %d is of %s, want %s", i, one.ID, batch[i].ID)
		}
		if one.Problem != nil {
			got = append(got, fmt.Sprint(one.Problem.Status, " ", contracttest.Problem{Type: one.Problem.Type}.Slug()))
			continue
		}
		got = append(got, string(one.Status))
	}
	return got
}

func completion(l jobs.Lease, value string) jobs.Completion {
	return jobs.Completion{ID: l.Job.ID, CompleteRequest: jobs.CompleteRequest{Token: l.Token, Value: json.RawMessage(value)}}
}

// testCompleteBatch has among those that are completed one of each kind that is refused, and none holds up another.
func testCompleteBatch(t *testing.T, start Factory) {
	c := start(t, Options{Configure: long}).client(t)
	c.submitN(7, jobs.Submission{})
	leases := c.lease(7)
	if len(leases) != 7 {
		t.Fatalf("leased %d", len(leases))
	}
	plain, bytes, twice, fenced, large, failed, both := leases[0], leases[1], leases[2], leases[3], leases[4], leases[5], leases[6]
	c.must(http.StatusNoContent, http.MethodPost, path(fenced.Job.ID, "release"), encode(jobs.ReleaseRequest{Token: fenced.Token}))
	c.fail(failed, jobs.FailRequest{Permanent: true})
	batch := []jobs.Completion{
		completion(plain, `{"n": 1}`),
		{ID: bytes.Job.ID, CompleteRequest: jobs.CompleteRequest{Token: bytes.Token, Base64: []byte{0xff}, ContentType: "image/gif"}},
		completion(twice, "1"), completion(twice, "2"), completion(fenced, "1"),
		completion(large, `"`+strings.Repeat("x", ResultBytes)+`"`), completion(failed, "1"),
		{ID: both.Job.ID, CompleteRequest: jobs.CompleteRequest{Token: both.Token, Value: []byte("1"), Base64: []byte{1}}},
		{ID: "0198a9e4-0000-7000-8000-000000000000", CompleteRequest: jobs.CompleteRequest{Token: 1}},
		{ID: "not-an-id"},
	}
	want := []string{"succeeded", "succeeded", "succeeded", "succeeded", "409 lease-lost", "413 result-too-large", "409 lease-lost", "400 invalid-request",
		"404 no-such-job", "400 invalid-id"}
	for _, which := range []string{"at first", "again"} {
		if diff := cmp.Diff(want, c.completeAll(http.StatusMultiStatus, batch...)); diff != "" {
			t.Errorf("%s, the results are (-want +got):\n%s", which, diff)
		}
	}
	if r := c.get(plain.Job.ID).Result; r == nil || string(r.Value) != `{"n":1}` {
		t.Errorf("the result is %+v", r)
	}
	if r := c.get(bytes.Job.ID).Result; r == nil || r.ContentType != "image/gif" || len(r.Base64) != 1 {
		t.Errorf("the result of bytes is %+v", r)
	}
	if r := c.get(twice.Job.ID).Result; r == nil || string(r.Value) != "1" {
		t.Errorf("of a job that is in the batch twice, the result is %+v", r)
	}
	// Those that were refused for what was sent have their leases still.
	if diff := cmp.Diff([]string{"succeeded", "succeeded"}, c.completeAll(http.StatusOK, completion(large, "1"), completion(both, "1"))); diff != "" {
		t.Errorf("at last, the results are (-want +got):\n%s", diff)
	}
	// By itself, one that was completed in a batch is answered the same.
	if got := c.complete(plain, "2"); got.Status != jobs.StatusSucceeded || got.Revision != c.get(plain.Job.ID).Revision {
		t.Errorf("completed again as %+v", got)
	}
}

// testLargeCompleteBatch completes as many as go in a batch, and not one more.
func testLargeCompleteBatch(t *testing.T, start Factory) {
	c := start(t, Options{Configure: long}).client(t)
	const most = 1000
	c.submitN(most, jobs.Submission{})
	var batch []jobs.Completion
	for len(batch) < most {
		for _, l := range c.lease(100) {
			batch = append(batch, completion(l, "1"))
		}
	}
	c.must(http.StatusBadRequest, http.MethodPost, "/v1/jobs:complete", encode(jobs.CompleteBatch{Jobs: append(batch, batch[0])})).problem(t)
	if got := c.stats().Depth[jobs.StatusSucceeded]; got != 0 {
		t.Errorf("%d jobs of a batch that was refused are completed", got)
	}
	for i, got := range c.completeAll(http.StatusOK, batch...) {
		if got != "succeeded" {
			t.Fatalf("job %d is %s", i, got)
		}
	}
	eventually(t, "the counts to say so", func() bool { return c.stats().Depth[jobs.StatusSucceeded] == most })
}
