package natsstore

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/trellis-dev/trellis/internal/enginetest"
	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

const (
	manyJobs  = 100_000
	manyBatch = 1000
	// manyBytes is what a job that waits may take of memory: it is 0.6 KB, and half as much again with its ordering key.
	manyBytes = 1500
)

// everything is a filter that leaves nothing out.
var everything jobs.Filter

// TestManyJobsWait is not parallel to others, as it looks at the memory of the process.
func TestManyJobsWait(t *testing.T) {
	cluster := enginetest.NATS(t, 1)
	s, stop := open(t, cluster, "q")
	before := heap()
	submitMany(t, s)
	if each := (heap() - before) / manyJobs; each > manyBytes {
		t.Errorf("a job that waits takes %d bytes of memory, want at most %d", each, manyBytes)
	}
	leased := lease(t, s, 500)
	if len(leased) != 500 {
		t.Fatalf("leased %d jobs", len(leased))
	}
	for _, l := range leased[:10] {
		if err := complete(t.Context(), s, time.Now(), plane.Claim{ID: l.Job.ID, Token: l.Token}, plane.Body{}); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	want := lookAtMany(t, s, now)
	if err := s.snapshot(t.Context(), whole); err != nil {
		t.Fatal(err)
	}
	stop()
	s, _ = open(t, cluster, "q")
	if d := cmp.Diff(want, lookAtMany(t, s, now), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("after a restart (-before +after):\n%s", d)
	}
	if again := lease(t, s, 1); len(again) != 1 {
		t.Errorf("after a restart %d jobs are leased", len(again))
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func submitMany(t *testing.T, s *Store) {
	t.Helper()
	var clients sync.WaitGroup
	for client := range 4 {
		clients.Go(func() {
			for n := client * manyBatch; n < manyJobs; n += 4 * manyBatch {
				batch := make([]plane.NewJob, manyBatch)
				for i := range batch {
					batch[i] = newJob(fmt.Sprintf("01930000-0000-7000-8000-%012d", n+i), func(j *plane.NewJob) {
						j.Type, j.Priority = "report", []string{"high", "low"}[i%2]
						j.Payload.Data = make([]byte, 100)
					})
				}
				if _, err := s.Submit(t.Context(), time.Now(), batch); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
}

// lookAtMany is what clients see of them: counts, and the newest and some of the oldest by pages.
func lookAtMany(t *testing.T, s *Store, now time.Time) []any {
	t.Helper()
	stats, err := s.Stats(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	var waiting int64
	for _, n := range stats.Depth {
		waiting += n
	}
	if waiting != manyJobs {
		t.Errorf("%d jobs are counted", waiting)
	}
	out := []any{stats}
	for _, f := range []jobs.Filter{everything, {Status: jobs.StatusRunning}, {Status: jobs.StatusSucceeded}} {
		cursor := ""
		for range 5 {
			page, err := s.List(t.Context(), f, cursor, 100)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, page.Jobs)
			if cursor = page.Cursor; cursor == "" {
				break
			}
		}
	}
	return out
}
