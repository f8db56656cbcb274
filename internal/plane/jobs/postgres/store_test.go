package postgres_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/internal/plane/jobs/postgres"
	"github.com/trellis-dev/trellis/internal/plane/jobs/storetest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run starts a store on a schema; it ends with the test.
func run(t testing.TB, uri, schema string, s jobs.Settings) *postgres.Store {
	t.Helper()
	file := filepath.Join(t.TempDir(), "uri")
	if err := os.WriteFile(file, []byte(uri+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := postgres.New(postgres.Config{Engine: planeconfig.Engine{Type: "PostgreSQL", URIFile: file}, Schema: schema, Connections: 6}, s)
	if err != nil {
		t.Fatal(err)
	}
	start(t, store)
	return store
}

func start(t testing.TB, store *postgres.Store) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- store.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestStore(t *testing.T) {
	t.Parallel()
	uri, _ := enginetest.Postgres(t)
	var queues atomic.Int64
	storetest.Run(t, func(t testing.TB) storetest.Connect {
		schema := fmt.Sprintf("queue-%d", queues.Add(1))
		return func(s jobs.Settings) jobs.Store { return run(t, uri, schema, s) }
	})
}

// What waits for a sink is forgotten when no settings have that sink any more, but not at once.
func TestSinkThatIsNoMore(t *testing.T) {
	t.Parallel()
	uri, _ := enginetest.Postgres(t)
	with := storetest.Settings()
	with.Sinks = map[string][]string{"gone": nil, "kept": nil}
	without := with
	without.Sinks = map[string][]string{"kept": nil}
	s := run(t, uri, "q", with)
	if _, err := s.Submit(t.Context(), storetest.Epoch, []jobs.NewJob{storetest.NewJob()}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		at         time.Duration
		gone, kept int
	}{{time.Minute, 1, 1}, {2 * time.Hour, 0, 1}} {
		now := storetest.Epoch.Add(step.at)
		s.Reconfigure(without)
		if _, err := s.Sweep(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		for sink, want := range map[string]int{"gone": step.gone, "kept": step.kept} {
			got, err := s.Events(t.Context(), now, sink, 10, time.Second)
			if err != nil || len(got) != want {
				t.Errorf("after %s, %q has %d events (%v), want %d", step.at, sink, len(got), err, want)
			}
		}
	}
}
