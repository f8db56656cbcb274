package conformance

import (
	"testing"

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

// Target is a running gateway.
type Target struct {
	Replicas []*Replica
	// Token is the binding token, SigningKey the key of client tokens, and
	// Audience what those are for.
	Token      string
	SigningKey []byte
	Audience   string
	// Engine breaks and mends the engine; nil where it lives in the plane.
	Engine Engine
	// Reconfigure changes the configuration of planes that run.
	Reconfigure func(t *testing.T, change func(*planeconfig.Config))
	// Dir holds the files token and key, which tests may rotate.
	Dir string
	// Add starts one more replica, and does not wait until it is ready.
	Add func(t *testing.T) *Replica
}

// Replica is one plane.
type Replica struct {
	URL, Admin string
	// Drain ends the replica as SIGTERM does, and waits until it is gone.
	Drain func() error
}

// Engine is the process behind the gateway.
type Engine interface {
	// Kill ends it without warning.
	Kill(t *testing.T)
	// Start brings it back with what it had stored.
	Start(t *testing.T)
	// Wipe makes it forget everything; it is to be called between Kill and Start.
	Wipe(t *testing.T)
}

// Limits of the suite's configuration, unless a test changes them.
const (
	HistorySize  = 200
	MessageBytes = 4096
)

// URL is the address of the first replica.
func (g *Target) URL() string { return g.Replicas[0].URL }
