package machine

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// decide retries in 10 s until the attempts are used up.
func decide(j jobs.Job, f plane.Failure, now time.Time) plane.Verdict {
	switch {
	case j.CancelRequested || f.Outcome == jobs.OutcomeCancelled:
		return plane.Verdict{Status: jobs.StatusCancelled}
	case f.Permanent || j.Attempt >= j.MaxAttempts:
		return plane.Verdict{Status: jobs.StatusDead}
	}
	return plane.Verdict{Status: jobs.StatusRetrying, RetryAt: now.Add(10 * time.Second)}
}

func settingsOfStore() plane.Settings {
	return plane.Settings{
		LeaseTTL: 30 * time.Second, Weights: map[string]int{"high": 4, "low": 1}, Waiting: 1000,
		DeadRetention: time.Hour, ResultTTL: time.Minute, Decide: decide,
	}
}

func newJob(id string, change ...func(*plane.NewJob)) plane.NewJob {
	n := plane.NewJob{ID: id, Priority: "low", Timeout: time.Minute, MaxAttempts: 3, Payload: plane.Body{ContentType: mediaJSON, Data: []byte("1")}}
	for _, f := range change {
		f(&n)
	}
	return n
}

func submit(t *testing.T, s *Store, now time.Time, batch ...plane.NewJob) {
	t.Helper()
	results, err := s.Submit(t.Context(), now, batch)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}

func lease(t *testing.T, s *Store, now time.Time, atMost int) (ids []string, claims []plane.Claim) {
	t.Helper()
	leased, _, err := s.Lease(t.Context(), now, []plane.LeaseQuery{{Worker: "w", Max: atMost}})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leased[0] {
		ids = append(ids, l.Job.ID)
		claims = append(claims, plane.Claim{ID: l.Job.ID, Token: l.Token})
	}
	return ids, claims
}

func TestClassesShareByWeight(t *testing.T) {
	t.Parallel()
	s := NewStore(settingsOfStore())
	for i := range 100 {
		submit(t, s, epoch, newJob(fmt.Sprint("l", i)), newJob(fmt.Sprint("h", i), func(n *plane.NewJob) { n.Priority = "high" }))
	}
	count := map[byte]int{}
	ids, _ := lease(t, s, epoch, 50)
	for _, id := range ids {
		count[id[0]]++
	}
	if d := cmp.Diff(map[byte]int{'h': 40, 'l': 10}, count); d != "" {
		t.Error(d)
	}
}

func TestOneOfAKeyAtATime(t *testing.T) {
	t.Parallel()
	settings := settingsOfStore()
	settings.Ordered = true
	s := NewStore(settings)
	key := func(n *plane.NewJob) { n.OrderingKey = "k" }
	submit(t, s, epoch, newJob("1", key), newJob("2", key), newJob("other"))
	ids, claims := lease(t, s, epoch, 10)
	if d := cmp.Diff([]string{"1", "other"}, ids); d != "" {
		t.Fatal(d)
	}
	if _, err := s.Fail(t.Context(), epoch, claims[0], plane.Failure{Outcome: jobs.OutcomeFailed}); err != nil {
		t.Fatal(err)
	}
	if ids, _ := lease(t, s, epoch, 10); ids != nil {
		t.Fatalf("%v was leased while the one before waits for its next attempt", ids)
	}
	ids, claims = lease(t, s, epoch.Add(10*time.Second), 10)
	if d := cmp.Diff([]string{"1"}, ids); d != "" {
		t.Fatal(d)
	}
	if _, err := complete(t, s, epoch, claims[0], plane.Body{}); err != nil {
		t.Fatal(err)
	}
	if ids, _ = lease(t, s, epoch, 10); len(ids) != 1 || ids[0] != "2" {
		t.Fatalf("%v was leased instead of the next", ids)
	}
}

func complete(t *testing.T, s *Store, now time.Time, c plane.Claim, result plane.Body) (jobs.Job, error) {
	t.Helper()
	results, err := s.Complete(t.Context(), now, []plane.Completion{{Claim: c, Result: result}})
	if err != nil {
		t.Fatal(err)
	}
	return results[0].Job, results[0].Err
}

func TestTheRateBoundsStarts(t *testing.T) {
	t.Parallel()
	settings := settingsOfStore()
	settings.Rate, settings.Burst = 2, 3
	s := NewStore(settings)
	for i := range 20 {
		submit(t, s, epoch, newJob(fmt.Sprint(i)))
	}
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{0, 3}, {0, 0}, {500 * time.Millisecond, 1}, {time.Second, 1}, {10 * time.Second, 3}} {
		if ids, _ := lease(t, s, epoch.Add(c.after), 10); len(ids) != c.want {
			t.Errorf("%d started after %s, want %d", len(ids), c.after, c.want)
		}
	}
}

func TestALeaseThatRanOutIsFenced(t *testing.T) {
	t.Parallel()
	s := NewStore(settingsOfStore())
	submit(t, s, epoch, newJob("1"))
	_, claims := lease(t, s, epoch, 1)
	late := epoch.Add(31 * time.Second)
	if _, err := s.Sweep(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	if _, err := complete(t, s, late, claims[0], plane.Body{}); !errors.Is(err, plane.ErrFenced) {
		t.Errorf("the late worker gets %v", err)
	}
	if _, err := s.Fail(t.Context(), late, claims[0], plane.Failure{Outcome: jobs.OutcomeFailed}); !errors.Is(err, plane.ErrFenced) {
		t.Errorf("the late worker gets %v", err)
	}
	job, err := s.Get(t.Context(), "1")
	if err != nil || job.Status != jobs.StatusRetrying || job.Attempts[0].Outcome != jobs.OutcomeLost {
		t.Errorf("the job is %+v, %v", job, err)
	}
}

func TestAgainIsNoFault(t *testing.T) {
	t.Parallel()
	s := NewStore(settingsOfStore())
	submit(t, s, epoch, newJob("1"), newJob("2"), newJob("3"))
	_, claims := lease(t, s, epoch, 3)
	for range 2 {
		done, err := complete(t, s, epoch, claims[0], plane.Body{ContentType: mediaJSON, Data: []byte("2")})
		if err != nil || done.Status != jobs.StatusSucceeded || done.Revision != 3 {
			t.Errorf("complete: %+v, %v", done, err)
		}
		failed, err := s.Fail(t.Context(), epoch, claims[1], plane.Failure{Outcome: jobs.OutcomeFailed, Permanent: true})
		if err != nil || failed.Status != jobs.StatusDead || failed.Revision != 3 {
			t.Errorf("fail: %+v, %v", failed, err)
		}
		if err := s.Release(t.Context(), epoch, claims[2]); err != nil {
			t.Errorf("release: %v", err)
		}
	}
	if _, err := s.Fail(t.Context(), epoch, claims[0], plane.Failure{}); !errors.Is(err, plane.ErrFenced) {
		t.Errorf("to fail what succeeded gives %v", err)
	}
	if j, _ := s.Get(t.Context(), "3"); j.Attempt != 0 || j.Status != jobs.StatusQueued {
		t.Errorf("the released job is %+v", j)
	}
}

func TestWhoReadsSlowlyIsToldSo(t *testing.T) {
	t.Parallel()
	s := NewStore(settingsOfStore())
	changes := s.Changes(t.Context())
	for i := range 3 * pendingChanges {
		n := newJob(fmt.Sprint(i), func(n *plane.NewJob) { n.RunAt = epoch.Add(time.Hour) })
		s.do(&Submit{Now: epoch, Batch: []NewJob{{NewJob: n}}})
		s.do(&Delete{ID: n.ID})
	}
	for c := range changes {
		if c.Missed {
			return
		}
	}
}
