package natsstore

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trellis-dev/trellis/internal/enginetest"
	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/internal/plane/jobs/storetest"
)

// TestSuite runs what every store has to do, each test in a queue of its own on one server.
func TestSuite(t *testing.T) {
	t.Parallel()
	cluster := enginetest.NATS(t, 1)
	var queues atomic.Int64
	storetest.Run(t, func(t testing.TB) storetest.Connect {
		prefix := fmt.Sprint("q", queues.Add(1))
		return func(settings plane.Settings) plane.Store { return connectSuite(t, cluster, prefix, settings) }
	})
}

func connectSuite(t testing.TB, cluster *enginetest.NATSCluster, prefix string, settings plane.Settings) *Store {
	s, err := New(Config{
		Connect: func() (string, []nats.Option, error) { return cluster.URI(), nil, nil },
		Prefix:  prefix, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}, settings)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(t.Context()); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(running.Wait)
	eventually(t, func() error { _, err := s.Stats(t.Context(), time.Now()); return err })
	return s
}
