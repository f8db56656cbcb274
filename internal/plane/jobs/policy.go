package jobs

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// Reasons that the plane itself gives to a failure.
const (
	reasonError     = "error"
	reasonTimeout   = "timeout"
	reasonLost      = "lost"
	reasonCancelled = "cancelled"
)

// policy decides what becomes of a job after a failed attempt.
type policy struct {
	retry planeconfig.JobRetry
	// random is in [0, 1).
	random func() float64
}

func newPolicy(r planeconfig.JobRetry) policy {
	return policy{retry: r, random: rand.Float64} //nolint:gosec // spreads retries; nothing secret
}

// Decide is pure but for its jitter. A job whose cancellation was asked for is cancelled, whatever its attempt came to;
// what is permanent, was tried often enough, or fails for a reason that retryOn does not name, is dead.
func (p policy) Decide(job jobs.Job, f Failure, now time.Time) Verdict {
	switch {
	case job.CancelRequested:
		return Verdict{Status: jobs.StatusCancelled}
	case f.Permanent, job.Attempt >= job.MaxAttempts, !p.retries(f):
		return Verdict{Status: jobs.StatusDead}
	}
	return Verdict{Status: jobs.StatusRetrying, RetryAt: now.Add(max(p.backoff(job.Attempt), f.RetryAfter))}
}

// retries reports whether a failure's reason is one that is tried again.
func (p policy) retries(f Failure) bool {
	if len(p.retry.RetryOn) == 0 {
		return true
	}
	reason := reasonOf(f)
	return slices.ContainsFunc(p.retry.RetryOn, func(pattern string) bool {
		prefix, wild := strings.CutSuffix(pattern, "*")
		return reason == pattern || wild && strings.HasPrefix(reason, prefix)
	})
}

// reasonOf is what a worker said, or what the attempt's end says by itself.
func reasonOf(f Failure) string {
	switch {
	case f.Outcome == jobs.OutcomeLost:
		return reasonLost
	case f.Outcome == jobs.OutcomeTimeout:
		return reasonTimeout
	case f.Reason != "":
		return f.Reason
	}
	return reasonError
}

// backoff is the wait after attempt, which counts from 1.
func (p policy) backoff(attempt int) time.Duration {
	wait := float64(p.retry.Initial) * math.Pow(max(1, p.retry.Multiplier), float64(max(0, attempt-1)))
	if most := float64(p.retry.Max); most > 0 && wait > most {
		wait = most
	}
	jitter := min(1, max(0, p.retry.Jitter))
	return time.Duration(wait * (1 - jitter*p.random()))
}
