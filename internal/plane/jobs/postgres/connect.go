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
	connectTimeout = 5 * time.Second
	// wrongPassword is what PostgreSQL answers then (SQLSTATE invalid_password).
	wrongPassword = "28P01"
)

// target is where the engine is. Its files are read for each connection, so that a new password counts from the
// next one on.
type target struct {
	engine planeconfig.Engine
	schema string
	// previous is true while the password before is tried, as the one of the URI was refused.
	previous atomic.Bool
}

// session is what every connection is told first. Plans are made once and without regard to statistics, which are
// always behind in tables that fill and empty within seconds: each statement has one good way, by its index.
const session = `SELECT set_config('search_path', $1, false), set_config('statement_timeout', '10s', false),
	set_config('lock_timeout', '5s', false), set_config('idle_in_transaction_session_timeout', '10s', false),
	set_config('plan_cache_mode', 'force_generic_plan', false), set_config('enable_seqscan', 'off', false),
	set_config('enable_bitmapscan', 'off', false), set_config('enable_hashjoin', 'off', false),
	set_config('enable_mergejoin', 'off', false), set_config('enable_sort', 'off', false),
	set_config('jit', 'off', false), set_config('TimeZone', 'UTC', false)`

// config reads the files.
func (t *target) config() (*pgx.ConnConfig, error) {
	uri, err := os.ReadFile(t.engine.URIFile)
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
		before, err := os.ReadFile(filepath.Join(filepath.Dir(t.engine.URIFile), planeconfig.KeyPreviousPassword))
		if err == nil {
			c.Password = strings.TrimSpace(string(before))
		}
	}
	c.ConnectTimeout = connectTimeout
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "trellis-plane"
	}
	return c, nil
}

// authorities has the engine's certificate be checked against the file, where there is one.
func (t *target) authorities(c *pgx.ConnConfig) error {
	if t.engine.CAFile == "" {
		return nil
	}
	pem, err := os.ReadFile(t.engine.CAFile)
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

// refused turns to the other password where the one that was tried is wrong, and reports whether it did.
func (t *target) refused(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != wrongPassword {
		return false
	}
	t.previous.Store(!t.previous.Load())
	return true
}

func (t *target) prepare(ctx context.Context, c *pgx.Conn) error {
	_, err := c.Exec(ctx, session, pgx.Identifier{t.schema}.Sanitize())
	return err
}

// dial opens a connection of its own.
func (t *target) dial(ctx context.Context) (*pgx.Conn, error) {
	for again := true; ; again = false {
		c, err := t.config()
		if err != nil {
			return nil, err
		}
		conn, err := pgx.ConnectConfig(ctx, c)
		if err == nil {
			return conn, t.prepare(ctx, conn)
		}
		if !t.refused(err) || !again {
			return nil, fmt.Errorf("connect to the engine: %w", err)
		}
	}
}

func (t *target) connect(ctx context.Context, connections int32) (*pgxpool.Pool, error) {
	pc, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, fmt.Errorf("read the environment's defaults: %w", err)
	}
	if pc.ConnConfig, err = t.config(); err != nil {
		return nil, err
	}
	pc.MaxConns, pc.MinConns = connections, 1
	pc.MaxConnLifetime, pc.MaxConnLifetimeJitter = time.Hour, 10*time.Minute
	pc.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		now, err := t.config()
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
		t.refused(err)
		pool.Close()
		return nil, fmt.Errorf("connect to the engine: %w", err)
	}
	return pool, nil
}
