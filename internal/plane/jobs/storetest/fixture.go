package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// Epoch is when tests begin, in whole milliseconds as engines keep no less.
var Epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// retryIn is when a failed job of these tests is tried again.
const retryIn = 10 * time.Second

// Settings of a queue with two priorities, without bounds that a test would meet.
func Settings() plane.Settings {
	return plane.Settings{
		LeaseTTL: 30 * time.Second, Weights: map[string]int{"high": 4, "low": 1}, Waiting: 1_000_000,
		DeadRetention: time.Hour, ResultTTL: 30 * time.Minute, Decide: Decide,
	}
}

// Decide retries in 10 s until the attempts are used up.
func Decide(j jobs.Job, f plane.Failure, now time.Time) plane.Verdict {
	switch {
	case j.CancelRequested || f.Outcome == jobs.OutcomeCancelled:
		return plane.Verdict{Status: jobs.StatusCancelled}
	case f.Permanent || j.Attempt >= j.MaxAttempts:
		return plane.Verdict{Status: jobs.StatusDead}
	}
	return plane.Verdict{Status: jobs.StatusRetrying, RetryAt: now.Add(retryIn)}
}

// NewJob is a submission with a new id.
func NewJob(change ...func(*plane.NewJob)) plane.NewJob {
	n := plane.NewJob{
		ID: uuid.Must(uuid.NewV7()).String(), Priority: "low", Timeout: time.Minute, MaxAttempts: 2,
		Payload: plane.Body{ContentType: "application/json", Data: []byte(`{"n":1}`)},
	}
	for _, f := range change {
		f(&n)
	}
	return n
}

func keyed(key string) func(*plane.NewJob)     { return func(n *plane.NewJob) { n.OrderingKey = key } }
func typed(name string) func(*plane.NewJob)    { return func(n *plane.NewJob) { n.Type = name } }
func priority(name string) func(*plane.NewJob) { return func(n *plane.NewJob) { n.Priority = name } }
func at(when time.Time) func(*plane.NewJob)    { return func(n *plane.NewJob) { n.RunAt = when } }

func labelled(key, value string) func(*plane.NewJob) {
	return func(n *plane.NewJob) { n.Metadata = map[string]string{key: value} }
}

func idempotent(key, content string) func(*plane.NewJob) {
	return func(n *plane.NewJob) { n.IdempotencyKey, n.Digest = key, []byte(content) }
}

// queue is a store with what tests do all the time; what fails ends the test.
type queue struct {
	flat
	t   testing.TB
	ctx context.Context
}

func with(t testing.TB, s plane.Store) queue { return queue{flat{s}, t, contextOf(t)} }

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// submit accepts jobs and returns their ids.
func (q queue) submit(now time.Time, batch ...plane.NewJob) []string {
	q.t.Helper()
	var out []string
	for i, r := range must[[]plane.SubmitResult](q.t)(q.Submit(q.ctx, now, batch)) {
		if r.Err != nil {
			q.t.Fatalf("job %d of the batch: %v", i, r.Err)
		}
		out = append(out, r.ID)
	}
	return out
}

func (q queue) lease(now time.Time, most int, types ...string) []plane.Leased {
	q.t.Helper()
	return must[[]plane.Leased](q.t)(q.Lease(q.ctx, now, plane.LeaseQuery{Worker: "w", Max: most, Types: types}))
}

// leaseOne is the one job that there is to lease.
func (q queue) leaseOne(now time.Time) plane.Leased {
	q.t.Helper()
	got := q.lease(now, 2)
	if len(got) != 1 {
		q.t.Fatalf("leased %d jobs, want one", len(got))
	}
	return got[0]
}

func (q queue) none(now time.Time) {
	q.t.Helper()
	if got := q.lease(now, 10); len(got) > 0 {
		q.t.Fatalf("leased %v, want none", idsOf(got))
	}
}

func (q queue) complete(now time.Time, l plane.Leased) jobs.Job {
	q.t.Helper()
	return must[jobs.Job](q.t)(q.Complete(q.ctx, now, claim(l), plane.Body{ContentType: "application/json", Data: []byte("1")}))
}

func (q queue) fail(now time.Time, l plane.Leased, f plane.Failure) jobs.Job {
	q.t.Helper()
	if f.Outcome == "" {
		f.Outcome = jobs.OutcomeFailed
	}
	return must[jobs.Job](q.t)(q.Fail(q.ctx, now, claim(l), f))
}

func (q queue) get(id string) jobs.Job {
	q.t.Helper()
	return must[jobs.Job](q.t)(q.Get(q.ctx, id))
}

func (q queue) stands(id string, want jobs.Status) jobs.Job {
	q.t.Helper()
	j := q.get(id)
	if j.Status != want {
		q.t.Fatalf("job is %s, want %s: %+v", j.Status, want, j)
	}
	return j
}

// sweep until nothing is left to do by now.
func (q queue) sweep(now time.Time) {
	q.t.Helper()
	for range 1000 {
		if must[time.Time](q.t)(q.Sweep(q.ctx, now)).After(now) {
			return
		}
	}
	q.t.Fatal("sweeps come to no end")
}

func (q queue) is(err, want error) {
	q.t.Helper()
	if !errors.Is(err, want) {
		q.t.Fatalf("got %v, want %v", err, want)
	}
}

func claim(l plane.Leased) plane.Claim { return plane.Claim{ID: l.Job.ID, Token: l.Token} }

func idsOf(leased []plane.Leased) []string {
	out := []string{}
	for _, l := range leased {
		out = append(out, l.Job.ID)
	}
	return out
}

func sorted(ids []string) []string {
	out := slices.Clone(ids)
	slices.Sort(out)
	return out
}

func same(t testing.TB, got, want any, options ...cmp.Option) {
	t.Helper()
	if diff := cmp.Diff(want, got, options...); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
}

func batchOf(n int, change ...func(*plane.NewJob)) []plane.NewJob {
	out := make([]plane.NewJob, n)
	for i := range out {
		out[i] = NewJob(change...)
	}
	return out
}

func named(n int) string { return fmt.Sprintf("n%03d", n) }
