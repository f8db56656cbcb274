package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

var attemptTests = []test{
	{"FencedWorkersCanNotEndAJob", testFenced},
	{"LostLeasesComeBack", testLostLease},
	{"HeartbeatsKeepALease", testHeartbeats},
	{"AttemptsTimeOut", testTimeout},
	{"RetriesWithBackoffThenDead", testRetries},
	{"PermanentFailuresAreDead", testPermanent},
	{"RetryOnNamesReasons", testRetryOn},
	{"RetryAfterIsKept", testRetryAfter},
	{"CancelWaitingAndRunning", testCancel},
	{"RetryAndRedrive", testRedrive},
	{"CompletionsTogether", testCompletionsTogether},
	{"CompletionsOfABatch", testCompleteBatch},
	{"LargeBatchesOfCompletions", testLargeCompleteBatch},
}

// short has leases that end soon when nobody keeps them.
func short(c *planeconfig.Config) { c.Jobs.LeaseTTL = planeconfig.Duration(time.Second) }

func (c *client) refused(want int, slug string, l jobs.Lease, verb string) {
	c.t.Helper()
	body := map[string]any{"token": l.Token}
	if verb == "fail" {
		body["error"] = "x"
	}
	if p := c.must(want, http.MethodPost, path(l.Job.ID, verb), encode(body)).problem(c.t); p.Slug() != slug {
		c.t.Errorf("%s is refused as %s, want %s", verb, p.Slug(), slug)
	}
}

var ends = []string{"complete", "heartbeat", "fail", "release"}

func testFenced(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	a := c.submit(jobs.Submission{})
	l := c.leaseOne()
	c.must(http.StatusNoContent, http.MethodPost, path(a.ID, "release"), encode(jobs.ReleaseRequest{Token: l.Token}))
	next := c.leaseOne()
	if next.Token <= l.Token || next.Job.Attempt != 1 {
		t.Errorf("after a release: token %d after %d, attempt %d", next.Token, l.Token, next.Job.Attempt)
	}
	for _, verb := range ends[:3] {
		c.refused(http.StatusConflict, "lease-lost", l, verb)
	}
	first := c.complete(next, "1")
	if again := c.complete(next, "2"); again.Revision != first.Revision || again.Status != jobs.StatusSucceeded {
		t.Errorf("completed again as %+v, at first %+v", again, first)
	}
	c.refused(http.StatusConflict, "lease-lost", next, "fail")
	c.refused(http.StatusConflict, "lease-lost", next, "heartbeat")
	if got := c.get(a.ID); string(got.Result.Value) != "1" {
		t.Errorf("the result is %s", got.Result.Value)
	}
	for _, verb := range ends {
		c.refused(http.StatusNotFound, "no-such-job", jobs.Lease{Job: jobs.Job{ID: "0198a9e4-0000-7000-8000-000000000000"}, Token: 1}, verb)
	}
}

func testLostLease(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	c.submit(jobs.Submission{})
	lost := c.leaseOne()
	next := c.leaseOne()
	if next.Job.ID != lost.Job.ID || next.Job.Attempt != 2 || next.Token <= lost.Token {
		t.Errorf("leased %+v after %+v", next, lost)
	}
	if next.Job.StartedAt.Before(lost.ExpiresAt) {
		t.Errorf("leased at %s, and the lease before ended at %s", next.Job.StartedAt, lost.ExpiresAt)
	}
	for _, verb := range ends {
		c.refused(http.StatusConflict, "lease-lost", lost, verb)
	}
	c.complete(next, "1")
	if got := c.get(next.Job.ID); got.Attempts[0].Outcome != jobs.OutcomeLost || got.Attempts[1].Outcome != jobs.OutcomeSucceeded {
		t.Errorf("the attempts are %+v", got.Attempts)
	}
}

func testHeartbeats(t *testing.T, start Factory) {
	for began := time.Now(); !keeps(start(t, Options{Configure: short}).client(t)); {
		if time.Since(began) > patience {
			t.Fatal("this machine is too slow for leases of a second")
		}
	}
}

// keeps has a job be kept by heartbeats for longer than a lease is. It returns false where the machine held one up for as
// long as that, which says nothing.
func keeps(c *client) bool {
	c.t.Helper()
	a := c.submit(jobs.Submission{})
	kept := time.Now()
	l := c.leaseOne()
	began := time.Now()
	for i := 0; time.Since(began) < 2500*time.Millisecond; i++ {
		sent := time.Now()
		p := &jobs.Progress{Percent: float64(i % 100), Message: "step\x00 " + fmt.Sprint(i)}
		r := c.must2(http.StatusOK, http.StatusConflict, path(a.ID, "heartbeat"), encode(jobs.HeartbeatRequest{Token: l.Token, Progress: p}))
		late := time.Since(kept) >= time.Second
		if r.status == http.StatusConflict && late {
			return false
		}
		h := decode[jobs.HeartbeatReply](c.t, r.body)
		if r.status != http.StatusOK || h.Cancelled || !h.ExpiresAt.After(sent) {
			c.t.Fatalf("the heartbeat is answered %d %+v", r.status, h)
		}
		kept = sent
		// Waits as long as a lease is, at most, and no job comes.
		if got := c.leaseFor(1, "200ms"); len(got) != 0 {
			if time.Since(kept) >= time.Second {
				return false
			}
			c.t.Fatalf("a job that is kept was leased again after %s", time.Since(began))
		}
	}
	got := c.get(a.ID)
	r := c.must2(http.StatusOK, http.StatusConflict, path(a.ID, "complete"), encode(jobs.CompleteRequest{Token: l.Token, Value: json.RawMessage("1")}))
	if r.status == http.StatusConflict && time.Since(kept) >= time.Second {
		return false
	}
	if r.status != http.StatusOK || got.Progress == nil || !strings.HasPrefix(got.Progress.Message, "step ") || got.Progress.At.IsZero() || got.Attempt != 1 {
		c.t.Errorf("it is completed with %d, and the job was %+v", r.status, got)
	}
	return true
}

func testTimeout(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	a := c.submit(jobs.Submission{Timeout: "1s", MaxAttempts: 1})
	l := c.leaseOne()
	for {
		r := c.must2(http.StatusOK, http.StatusConflict, path(a.ID, "heartbeat"), encode(jobs.HeartbeatRequest{Token: l.Token}))
		if r.status == http.StatusConflict {
			break
		}
	}
	got := c.awaitStatus(a.ID, jobs.StatusDead)
	if len(got.Attempts) != 1 || got.Attempts[0].Outcome != jobs.OutcomeTimeout || got.FinishedAt.Before(l.DeadlineAt) || got.Error == "" {
		t.Errorf("the job is %+v", got)
	}
}

// must2 allows for two statuses.
func (c *client) must2(one, two int, path string, body []byte) reply {
	c.t.Helper()
	ctx, cancel := soon(c.t.Context())
	defer cancel()
	r, err := c.do(ctx, http.MethodPost, path, body)
	if err != nil || r.status != one && r.status != two {
		c.t.Fatalf("%s: status %d, %v: %s", path, r.status, err, r.body)
	}
	return r
}

func testRetries(t *testing.T, start Factory) {
	c := start(t, Options{Configure: jobsSection(func(j *planeconfig.Jobs) {
		j.Retry.Initial, j.Retry.Multiplier, j.Retry.Jitter = planeconfig.Duration(200*time.Millisecond), 2, 0
	})}).client(t)
	a := c.submit(jobs.Submission{})
	var began []time.Time
	for i := 1; i <= MaxAttempts; i++ {
		l := c.leaseOne()
		began = append(began, *l.Job.StartedAt)
		if l.Job.Attempt != i {
			t.Errorf("attempt %d says that it is %d", i, l.Job.Attempt)
		}
		want := jobs.StatusRetrying
		if i == MaxAttempts {
			want = jobs.StatusDead
		}
		failed := c.fail(l, jobs.FailRequest{Error: fmt.Sprint("error ", i)})
		if failed.Status != want || want == jobs.StatusRetrying && failed.RunAt == nil {
			t.Errorf("after attempt %d: %+v", i, failed)
		}
		if again := c.fail(l, jobs.FailRequest{Error: "another"}); again.Status != want || again.Revision != failed.Revision {
			t.Errorf("failed again: %+v", again)
		}
	}
	for i, least := range []time.Duration{200 * time.Millisecond, 400 * time.Millisecond} {
		if wait := began[i+1].Sub(began[i]); wait < least {
			t.Errorf("attempt %d began %s after the one before, want %s at least", i+2, wait, least)
		}
	}
	got := c.get(a.ID)
	var errors []string
	for _, at := range got.Attempts {
		errors = append(errors, string(at.Outcome)+" "+at.Error)
	}
	if diff := cmp.Diff([]string{"failed error 1", "failed error 2", "failed error 3"}, errors); diff != "" || got.Error != "error 3" {
		t.Errorf("error %q, attempts (-want +got):\n%s", got.Error, diff)
	}
}

func testPermanent(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	a := c.submit(jobs.Submission{Type: "poison"})
	if got := c.fail(c.leaseOne(), jobs.FailRequest{Permanent: true}); got.Status != jobs.StatusDead || got.FinishedAt == nil {
		t.Errorf("failed as %+v", got)
	}
	page := decode[jobs.Page](t, c.must(http.StatusOK, http.MethodGet, "/v1/dead?type=poison", nil).body)
	if len(page.Jobs) != 1 || page.Jobs[0].ID != a.ID {
		t.Errorf("the dead are %+v", page)
	}
}

func testRetryOn(t *testing.T, start Factory) {
	c := start(t, Options{Configure: jobsSection(func(j *planeconfig.Jobs) { j.Retry.RetryOn = []string{"exit:1*", "http:503"} })}).client(t)
	for reason, want := range map[string]jobs.Status{"exit:137": jobs.StatusRetrying, "exit:2": jobs.StatusDead, "http:503": jobs.StatusRetrying, "http:400": jobs.StatusDead, "": jobs.StatusDead} {
		c.submit(jobs.Submission{Type: "t" + reason})
		if got := c.fail(c.leaseOne("t"+reason), jobs.FailRequest{Reason: reason}); got.Status != want {
			t.Errorf("failed for %q: %s, want %s", reason, got.Status, want)
		}
	}
}

func testRetryAfter(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	c.submit(jobs.Submission{})
	l := c.leaseOne()
	began := time.Now()
	c.fail(l, jobs.FailRequest{RetryAfter: "700ms"})
	if next := c.leaseOne(); next.Job.StartedAt.Sub(began) < 700*time.Millisecond {
		t.Errorf("the next attempt began after %s", next.Job.StartedAt.Sub(began))
	}
	c.must(http.StatusBadRequest, http.MethodPost, path(l.Job.ID, "fail"), []byte(`{"token":1,"error":"x","retryAfter":"soon"}`)).problem(t)
}

func testCancel(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	cancel := func(c *client, id string) jobs.Job {
		return decode[jobs.Job](t, c.must(http.StatusOK, http.MethodPost, path(id, "cancel"), nil).body)
	}
	waiting := c.submit(jobs.Submission{})
	if got := cancel(c, waiting.ID); got.Status != jobs.StatusCancelled || got.FinishedAt == nil {
		t.Errorf("a job that waits is %+v", got)
	}
	if p := c.must(http.StatusConflict, http.MethodPost, path(waiting.ID, "cancel"), nil).problem(t); p.Slug() != "wrong-status" {
		t.Errorf("again it is refused as %s", p.Slug())
	}
	// One whose worker listens.
	a := c.submit(jobs.Submission{})
	l := c.leaseOne()
	if l.Job.ID != a.ID {
		t.Fatalf("leased %s, want %s", l.Job.ID, a.ID)
	}
	if got := cancel(c, a.ID); got.Status != jobs.StatusRunning || !got.CancelRequested {
		t.Errorf("a job that runs is %+v", got)
	}
	if !c.heartbeat(l, nil).Cancelled {
		t.Error("the worker is not told")
	}
	if got := c.fail(l, jobs.FailRequest{Reason: "cancelled"}); got.Status != jobs.StatusCancelled {
		t.Errorf("it ended as %+v", got)
	}
	// One whose worker does not.
	c = start(t, Options{Configure: short}).client(t)
	b := c.submit(jobs.Submission{})
	c.leaseOne()
	cancel(c, b.ID)
	if got := c.awaitStatus(b.ID, jobs.StatusCancelled); got.Attempt != 1 {
		t.Errorf("it ended as %+v", got)
	}
	if got := c.leaseNow(5); len(got) != 0 {
		t.Errorf("leased %+v", got)
	}
}

func testRedrive(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	for i := range 6 {
		c.submit(jobs.Submission{Type: fmt.Sprint("t", i%2), Metadata: map[string]string{"n": fmt.Sprint(i)}})
		c.fail(c.leaseOne(), jobs.FailRequest{Permanent: true})
	}
	redrive := func(body string, want int) {
		t.Helper()
		r := c.must(http.StatusOK, http.MethodPost, "/v1/dead:redrive", []byte(body))
		if got := decode[jobs.RedriveReply](t, r.body).Redriven; got != want {
			t.Errorf("redriven by %s: %d, want %d", body, got, want)
		}
	}
	redrive(`{"metadata":{"n":"5"}}`, 1)
	l := c.leaseOne()
	if l.Job.Metadata["n"] != "5" || l.Job.Attempt != 1 {
		t.Errorf("leased %+v", l.Job)
	}
	c.complete(l, "1")
	// The oldest first, and spread.
	redrive(`{"type":"t0","max":2,"perSecond":5}`, 2)
	one, two := c.leaseOne(), c.leaseOne()
	if one.Job.Metadata["n"] != "0" || two.Job.Metadata["n"] != "2" || two.Job.StartedAt.Sub(*one.Job.StartedAt) < 100*time.Millisecond {
		t.Errorf("leased %s, then %s after %s", one.Job.Metadata, two.Job.Metadata, two.Job.StartedAt.Sub(*one.Job.StartedAt))
	}
	redrive(`{}`, 3)
	redrive(`{}`, 0)
	c.must(http.StatusBadRequest, http.MethodPost, "/v1/dead:redrive", []byte(`{"status":"queued"}`)).problem(t)
	// One by its id.
	third := c.leaseOne()
	c.fail(third, jobs.FailRequest{Permanent: true})
	again := decode[jobs.Job](t, c.must(http.StatusOK, http.MethodPost, path(third.Job.ID, "retry"), nil).body)
	if again.Status != jobs.StatusQueued || again.Attempt != 0 {
		t.Errorf("retried as %+v", again)
	}
	c.must(http.StatusConflict, http.MethodPost, path(one.Job.ID, "retry"), nil).problem(t)
}

// testCompletionsTogether completes one attempt from many sides at once: one result is recorded.
func testCompletionsTogether(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	a := c.submit(jobs.Submission{})
	l := c.leaseOne()
	revisions := make([]int64, 16)
	var all sync.WaitGroup
	for i := range revisions {
		all.Go(func() { revisions[i] = c.complete(l, fmt.Sprint(i)).Revision })
	}
	all.Wait()
	got := c.get(a.ID)
	for _, r := range revisions {
		if r != got.Revision {
			t.Errorf("a completion was answered with revision %d, and it is %d", r, got.Revision)
		}
	}
}
