package realtime_test

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/trellis-dev/trellis/internal/plane/realtime"
	"github.com/trellis-dev/trellis/internal/plane/realtime/conformance"
)

func TestMain(m *testing.M) {
	if file := os.Getenv(planeOfTests); file != "" {
		os.Exit(serveAlone(file))
	}
	// Most of these tests wait for something, so more of them than there are
	// processors may run at once.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	// A call that a stalled machine held up is answered, and no test has the engine hang.
	realtime.SetEngineTimeouts(patience)
	goleak.VerifyTestMain(m,
		// The library's workers sleep out up to a second after its node was shut down.
		goleak.IgnoreAnyFunction("github.com/centrifugal/centrifuge/internal/dissolve.(*Dissolver).runWorker"))
}

func TestConformanceMemory(t *testing.T) {
	t.Parallel()
	conformance.Run(t, memory)
}

func TestConformanceRedis(t *testing.T) {
	t.Parallel()
	conformance.Run(t, redis)
}

func TestConformanceRedisShared(t *testing.T) {
	t.Parallel()
	conformance.RunShared(t, redis)
}

// With owners, all of it holds where what a client asks is carried to another replica than the one that it asks.
func TestConformanceStateful(t *testing.T) {
	t.Parallel()
	conformance.Run(t, carried(statefulRedis))
}

func TestConformanceStatefulShared(t *testing.T) {
	t.Parallel()
	conformance.RunShared(t, carried(statefulRedis))
}

func TestConformanceStatefulAlone(t *testing.T) {
	t.Parallel()
	conformance.RunRooms(t, statefulRedis)
}

func TestConformanceStatefulSentinel(t *testing.T) {
	t.Parallel()
	conformance.RunReplicated(t, carried(statefulSentinel))
}

func TestConformanceSentinel(t *testing.T) {
	t.Parallel()
	conformance.RunReplicated(t, sentinel)
}
