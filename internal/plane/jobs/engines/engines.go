// Package engines is the list of what a queue can keep its jobs in: the stores of the packages beside it.
package engines

import (
	"github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/internal/plane/jobs/machine"
	"github.com/trellis-dev/trellis/internal/plane/jobs/natsstore"
	"github.com/trellis-dev/trellis/internal/plane/jobs/postgres"
)

// All are the engines by their type. Memory is for development and tests: nothing of it outlives the process.
func All() map[string]jobs.Open {
	return map[string]jobs.Open{
		"Memory":     func(e jobs.Env) (jobs.Store, error) { return machine.NewStoreWithClock(e.Settings, e.Clock), nil },
		"NATS":       natsstore.Open,
		"PostgreSQL": postgres.Open,
	}
}
