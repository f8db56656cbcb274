package account

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trellis-dev/trellis/internal/enginetest"
)

// folder of a mounted Secret.
func folder(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func consumer(t *testing.T, name, password string) string {
	t.Helper()
	return folder(t, map[string]string{"username": name, "password": password, "database": name + ".Ab-_1"})
}

func request(t *testing.T, admin, account string) (Request, *bytes.Buffer) {
	t.Helper()
	log := &bytes.Buffer{}
	return Request{Engine: "PostgreSQL", Admin: admin, Account: account, Timeout: time.Minute, Log: slog.New(slog.NewTextHandler(log, nil))}, log
}

func run(t *testing.T, uri, sql string) {
	t.Helper()
	if err := try(t, uri, sql); err != nil {
		t.Fatal(err)
	}
}

func try(t *testing.T, uri, sql string) error {
	c, err := pgx.Connect(t.Context(), uri)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(context.Background()) }()
	_, err = c.Exec(t.Context(), sql)
	return err
}

// as is the URI of a consumer, at the server of another.
func as(t *testing.T, uri, name, password, database string) string {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	u.User, u.Path = url.UserPassword(name, password), "/"+database
	return u.String()
}

func TestPostgresAccounts(t *testing.T) {
	t.Parallel()
	uri, _ := enginetest.Postgres(t)
	admin := folder(t, map[string]string{"uri": uri})
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			r, log := request(t, admin, consumer(t, fmt.Sprintf("q%d-jq", i%2), "it's of the consumer"))
			if err := Ensure(t.Context(), r); err != nil {
				t.Errorf("%v\n%s", err, log)
			}
			if strings.Contains(log.String(), "of the consumer") {
				t.Errorf("the log holds a password:\n%s", log)
			}
		})
	}
	wg.Wait()
	own := as(t, uri, "q0-jq", "it's of the consumer", "q0-jq.Ab-_1")
	run(t, own, "CREATE TABLE jobs (id int)")
	if err := try(t, as(t, uri, "q0-jq", "it's of the consumer", "q1-jq.Ab-_1"), "SELECT 1"); err == nil {
		t.Error("a consumer is let into the database of another")
	}
	if err := try(t, own, "CREATE ROLE more"); err == nil {
		t.Error("a consumer makes roles")
	}

	t.Log("a password that is another by now")
	r, _ := request(t, admin, consumer(t, "q0-jq", "newer"))
	if err := Ensure(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	run(t, as(t, uri, "q0-jq", "newer", "q0-jq.Ab-_1"), "SELECT * FROM jobs")
}

func TestPostgresAccountWaits(t *testing.T) {
	t.Parallel()
	uri, server := enginetest.Postgres(t)
	server.Stop()
	r, _ := request(t, folder(t, map[string]string{"uri": uri}), consumer(t, "late-jq", "pw"))
	done := make(chan error, 1)
	go func() { done <- Ensure(t.Context(), r) }()
	server.Start()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	run(t, as(t, uri, "late-jq", "pw", "late-jq.Ab-_1"), "SELECT 1")
}

func TestPostgresAccountByThePasswordBefore(t *testing.T) {
	t.Parallel()
	uri, _ := enginetest.Postgres(t)
	admin := folder(t, map[string]string{
		"uri": as(t, uri, "postgres", "not-taken-up-yet", "postgres"), "previousPassword": enginetest.PostgresPassword,
	})
	r, _ := request(t, admin, consumer(t, "q-jq", "pw"))
	if err := Ensure(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// cancelling ends what writes the first line, which is that an attempt has failed.
type cancelling struct {
	log    io.Writer
	cancel context.CancelFunc
}

func (c cancelling) Write(line []byte) (int, error) {
	c.cancel()
	return c.log.Write(line)
}

func TestPostgresAccountRefused(t *testing.T) {
	t.Parallel()
	uri, _ := enginetest.Postgres(t)
	for name, c := range map[string]struct {
		admin, account map[string]string
		says           string
	}{
		"a name that is none": {map[string]string{"uri": uri}, map[string]string{"username": `a"b`, "password": "s3cret", "database": "d"}, "can not be the names"},
		"the superuser":       {map[string]string{"uri": uri}, map[string]string{"username": "postgres", "password": "s3cret", "database": "d"}, "can not be the names"},
		"no password":         {map[string]string{"uri": uri}, map[string]string{"username": "a", "database": "d"}, "no key password"},
		"no binding":          {nil, map[string]string{"username": "a", "password": "s3cret", "database": "d"}, "the URI must be"},
		"a wrong password": {map[string]string{"uri": as(t, uri, "postgres", "s3cret", "postgres")},
			map[string]string{"username": "a", "password": "s3cret", "database": "d"}, "28P01"},
	} {
		t.Run(name, func(t *testing.T) {
			r, log := request(t, folder(t, c.admin), folder(t, c.account))
			ctx, cancel := context.WithCancel(t.Context())
			r.Log = slog.New(slog.NewTextHandler(cancelling{log, cancel}, nil))
			err := Ensure(ctx, r)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error is %v, not %q", err, c.says)
			}
			if strings.Contains(fmt.Sprint(err, log), "s3cret") {
				t.Errorf("a secret is told: %v\n%s", err, log)
			}
		})
	}
}

func TestUnknownEngine(t *testing.T) {
	r, _ := request(t, "", "")
	r.Engine = "Abacus"
	if err := Ensure(t.Context(), r); err == nil {
		t.Error("an account of an unknown engine is made")
	}
}

// TestPostgresAccountInTheMiddleOfARotation shows that a pod which starts does not lock out those that have not read the new password.
func TestPostgresAccountInTheMiddleOfARotation(t *testing.T) {
	t.Parallel()
	uri, _ := enginetest.Postgres(t)
	admin := folder(t, map[string]string{"uri": uri})
	for _, step := range []struct{ password, previous, taken string }{
		{"first", "", "first"},
		{"second", "first", "first"},
		// Of the one before nobody can make use: it is two rotations behind.
		{"third", "second", "third"},
		{"third", "second", "third"},
	} {
		account := folder(t, map[string]string{
			"username": "q-jq", "password": step.password, "previousPassword": step.previous, "database": "q-jq.1",
		})
		r, log := request(t, admin, account)
		if err := Ensure(t.Context(), r); err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		for _, password := range []string{"first", "second", "third"} {
			if err := try(t, as(t, uri, "q-jq", password, "q-jq.1"), "SELECT 1"); (err == nil) != (password == step.taken) {
				t.Errorf("with the Secret %+v, the password %q: %v", step, password, err)
			}
		}
	}
}
