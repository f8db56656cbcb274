package jobs_test

import (
	"path/filepath"
	"testing"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/internal/plane/jobs/conformance"
	"github.com/trellis-dev/trellis/internal/plane/jobs/engines"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	workerToken = "worker-token-of-the-tests"
	// patience is far longer than any step takes, so that a machine that stalls fails none.
	patience = contracttest.Patience
)

// local starts planes of a queue.
type local struct{ *contracttest.Local }

func newLocal(t testing.TB, o conformance.Options, engine planeconfig.Engine) *local {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "workerToken")
	contracttest.Write(t, file, workerToken)
	cfg := planeconfig.Config{
		Kind: "JobQueue", Name: "queue", Auth: planeconfig.Auth{WorkerTokenFile: file}, Engine: engine, Jobs: conformance.Configuration(),
	}
	return &local{contracttest.NewLocal(t, dir, cfg, o, build)}
}

func build(p *plane.Plane) (plane.Service, error) {
	return jobs.New(p, jobs.Options{Engines: engines.All()})
}

func (l *local) target(t *testing.T, o conformance.Options, engine contracttest.Engine, start func(*testing.T) *contracttest.Replica) *conformance.Target {
	t.Helper()
	return &conformance.Target{Target: l.Target(t, o, start), WorkerToken: workerToken, Engine: engine}
}

// start starts a plane in this process.
func (l *local) start(t *testing.T) *contracttest.Replica {
	t.Helper()
	return l.Start(t)
}

// memory is the factory of planes that hold the jobs themselves.
func memory(t *testing.T, o conformance.Options) *conformance.Target {
	t.Helper()
	l := newLocal(t, o, planeconfig.Engine{Type: "Memory"})
	return l.target(t, o, nil, l.start)
}
