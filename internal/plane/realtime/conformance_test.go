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

func TestConformanceStateful(t *testing.T) {
	t.Parallel()
	conformance.Run(t, statefulRedis)
}

func TestConformanceStatefulShared(t *testing.T) {
	t.Parallel()
	conformance.RunShared(t, statefulRedis)
}

func TestConformanceStatefulSeveral(t *testing.T) {
	t.Parallel()
	conformance.RunSeveral(t, severalReplicas)
}

func TestConformanceStatefulSentinel(t *testing.T) {
	t.Parallel()
	conformance.RunReplicated(t, statefulSentinel)
}

func TestConformanceSentinel(t *testing.T) {
	t.Parallel()
	conformance.RunReplicated(t, sentinel)
}
