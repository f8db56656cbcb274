package postgres_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/internal/plane/jobs/postgres"
	"github.com/trellis-dev/trellis/internal/plane/jobs/storetest"
	pub "github.com/trellis-dev/trellis/pkg/jobs"
)

const (
	deep = 100_000
	// slower is how many times as long a lease may take at that depth as at a depth of 100. An index is two steps higher
	// there; a statement that reads the backlog takes a hundred times as long and more.
	slower = 10
)

// deepQueue is a store and what was submitted to it, in the order of acceptance.
type deepQueue struct {
	*testing.T
	*postgres.Store
	accepted []jobs.NewJob
}

// With 100,000 jobs that wait, a queue lists, counts, leases by priority and redrives, and a lease takes hardly longer.
func TestHundredThousand(t *testing.T) {
	t.Parallel()
	uri, _ := enginetest.Postgres(t)
	q := &deepQueue{T: t, Store: run(t, uri, "q", storetest.Settings())}
	q.fill(100)
	shallow := q.leaseTime()
	q.fill(deep - 100)
	if took := q.leaseTime(); took > slower*shallow {
		t.Errorf("a lease takes %s with %d jobs and %s with 100", took, deep, shallow)
	}
	q.counts(map[pub.Status]int64{pub.StatusQueued: deep})
	q.lists(pub.Filter{}, 1000, func(jobs.NewJob) bool { return true })
	q.lists(pub.Filter{Type: "b"}, 200, func(j jobs.NewJob) bool { return j.Type == "b" })
	q.lists(pub.Filter{Metadata: map[string]string{"tenth": "yes"}, Type: "a"}, 200, func(j jobs.NewJob) bool { return len(j.Metadata) > 0 })

	leased := q.inOrder(500)
	for _, l := range leased[:300] {
		if _, err := q.Fail(t.Context(), storetest.Epoch, claimOf(l), jobs.Failure{Outcome: pub.OutcomeFailed, Permanent: true}); err != nil {
			t.Fatal(err)
		}
	}
	q.counts(map[pub.Status]int64{pub.StatusQueued: deep - 500, pub.StatusRunning: 200, pub.StatusDead: 300})
	if n, err := q.Redrive(t.Context(), storetest.Epoch, pub.RedriveRequest{}); n != 300 || err != nil {
		t.Errorf("redrove %d jobs (%v), want 300", n, err)
	}
	q.counts(map[pub.Status]int64{pub.StatusQueued: deep - 200, pub.StatusRunning: 200})
}

// fill submits jobs, each fourth with high priority, and half of them of each of two types.
func (q *deepQueue) fill(n int) {
	for n > 0 {
		batch := make([]jobs.NewJob, min(n, 1000))
		n -= len(batch)
		for i := range batch {
			at := len(q.accepted) + i
			batch[i] = storetest.NewJob(func(j *jobs.NewJob) {
				j.Type, j.Priority = []string{"a", "b"}[at%2], []string{"high", "low", "low", "low"}[at%4]
				if at%10 == 0 {
					j.Metadata = map[string]string{"tenth": "yes"}
				}
			})
		}
		results, err := q.Submit(q.Context(), storetest.Epoch, batch)
		if err != nil {
			q.Fatal(err)
		}
		for i, r := range results {
			if r.Err != nil {
				q.Fatalf("job %d of a batch: %v", i, r.Err)
			}
		}
		q.accepted = append(q.accepted, batch...)
	}
}

func claimOf(l jobs.Leased) jobs.Claim { return jobs.Claim{ID: l.Job.ID, Token: l.Token} }

func (q *deepQueue) lease(n int) []jobs.Leased {
	leased, _, err := q.Lease(q.Context(), storetest.Epoch, []jobs.LeaseQuery{{Worker: "w", Max: n}})
	if err != nil || len(leased[0]) != n {
		q.Fatalf("leased %v (%v), want %d jobs", leased, err, n)
	}
	return leased[0]
}

// leaseTime is the median of many leases of one job, which each is handed back.
func (q *deepQueue) leaseTime() time.Duration {
	took := make([]time.Duration, 101)
	for i := range took {
		begin := time.Now()
		leased := q.lease(1)
		took[i] = time.Since(begin)
		if err := q.Release(q.Context(), storetest.Epoch, claimOf(leased[0])); err != nil {
			q.Fatal(err)
		}
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// inOrder leases n jobs, which have to be the oldest of each priority, by weights of 4 to 1.
func (q *deepQueue) inOrder(n int) []jobs.Leased {
	want := map[string][]string{}
	for _, j := range q.accepted {
		if share := map[string]int{"high": n / 5 * 4, "low": n / 5}[j.Priority]; len(want[j.Priority]) < share {
			want[j.Priority] = append(want[j.Priority], j.ID)
		}
	}
	var out []jobs.Leased
	got := map[string][]string{}
	for len(out) < n {
		for _, l := range q.lease(50) {
			out = append(out, l)
			got[l.Job.Priority] = append(got[l.Job.Priority], l.Job.ID)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		q.Errorf("leased (-want +got):\n%s", diff)
	}
	return out
}

func (q *deepQueue) counts(want map[pub.Status]int64) {
	got, err := q.Stats(q.Context(), storetest.Epoch)
	if err != nil {
		q.Fatal(err)
	}
	for status, n := range got.Depth {
		if n == 0 {
			delete(got.Depth, status)
		}
	}
	if diff := cmp.Diff(want, got.Depth); diff != "" {
		q.Errorf("(-want +got)\n%s", diff)
	}
}

// lists walks the pages to the end, and finds those that are wanted, the newest first.
func (q *deepQueue) lists(f pub.Filter, limit int, wanted func(jobs.NewJob) bool) {
	var want, got []string
	for _, j := range slices.Backward(q.accepted) {
		if wanted(j) {
			want = append(want, j.ID)
		}
	}
	for cursor := ""; ; {
		page, err := q.List(q.Context(), f, cursor, limit)
		if err != nil {
			q.Fatal(err)
		}
		for _, j := range page.Jobs {
			got = append(got, j.ID)
		}
		if cursor = page.Cursor; cursor == "" {
			break
		}
	}
	if !slices.Equal(want, got) {
		q.Errorf("%+v: listed %d jobs, want %d, or in another order", f, len(got), len(want))
	}
}
