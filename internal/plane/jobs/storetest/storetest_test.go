package storetest_test

import (
	"context"
	"sync"
	"testing"

	"github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/internal/plane/jobs/machine"
	"github.com/trellis-dev/trellis/internal/plane/jobs/storetest"
)

// The machine in memory is one replica, whatever number of them is asked for.
func TestMachine(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t testing.TB) storetest.Connect {
		var once sync.Once
		var store *machine.Store
		return func(s jobs.Settings) jobs.Store {
			once.Do(func() {
				store = machine.NewStore(s)
				ctx, cancel := context.WithCancel(context.Background())
				var work sync.WaitGroup
				work.Go(func() { _ = store.Run(ctx) })
				t.Cleanup(func() { cancel(); work.Wait() })
			})
			return store
		}
	})
}
