package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/internal/plane/jobs/storetest"
)

// A replica that brings indexes along has the others go on: while it makes them, jobs are accepted.
func TestIndexesAreMadeBesideTheWork(t *testing.T) {
	t.Parallel()
	uri, _ := enginetest.Postgres(t)
	before := run(t, uri, "q", storetest.Settings())
	submit := func(s jobs.Store) {
		t.Helper()
		if _, err := s.Submit(t.Context(), storetest.Epoch, []jobs.NewJob{storetest.NewJob()}); err != nil {
			t.Fatal(err)
		}
	}
	submit(before)
	admin, writer := connect(t, uri), connect(t, uri)
	// As one of the release before has it.
	exec(t, admin, "DELETE FROM q.goose_db_version WHERE version_id = 3")
	exec(t, writer, "BEGIN")
	exec(t, writer, "UPDATE q.jobs SET message = 'a transaction that is open'")

	next := run(t, uri, "q", storetest.Settings())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for waits := false; !waits; {
		if err := admin.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE query LIKE '%INDEX%' AND wait_event_type = 'Lock' AND pid <> pg_backend_pid())`).Scan(&waits); err != nil {
			t.Fatal(err)
		}
	}
	submit(before)
	exec(t, writer, "COMMIT")
	submit(next)
	var made int
	if err := admin.QueryRow(t.Context(), `SELECT count(*) FROM pg_index WHERE indisvalid
		AND indexrelid IN ('q.jobs_type'::regclass, 'q.jobs_over'::regclass)`).Scan(&made); err != nil || made != 2 {
		t.Errorf("%d indexes are there and valid (%v), want 2", made, err)
	}
}

func connect(t *testing.T, uri string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func exec(t *testing.T, c *pgx.Conn, statement string) {
	t.Helper()
	if _, err := c.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}
