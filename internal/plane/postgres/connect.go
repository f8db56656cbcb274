package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	// ConnectTimeout bounds one attempt.
	ConnectTimeout = 5 * time.Second
	// invalidPassword is what PostgreSQL answers where a password is wrong (SQLSTATE).
	invalidPassword = "28P01"
)

// Target is a schema in an engine. The engine's files are read for each connection, so that a new password counts from
// the next one on.
type Target struct {
	Engine planeconfig.Engine
	Schema string
	// Settings of every connection, by their names, search_path aside.
	Settings map[string]string

	// previous is true while the password before is tried, as the one of the URI was refused.
	previous atomic.Bool
}

// Config reads the files.
func (t *Target) Config() (*pgx.ConnConfig, error) {
	uri, err := os.ReadFile(t.Engine.URIFile)
	if err != nil {
		return nil, fmt.Errorf("read the engine's URI: %w", err)
	}
	c, err := pgx.ParseConfig(strings.TrimSpace(string(uri)))
	if err != nil {
		// The cause quotes the URI, and so the password.
		return nil, errors.New("the engine's URI is not one of PostgreSQL: postgres://user:password@host:port/database")
	}
	if err := t.authorities(c); err != nil {
		return nil, err
	}
	if t.previous.Load() {
		before, err := os.ReadFile(filepath.Join(filepath.Dir(t.Engine.URIFile), planeconfig.KeyPreviousPassword))
		if err == nil {
			c.Password = strings.TrimSpace(string(before))
		}
	}
	c.ConnectTimeout = ConnectTimeout
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "trellis-plane"
	}
	return c, nil
}

// authorities has the engine's certificate be checked against the file, where there is one.
func (t *Target) authorities(c *pgx.ConnConfig) error {
	if t.Engine.CAFile == "" {
		return nil
	}
	pem, err := os.ReadFile(t.Engine.CAFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the engine's certificate authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return errors.New("the engine's certificate authorities are not PEM")
	}
	set := func(to *tls.Config) {
		if to != nil {
			to.RootCAs = pool
		}
	}
	set(c.TLSConfig)
	for _, f := range c.Fallbacks {
		set(f.TLSConfig)
	}
	return nil
}

// Refused turns to the other password where the one that was tried is wrong, and reports whether it did.
func (t *Target) Refused(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != invalidPassword {
		return false
	}
	t.previous.Store(!t.previous.Load())
	return true
}

func (t *Target) prepare(ctx context.Context, c *pgx.Conn) error {
	b := &pgx.Batch{}
	b.Queue("SELECT set_config('search_path', $1, false)", pgx.Identifier{t.Schema}.Sanitize())
	for name, value := range t.Settings {
		b.Queue("SELECT set_config($1, $2, false)", name, value)
	}
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("set up a connection: %w", err)
	}
	return nil
}

// Dial opens a connection of its own.
func (t *Target) Dial(ctx context.Context) (*pgx.Conn, error) {
	for again := true; ; again = false {
		c, err := t.Config()
		if err != nil {
			return nil, err
		}
		conn, err := pgx.ConnectConfig(ctx, c)
		if err == nil {
			return conn, t.prepare(ctx, conn)
		}
		if !t.Refused(err) || !again {
			return nil, fmt.Errorf("connect to the engine: %w", err)
		}
	}
}

// Connect opens a pool of at most so many connections, and asks the engine something.
func (t *Target) Connect(ctx context.Context, connections int32) (*pgxpool.Pool, error) {
	pc, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, fmt.Errorf("read the environment's defaults: %w", err)
	}
	if pc.ConnConfig, err = t.Config(); err != nil {
		return nil, err
	}
	pc.MaxConns, pc.MinConns = connections, 1
	pc.MaxConnLifetime, pc.MaxConnLifetimeJitter = time.Hour, 10*time.Minute
	pc.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		now, err := t.Config()
		if err == nil {
			*c = *now
		}
		return err
	}
	pc.AfterConnect = t.prepare
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("connect to the engine: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		t.Refused(err)
		pool.Close()
		return nil, fmt.Errorf("connect to the engine: %w", err)
	}
	return pool, nil
}
