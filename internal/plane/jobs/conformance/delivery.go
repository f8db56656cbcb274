package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

var deliveryTests = []test{
	{"SubmitLeaseComplete", testRoundTrip},
	{"BytesAreBytes", testBytes},
	{"EveryJobEndsOnce", testEveryJobEndsOnce},
	{"Idempotency", testIdempotency},
	{"IdempotencyTogether", testIdempotencyTogether},
	{"Batch", testBatch},
	{"Priorities", testPriorities},
	{"OrderPerKey", testOrderPerKey},
	{"Types", testTypes},
	{"DelayedJobsWait", testDelayed},
	{"RateOfStarts", testRate},
}

func testRoundTrip(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	a := c.submit(jobs.Submission{Type: "report", Payload: json.RawMessage(`{"n": [1, "x"]}`), Metadata: map[string]string{"team": "a"}, OrderingKey: "k", Priority: "high"})
	if a.Status != jobs.StatusQueued || a.Existing {
		t.Errorf("accepted as %+v", a)
	}
	waiting := c.get(a.ID)
	if waiting.Type != "report" || waiting.Priority != "high" || waiting.OrderingKey != "k" || waiting.Metadata["team"] != "a" || waiting.MaxAttempts != MaxAttempts ||
		waiting.AcceptedAt.IsZero() || waiting.Attempt != 0 || waiting.Timeout != Timeout.String() {
		t.Errorf("the job that waits is %+v", waiting)
	}
	l := c.leaseOne()
	if l.Job.ID != a.ID || string(l.Payload) != `{"n":[1,"x"]}` || l.ContentType != "application/json" || l.Token < 1 || l.Job.Attempt != 1 || l.HeartbeatEvery == "" ||
		!l.ExpiresAt.After(l.Job.AcceptedAt) || l.DeadlineAt.Sub(*l.Job.StartedAt) != Timeout {
		t.Errorf("leased %+v", l)
	}
	if running := c.get(a.ID); running.Status != jobs.StatusRunning || len(running.Attempts) != 1 || running.Attempts[0].Worker != "w" || running.Revision <= waiting.Revision {
		t.Errorf("the job that runs is %+v", running)
	}
	done := c.complete(l, `{"ok": true}`)
	if done.Status != jobs.StatusSucceeded || done.FinishedAt == nil {
		t.Errorf("completed as %+v", done)
	}
	kept := c.get(a.ID)
	if kept.Result == nil || string(kept.Result.Value) != `{"ok":true}` || kept.Attempts[0].Outcome != jobs.OutcomeSucceeded || kept.Attempts[0].EndedAt == nil {
		t.Errorf("kept as %+v", kept)
	}
	if left := c.leaseNow(1); len(left) != 0 {
		t.Errorf("leased %d jobs of none", len(left))
	}
}

func testBytes(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	data := []byte{0, 1, 0xff, 0xfe, '\n'}
	a := c.submit(jobs.Submission{PayloadBase64: data, ContentType: "image/png"})
	l := c.leaseOne()
	if l.ContentType != "image/png" || !slices.Equal(l.PayloadBase64, data) || l.Payload != nil {
		t.Errorf("leased %+v", l)
	}
	c.must(http.StatusOK, http.MethodPost, path(a.ID, "complete"), encode(jobs.CompleteRequest{Token: l.Token, Base64: data, ContentType: "image/gif"}))
	if r := c.get(a.ID).Result; r == nil || r.ContentType != "image/gif" || !slices.Equal(r.Base64, data) || r.Bytes != int64(len(data)) {
		t.Errorf("the result is %+v", r)
	}
	// Neither payload nor content type: null.
	c.submit(jobs.Submission{})
	if l := c.leaseOne(); string(l.Payload) != "null" {
		t.Errorf("leased %+v", l)
	}
}

// testEveryJobEndsOnce has several workers share many jobs.
func testEveryJobEndsOnce(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	const n = 200
	ids := c.submitN(n, jobs.Submission{})
	var mu sync.Mutex
	runs := map[string]int{}
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for {
				leases := c.leaseFor(7, "100ms")
				if len(leases) == 0 {
					return
				}
				for _, l := range leases {
					c.complete(l, "1")
					mu.Lock()
					runs[l.Job.ID]++
					mu.Unlock()
				}
			}
		})
	}
	workers.Wait()
	want := map[string]int{}
	for _, id := range ids {
		want[id] = 1
	}
	if diff := cmp.Diff(want, runs); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
	eventually(t, "the counts to say so", func() bool {
		s := c.stats()
		return s.Depth[jobs.StatusSucceeded] == n && s.Backlog == 0
	})
}

func testIdempotency(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	s := jobs.Submission{Type: "a", Payload: json.RawMessage(`{"a":1}`), Delay: "1h"}
	first := c.submit(s, "Idempotency-Key", "key")
	s.Payload = json.RawMessage(`{ "a" : 1 }`)
	again := c.must(http.StatusAccepted, http.MethodPost, "/v1/jobs", []byte(`{"delay":"1h","payload":{ "a" : 1 },"type":"a"}`), "Idempotency-Key", "key")
	if got := decode[jobs.Accepted](t, again.body); got.ID != first.ID || !got.Existing || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("again: %+v, replayed %q", got, again.header.Get("Idempotent-Replayed"))
	}
	s.Payload = json.RawMessage(`2`)
	if p := c.must(http.StatusUnprocessableEntity, http.MethodPost, "/v1/jobs", encode(s), "Idempotency-Key", "key").problem(t); p.Slug() != "idempotency-key-reused" {
		t.Errorf("refused as %s", p.Slug())
	}
	// It is the same job once it is at its end, too.
	c.must(http.StatusOK, http.MethodPost, path(first.ID, "cancel"), nil)
	s.Payload, s.IdempotencyKey = json.RawMessage(`{"a":1}`), "key"
	if got := c.submit(s); got.ID != first.ID || got.Status != jobs.StatusCancelled {
		t.Errorf("after its end: %+v", got)
	}
}

// testIdempotencyTogether submits the same job many times at once.
func testIdempotencyTogether(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	ids := make([]string, 20)
	var submits sync.WaitGroup
	for i := range ids {
		submits.Go(func() { ids[i] = c.submit(jobs.Submission{Type: "x"}, "Idempotency-Key", "same").ID })
	}
	submits.Wait()
	if got := slices.Compact(ids); len(got) != 1 {
		t.Errorf("%d jobs were made", len(got))
	}
	if l := c.leaseNow(100); len(l) != 1 {
		t.Errorf("%d jobs were leased", len(l))
	}
}

func testBatch(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	batch := jobs.Batch{Jobs: []jobs.Submission{
		{Type: "a"}, {Priority: "urgent"}, {Type: "b", IdempotencyKey: "k"}, {Type: "b", IdempotencyKey: "k"},
		{Payload: json.RawMessage(`"` + strings.Repeat("x", PayloadBytes) + `"`)}, {Type: "c", IdempotencyKey: "k"},
	}}
	r := c.must(http.StatusMultiStatus, http.MethodPost, "/v1/jobs:batch", encode(batch))
	results := decode[jobs.BatchReply](t, r.body).Results
	var got []string
	for _, one := range results {
		if one.Problem != nil {
			got = append(got, fmt.Sprint(one.Problem.Status, one.ID))
			continue
		}
		got = append(got, fmt.Sprint(one.Status, " ", one.Existing))
	}
	if diff := cmp.Diff([]string{"queued false", "400", "queued false", "queued true", "413", "422"}, got); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	if !strings.Contains(results[1].Problem.Detail, "high, low, normal") {
		t.Errorf("the problem does not name the priorities: %s", results[1].Problem.Detail)
	}
	if results[2].ID != results[3].ID {
		t.Error("one key made two jobs")
	}
	for _, body := range []string{`{"jobs":[]}`, `{}`, `[]`, `{"jobs":[` + strings.Repeat(`{},`, 1000) + `{}]}`} {
		c.must(http.StatusBadRequest, http.MethodPost, "/v1/jobs:batch", []byte(body)).problem(t)
	}
	var order []string
	for _, l := range c.lease(10) {
		order = append(order, l.Job.Type)
	}
	if diff := cmp.Diff([]string{"a", "b"}, order); diff != "" {
		t.Errorf("leased (-want +got):\n%s", diff)
	}
}

// testPriorities has all of them wait, and looks at the shares: the low one is not starved.
func testPriorities(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	for _, p := range []string{"low", "normal", "high"} {
		c.submitN(120, jobs.Submission{Priority: p})
	}
	got := map[string]int{}
	for range 12 {
		for _, l := range c.leaseNow(10) {
			got[l.Job.Priority]++
		}
	}
	// Of 120, by the weights 8, 3 and 1.
	for p, want := range map[string]int{"high": 80, "normal": 30, "low": 10} {
		if got[p] < want*7/10 || got[p] > want*13/10 {
			t.Errorf("%d jobs of priority %s were leased, want about %d: %v", got[p], p, want, got)
		}
	}
}

// testOrderPerKey has several workers, of which each fails some jobs, work on several keys.
func testOrderPerKey(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	const each = 12
	keys := []string{"a", "b", "c"}
	for i := range each {
		for _, k := range keys {
			c.submit(jobs.Submission{OrderingKey: k, Payload: fmt.Appendf(nil, "%d", i)})
		}
	}
	var mu sync.Mutex
	running, ended := map[string]bool{}, map[string][]string{}
	var workers sync.WaitGroup
	left := each * len(keys)
	for w := range 4 {
		workers.Go(func() {
			for {
				mu.Lock()
				done := left == 0
				mu.Unlock()
				if done {
					return
				}
				for _, l := range c.leaseFor(2, "100ms") {
					k := l.Job.OrderingKey
					mu.Lock()
					if running[k] {
						t.Errorf("two jobs of key %s run at once", k)
					}
					running[k] = true
					fails := l.Job.Attempt == 1 && w == 0
					running[k] = false
					if !fails {
						ended[k] = append(ended[k], string(l.Payload))
						left--
					}
					mu.Unlock()
					if fails {
						c.fail(l, jobs.FailRequest{})
						continue
					}
					c.complete(l, "1")
				}
			}
		})
	}
	workers.Wait()
	var want []string
	for i := range each {
		want = append(want, fmt.Sprint(i))
	}
	for _, k := range keys {
		if diff := cmp.Diff(want, ended[k]); diff != "" {
			t.Errorf("key %s ended (-want +got):\n%s", k, diff)
		}
	}
}

func testTypes(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	c.submit(jobs.Submission{Type: "a"})
	if got := c.leaseFor(5, "", "b", "c"); len(got) != 0 {
		t.Errorf("leased %+v", got)
	}
	waiting := make(chan []jobs.Lease, 1)
	go func() { waiting <- c.lease(5, "b", "c") }()
	c.submit(jobs.Submission{Type: "c"})
	if got := <-waiting; len(got) != 1 || got[0].Job.Type != "c" {
		t.Errorf("leased %+v", got)
	}
	if got := c.leaseNow(5); len(got) != 1 || got[0].Job.Type != "a" {
		t.Errorf("leased %+v", got)
	}
}

func testDelayed(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	began := time.Now()
	a := c.submit(jobs.Submission{Type: "later", Delay: "400ms"})
	if a.Status != jobs.StatusScheduled {
		t.Errorf("accepted as %+v", a)
	}
	c.submit(jobs.Submission{Type: "now"})
	first, second := c.leaseOne(), c.leaseOne()
	if first.Job.ID == a.ID {
		// The machine was slow enough for it to be due: that it was is seen below.
		first, second = second, first
	}
	if first.Job.Type != "now" || second.Job.ID != a.ID || second.Job.StartedAt.Sub(began) < 400*time.Millisecond {
		t.Errorf("leased %+v and %+v", first, second)
	}
	far := c.submit(jobs.Submission{Delay: "8000h"})
	c.must(http.StatusOK, http.MethodPost, path(far.ID, "retry"), nil)
	if l := c.leaseOne(); l.Job.ID != far.ID {
		t.Errorf("leased %+v", l)
	}
}

func testRate(t *testing.T, start Factory) {
	c := start(t, Options{Configure: jobsSection(func(j *planeconfig.Jobs) { j.Rate = &planeconfig.JobRate{PerSecond: 10, Burst: 2} })}).client(t)
	c.submitN(6, jobs.Submission{})
	var starts []jobs.Job
	for len(starts) < 6 {
		for _, l := range c.lease(6) {
			starts = append(starts, l.Job)
		}
	}
	if took := starts[5].StartedAt.Sub(*starts[0].StartedAt); took.Milliseconds() < 350 {
		t.Errorf("six starts took %s; with two at once and ten each second they take 400 ms", took)
	}
}
