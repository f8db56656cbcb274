package conformance

import (
	"testing"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Factory starts what a test needs; it is stopped by the test's cleanup.
type Factory func(t *testing.T, o Options) *Target

// Options of a target.
type Options = contracttest.Options

// Target is a running queue.
type Target struct {
	contracttest.Target
	// WorkerToken is that of the queue's own workers.
	WorkerToken string
	// Engine breaks and mends the engine; nil where it lives in the plane.
	Engine contracttest.Engine
}

// Limits of the suite's configuration, unless a test changes them.
const (
	PayloadBytes = 4096
	ResultBytes  = 4096
	MaxAttempts  = 3
	LeaseTTL     = 10 * time.Second
	Timeout      = time.Minute
)

// Configuration is what every test begins with.
func Configuration() *planeconfig.Jobs {
	return &planeconfig.Jobs{
		Timeout: planeconfig.Duration(Timeout), LeaseTTL: planeconfig.Duration(LeaseTTL),
		Retry: planeconfig.JobRetry{
			MaxAttempts: MaxAttempts, Initial: planeconfig.Duration(10 * time.Millisecond), Max: planeconfig.Duration(time.Second), Multiplier: 2, Jitter: 0.1,
		},
		Priorities:    []planeconfig.JobPriority{{Name: "high", Weight: 8}, {Name: "normal", Weight: 3, Default: true}, {Name: "low", Weight: 1}},
		Ordered:       true,
		Limits:        planeconfig.JobLimits{PayloadBytes: PayloadBytes, ResultBytes: ResultBytes, Waiting: 100_000},
		DeadRetention: planeconfig.Duration(time.Hour), ResultTTL: planeconfig.Duration(time.Hour),
	}
}

func jobsSection(change func(*planeconfig.Jobs)) func(*planeconfig.Config) {
	return func(c *planeconfig.Config) { change(c.Jobs) }
}
