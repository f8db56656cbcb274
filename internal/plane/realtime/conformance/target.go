package conformance

import (
	"testing"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
)

// Factory starts what a test needs; it is stopped by the test's cleanup.
type Factory func(t *testing.T, o Options) *Target

// Options of a target.
type Options = contracttest.Options

// Target is a running gateway.
type Target struct {
	contracttest.Target
	// Engine breaks and mends the engine; nil where it lives in the plane.
	Engine Engine
}

// Engine is the process behind the gateway.
type Engine interface {
	contracttest.Engine
	// Wipe makes it forget everything; it is to be called between Kill and Start.
	Wipe(t *testing.T)
}

// Limits of the suite's configuration, unless a test changes them.
const (
	HistorySize  = 200
	MessageBytes = 4096
)
