package postgres_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/internal/plane/jobs/postgres"
	"github.com/trellis-dev/trellis/internal/plane/jobs/storetest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	pub "github.com/trellis-dev/trellis/pkg/jobs"
)

// until calls try until it has no error.
func until(t testing.TB, try func() error) {
	t.Helper()
	deadline := time.Now().Add(contracttest.Patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		<-tick.C
	}
}

// What was acknowledged is there after the engine was killed, what was not can be sent again, and readers of changes are
// told that they missed some.
func TestEngineKilled(t *testing.T) {
	t.Parallel()
	uri, server := enginetest.Postgres(t)
	s := run(t, uri, "q", storetest.Settings())
	ctx := t.Context()
	var acknowledged []string
	submit := func(n jobs.NewJob) error {
		results, err := s.Submit(ctx, storetest.Epoch, []jobs.NewJob{n})
		if err == nil && results[0].Err == nil {
			acknowledged = append(acknowledged, results[0].ID)
		}
		return err
	}
	for range 3 {
		for range 20 {
			if err := submit(storetest.NewJob()); err != nil {
				t.Fatal(err)
			}
		}
		changes := s.Changes(ctx)
		server.Kill()
		late := storetest.NewJob()
		began := time.Now()
		if err := submit(late); err == nil {
			t.Fatal("it accepts while the engine is down")
		} else if took := time.Since(began); took > time.Minute {
			t.Errorf("it took %s to say that the engine is down: %v", took, err)
		}
		server.Start()
		until(t, func() error { return submit(late) })
		missed := time.NewTimer(contracttest.Patience)
		for told := false; !told; {
			select {
			case c := <-changes:
				told = c.Missed
			case <-missed.C:
				t.Fatal("nobody tells that changes were missed")
			}
		}
		missed.Stop()
	}
	leased, _, err := s.Lease(ctx, storetest.Epoch, []jobs.LeaseQuery{{Worker: "w", Max: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(leased[0]); got != len(acknowledged) {
		t.Errorf("%d jobs are there, %d were acknowledged", got, len(acknowledged))
	}
	for _, id := range acknowledged {
		if j, err := s.Get(ctx, id); err != nil || j.Status != pub.StatusRunning {
			t.Errorf("job %s: %v, %s", id, err, j.Status)
		}
	}
}

// A password changes in the engine and in the files in whatever order.
func TestPasswordChanges(t *testing.T) {
	t.Parallel()
	uri, _ := enginetest.Postgres(t)
	admin, err := pgx.Connect(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(context.Background()) }()
	exec := func(sql string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE ROLE consumer LOGIN PASSWORD 'one'")
	exec("CREATE DATABASE its OWNER consumer")
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	with := func(password string) string {
		return strings.Replace(strings.Replace(uri, "/postgres?", "/its?", 1), "postgres:"+enginetest.PostgresPassword, "consumer:"+password, 1)
	}
	// The files are ahead.
	write("uri", with("two"))
	write(planeconfig.KeyPreviousPassword, "one")
	s, err := postgres.New(postgres.Config{
		Engine: planeconfig.Engine{Type: "PostgreSQL", URIFile: filepath.Join(dir, "uri")}, Schema: "q",
	}, storetest.Settings())
	if err != nil {
		t.Fatal(err)
	}
	start(t, s)
	works := func() error { _, err := s.Stats(t.Context(), storetest.Epoch); return err }
	until(t, works)
	cut := func() {
		t.Helper()
		exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'consumer'")
	}
	cut()
	until(t, works)
	exec("ALTER ROLE consumer PASSWORD 'two'")
	cut()
	until(t, works)
	// The engine is ahead.
	exec("ALTER ROLE consumer PASSWORD 'three'")
	cut()
	if err := works(); err == nil {
		t.Error("it connects with a password that is none any more")
	} else if strings.Contains(err.Error(), "two") {
		t.Errorf("the password is in the error: %v", err)
	}
	write("uri", with("three"))
	until(t, works)
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "uri")
	if err := os.WriteFile(file, []byte("postgres://u:hidden@:bad:/"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]postgres.Config{
		"no file":   {Engine: planeconfig.Engine{URIFile: file + "-none"}, Schema: "q"},
		"no URI":    {Engine: planeconfig.Engine{URIFile: file}, Schema: "q"},
		"no schema": {Engine: planeconfig.Engine{URIFile: file}},
	} {
		if _, err := postgres.New(c, storetest.Settings()); err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A call ends with its context, though the engine was never there.
func TestNotConnected(t *testing.T) {
	t.Parallel()
	s := run(t, "postgres://u:p@127.0.0.1:1/none?sslmode=disable", "q", storetest.Settings())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Get(ctx, storetest.NewJob().ID); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
