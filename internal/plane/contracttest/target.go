package contracttest

import (
	"testing"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Options of a target.
type Options struct {
	// Replicas to start; 0 is 1.
	Replicas int
	// Configure changes the configuration before it is used.
	Configure func(*planeconfig.Config)
}

// Target is a pattern that runs, whatever its contract.
type Target struct {
	Replicas []*Replica
	// Token is the binding token, SigningKey the key of client tokens, and Audience what those are for.
	Token      string
	SigningKey []byte
	Audience   string
	// Dir holds the files token and key, which tests may rotate.
	Dir string
	// Reconfigure changes the configuration of planes that run.
	Reconfigure func(t *testing.T, change func(*planeconfig.Config))
	// Add starts one more replica, and does not wait until it is ready.
	Add func(t *testing.T) *Replica
}

// URL is the address of the first replica.
func (g *Target) URL() string { return g.Replicas[0].URL }

// Replica is one plane.
type Replica struct {
	URL, Admin string
	// Drain ends the replica as SIGTERM does, and waits until it is gone.
	Drain func() error
	// Kill ends it as SIGKILL does, and Start has it come back at the same address; nil where it is no process of its own.
	Kill, Start func(t *testing.T)
}

// Engine is the process behind a pattern.
type Engine interface {
	// Kill ends it without warning.
	Kill(t *testing.T)
	// Start brings it back with what it had stored.
	Start(t *testing.T)
}
