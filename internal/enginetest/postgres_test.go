package enginetest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestPostgres(t *testing.T) {
	t.Parallel()
	uri, server := Postgres(t)
	run := func(sql string) {
		t.Helper()
		c, err := pgx.Connect(t.Context(), uri)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close(context.Background()) }()
		if _, err := c.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	run("CREATE TABLE kept (id int)")
	server.Kill()
	server.Start()
	run("INSERT INTO kept VALUES (1)")
	server.Stop()
	if c, err := pgx.Connect(t.Context(), uri); err == nil {
		_ = c.Close(t.Context())
		t.Error("it answers while it is stopped")
	}
	server.Start()
	run("SELECT 1/(SELECT count(*) FROM kept)")
}

func TestPostgresOfItsOwn(t *testing.T) {
	t.Parallel()
	one, _ := Postgres(t)
	other, _ := Postgres(t)
	if one == other {
		t.Errorf("two servers are one: %s", one)
	}
}
