package conformance

import (
	"testing"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Factory starts what a test needs; it is stopped by the test's cleanup.
type Factory func(t *testing.T, o Options) *Target

// Options of a target.
type Options struct {
	// Replicas to start; 0 is 1.
	Replicas int
	// Configure changes the configuration before it is used.
	Configure func(*planeconfig.Config)
}

// Target is a running queue.
type Target struct {
	Replicas []*Replica
	// Token is the binding token, WorkerToken that of the queue's own workers, SigningKey the key of client tokens, and
	// Audience what those are for.
	Token, WorkerToken string
	SigningKey         []byte
	Audience           string
	// Engine breaks and mends the engine; nil where it lives in the plane.
	Engine Engine
	// Reconfigure changes the configuration of planes that run.
	Reconfigure func(t *testing.T, change func(*planeconfig.Config))
	// Add starts one more replica, and does not wait until it is ready.
	Add func(t *testing.T) *Replica
}

// Replica is one plane.
type Replica struct {
	URL, Admin string
	// Drain ends the replica as SIGTERM does, and waits until it is gone.
	Drain func() error
	// Kill ends it as SIGKILL does, and Start has it come back at the same address; nil where it is no process of its own.
	Kill, Start func(t *testing.T)
}

// Engine is the process behind the queue.
type Engine interface {
	// Kill ends it without warning.
	Kill(t *testing.T)
	// Start brings it back with what it had stored.
	Start(t *testing.T)
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

// URL is the address of the first replica.
func (g *Target) URL() string { return g.Replicas[0].URL }

func jobsSection(change func(*planeconfig.Jobs)) func(*planeconfig.Config) {
	return func(c *planeconfig.Config) { change(c.Jobs) }
}
