package jobs_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"

	"github.com/trellis-dev/trellis/internal/plane/jobs/conformance"
)

func TestMain(m *testing.M) {
	// Most of these tests wait for something, so more of them than there are
	// processors may run at once.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

func TestConformanceMemory(t *testing.T) {
	t.Parallel()
	conformance.Run(t, memory)
}
