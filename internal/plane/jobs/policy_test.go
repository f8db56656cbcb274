package jobs

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

func TestDecide(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	p := policy{random: func() float64 { return 0.5 }, retry: planeconfig.JobRetry{
		Initial: planeconfig.Duration(time.Second), Max: planeconfig.Duration(5 * time.Second), Multiplier: 2, Jitter: 0.2, RetryOn: []string{"exit:*", "lost", "http:503"},
	}}
	retry := func(d time.Duration) Verdict { return Verdict{Status: jobs.StatusRetrying, RetryAt: now.Add(d)} }
	dead := Verdict{Status: jobs.StatusDead}
	for name, c := range map[string]struct {
		attempt   int
		cancelled bool
		failure   Failure
		want      Verdict
	}{
		"the first":                {1, false, Failure{Reason: "exit:1"}, retry(900 * time.Millisecond)},
		"the third":                {3, false, Failure{Reason: "exit:1"}, retry(3600 * time.Millisecond)},
		"the most":                 {9, false, Failure{Reason: "exit:1"}, retry(4500 * time.Millisecond)},
		"asked to wait":            {1, false, Failure{Reason: "http:503", RetryAfter: time.Minute}, retry(time.Minute)},
		"tried often enough":       {10, false, Failure{Reason: "exit:1"}, dead},
		"permanent":                {1, false, Failure{Reason: "exit:1", Permanent: true}, dead},
		"a reason not named":       {1, false, Failure{Reason: "http:400"}, dead},
		"no reason":                {1, false, Failure{Outcome: jobs.OutcomeFailed}, dead},
		"lost":                     {1, false, Failure{Outcome: jobs.OutcomeLost}, retry(900 * time.Millisecond)},
		"timed out, and not named": {1, false, Failure{Outcome: jobs.OutcomeTimeout}, dead},
		"cancelled":                {1, true, Failure{Reason: "exit:1"}, Verdict{Status: jobs.StatusCancelled}},
	} {
		got := p.Decide(jobs.Job{Attempt: c.attempt, MaxAttempts: 10, CancelRequested: c.cancelled}, c.failure, now)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
