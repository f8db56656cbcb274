package jobs

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/test/bench/harness"
	"github.com/trellis-dev/trellis/test/bench/setting"
)

// store is an engine that holds the jobs of both sides, each run in a place of its own.
type store struct {
	kind string
	// place returns where the next run keeps its jobs.
	place func(ctx context.Context) (place, error)
}

// place of one run in an engine.
type place struct{ uri, prefix string }

// withPostgres runs do with a PostgreSQL in which each run has a database.
func withPostgres(e *harness.Env, do func(store) error) error {
	var server *enginetest.PostgresServer
	return setting.With(func(s testing.TB) {
		e.Say("PostgreSQL starts")
		_, server = enginetest.PostgresWith(s, setting.Durable...)
	}, func() error {
		var runs atomic.Int64
		return do(store{kind: "PostgreSQL", place: func(ctx context.Context) (place, error) {
			name := fmt.Sprintf("run%d", runs.Add(1))
			conn, err := pgx.Connect(ctx, server.URI("postgres"))
			if err != nil {
				return place{}, fmt.Errorf("make a database: %w", err)
			}
			defer func() { _ = conn.Close(ctx) }()
			if _, err := conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
				return place{}, fmt.Errorf("make a database: %w", err)
			}
			// What the run before left to be written is not this one's.
			_, err = conn.Exec(ctx, "CHECKPOINT")
			return place{uri: server.URI(name), prefix: "bench"}, err
		}})
	})
}

// withNATS runs do with a NATS that writes as a provisioned Engine's does: on disk before it is acknowledged.
func withNATS(e *harness.Env, do func(store) error) error {
	var cluster *enginetest.NATSCluster
	return setting.With(func(s testing.TB) {
		e.Say("NATS starts")
		cluster = enginetest.NATSFrom(s, 1, func(c *enginetest.NATSCluster, i int) []string {
			m := c.Members[i]
			m.Write("nats.conf", fmt.Sprintf("listen: %q\nhttp: \"127.0.0.1:%d\"\nmax_payload: 8MB\n"+
				"jetstream { store_dir: %q, sync_interval: always, max_mem: 256MB, max_file: 4GB }\n",
				m.Address(), m.Monitor, filepath.Join(m.Folder, "data")))
			return []string{"-c", filepath.Join(m.Folder, "nats.conf")}
		})
	}, func() error {
		var runs atomic.Int64
		return do(store{kind: "NATS", place: func(context.Context) (place, error) {
			return place{uri: cluster.URI(), prefix: fmt.Sprintf("run%d", runs.Add(1))}, nil
		}})
	})
}
