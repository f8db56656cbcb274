package jobs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/test/bench/harness"
)

// setting stands in for a test where engines are started: what a test would clean up in the end is cleaned up by
// stop, and what fails is an error.
type setting struct {
	testing.TB
	root     string
	folders  int
	cleanups []func()
}

// failure is what a setting panics with.
type failure struct{ text string }

// withEngine starts an engine, runs do and ends it.
func withEngine(start func(*setting), do func() error) (err error) {
	s := &setting{}
	defer func() {
		for i := len(s.cleanups) - 1; i >= 0; i-- {
			s.cleanups[i]()
		}
		if s.root != "" {
			_ = os.RemoveAll(s.root)
		}
		if what := recover(); what != nil {
			failed, ok := what.(failure)
			if !ok {
				panic(what)
			}
			err = fmt.Errorf("start the engine: %s", failed.text)
		}
	}()
	start(s)
	return do()
}

// Helper implements testing.TB.
func (s *setting) Helper() {}

// Cleanup implements testing.TB.
func (s *setting) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

// Fatal implements testing.TB.
func (s *setting) Fatal(args ...any) { panic(failure{fmt.Sprint(args...)}) }

// Fatalf implements testing.TB.
func (s *setting) Fatalf(format string, args ...any) { panic(failure{fmt.Sprintf(format, args...)}) }

// TempDir implements testing.TB.
func (s *setting) TempDir() string {
	var err error
	if s.root == "" {
		s.root, err = os.MkdirTemp("", "trellis-bench-")
	}
	s.folders++
	dir := filepath.Join(s.root, fmt.Sprint(s.folders))
	if err == nil {
		err = os.Mkdir(dir, 0o755)
	}
	if err != nil {
		s.Fatal(err)
	}
	return dir
}

// store is an engine that holds the jobs of both sides, each run in a place of its own.
type store struct {
	kind string
	// place returns where the next run keeps its jobs.
	place func(ctx context.Context) (place, error)
}

// place of one run in an engine.
type place struct{ uri, prefix string }

// durable has PostgreSQL write as a provisioned Engine's does: on disk before it is acknowledged.
var durable = []string{
	"fsync=on", "full_page_writes=on", "synchronous_commit=on", "shared_buffers=128MB", "max_wal_size=1GB", "wal_level=replica",
}

// withPostgres runs do with a PostgreSQL in which each run has a database.
func withPostgres(e *harness.Env, do func(store) error) error {
	var server *enginetest.PostgresServer
	return withEngine(func(s *setting) {
		e.Say("PostgreSQL starts")
		_, server = enginetest.PostgresWith(s, durable...)
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
	return withEngine(func(s *setting) {
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
