package jobs

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// fires is a store of one schedule that notes which times were brought about.
type fires struct {
	Store
	last  time.Time
	fired []string
}

func (f *fires) Schedule(context.Context, string) (time.Time, string, error) { return f.last, "", nil }

func (f *fires) Get(context.Context, string) (jobs.Job, error) { return jobs.Job{}, ErrNotFound }

func (f *fires) Fire(_ context.Context, _ time.Time, _ string, last, at time.Time, job *NewJob) (bool, error) {
	if !last.Equal(f.last) {
		return false, nil
	}
	if f.last = at; job != nil {
		f.fired = append(f.fired, at.Format(time.TimeOnly))
	}
	return true, nil
}

// TestSchedulesAndClocks has the clocks of two replicas jump and differ: each time is brought about once.
func TestSchedulesAndClocks(t *testing.T) {
	t.Parallel()
	const skip, all = missedSkip, missedRunAll
	for name, c := range map[string]struct {
		missed string
		looks  []string
		want   []string
	}{
		"forward and back": {all, []string{"12:00:30", "13:00:30", "12:01:00", "12:30:00", "12:59:59", "13:29:00", "13:30:05"},
			[]string{"12:30:00", "13:00:00", "13:30:00"}},
		"forward and back, skipping": {skip, []string{"12:00:30", "13:00:30", "12:30:00", "13:00:10", "13:30:05"}, []string{"13:00:00", "13:30:00"}},
		"back":                       {all, []string{"12:00:30", "12:30:00", "11:40:00", "12:30:10", "13:00:00"}, []string{"12:30:00", "13:00:00"}},
		"two minutes apart":          {skip, []string{"12:00:30", "12:31:00", "12:29:00", "12:32:30", "12:30:30", "13:01:00", "12:59:30", "13:00:30"}, []string{"12:30:00", "13:00:00"}},
		// By more than an hour: it goes on from now, rather than standing still.
		"back by far": {all, []string{"12:00:30", "15:00:30", "12:01:00", "12:30:10"}, []string{"14:30:00", "15:00:00", "12:30:00"}},
	} {
		store := &fires{}
		q := queueOn(t, store, 1<<10)
		q.newID = newUUID
		s := scheduleOf(t, planeconfig.JobSchedule{Name: "s", Cron: "*/30 * * * *", Missed: c.missed, MissedWithin: planeconfig.Duration(time.Hour)})
		for _, look := range c.looks {
			q.clock = clocktesting.NewFakeClock(at(t, "2026-03-01T"+look+"Z"))
			if wait := q.fireDue(t.Context(), []*schedule{s}); wait > scheduleLook {
				t.Errorf("%s: at %s, the clock is looked at again in %s", name, look, wait)
			}
		}
		if diff := cmp.Diff(c.want, store.fired); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestSweepsAndClocks: a clock that jumps puts no sweep off by more than sweepAtLeast.
func TestSweepsAndClocks(t *testing.T) {
	t.Parallel()
	now := at(t, "2026-03-01T12:00:00Z")
	s := sweeper{nudge: make(chan struct{}, 1)}
	s.by(now.Add(time.Hour + time.Second))
	if got := s.wait(now); got != sweepAtLeast {
		t.Errorf("after the clock went back, the next sweep is in %s, want %s", got, sweepAtLeast)
	}
	s.by(now.Add(time.Second))
	if got := s.wait(now); got != time.Second {
		t.Errorf("a lease ends in 1s, and the next sweep is in %s", got)
	}
	if got := s.wait(now.Add(time.Hour)); got != sweepPause {
		t.Errorf("after the clock went forward, the next sweep is in %s, want %s", got, sweepPause)
	}
}
