//go:build rooms

package realtime_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/trellis-dev/trellis/internal/plane/realtime/conformance"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// All of it, of rooms with owners whose engine has Sentinels.
func TestConformanceStatefulOnSentinel(t *testing.T) {
	t.Parallel()
	conformance.Run(t, carried(onOneTrio(t)))
}

// onOneTrio is a factory of planes with owners of rooms on one trio, for tests that leave it alone.
func onOneTrio(t *testing.T) conformance.Factory {
	t.Helper()
	engine := startTrio(t)
	uri := engine.writeURI(t)
	var targets atomic.Int64
	return func(t *testing.T, o conformance.Options) *conformance.Target {
		t.Helper()
		o = owned(t, o)
		prefix := fmt.Sprintf("test-%d:", targets.Add(1))
		return newLocal(t, o, planeconfig.Engine{Type: "Redis", URIFile: uri, Prefix: prefix}).target(t, o, nil)
	}
}
