package jobs_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/jobs/conformance"
)

func TestMain(m *testing.M) {
	contracttest.AsPlane(build)
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

func TestConformanceNATS(t *testing.T) {
	t.Parallel()
	conformance.Run(t, on("NATS", enginetest.NATS(t, 1).URI()))
}

func TestConformanceNATSShared(t *testing.T) {
	t.Parallel()
	conformance.RunShared(t, ownNATS)
}

func TestConformancePostgres(t *testing.T) {
	t.Parallel()
	uri, _ := enginetest.Postgres(t)
	conformance.Run(t, on("PostgreSQL", uri))
}

func TestConformancePostgresShared(t *testing.T) {
	t.Parallel()
	conformance.RunShared(t, ownPostgres)
}
