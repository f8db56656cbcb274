package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// ConnectTimeout bounds one attempt.
const ConnectTimeout = 5 * time.Second

// Target is a schema in an engine. The engine's files are read for each connection, so that a new password counts from
// the next one on.
type Target struct {
	Engine planeconfig.Engine
	Schema string
	// Settings of every connection, by their names, search_path aside.
	Settings map[string]string
	// Mounted is how long a new password is known until the engine is told of it: planeconfig.AccountMounted by default, and
	// not at all where it is negative.
	Mounted time.Duration

	// instead is set while the engine refuses the Secret's password and takes another one, and last is what it took last.
	instead atomic.Pointer[instead]
	last    atomic.Pointer[login]
	// looking is held by the one that tries passwords.
	looking sync.Mutex
}

// Config reads the files, with the password that the engine takes as far as that is known.
func (t *Target) Config() (*pgx.ConnConfig, error) {
	c, err := t.read()
	if err != nil {
		return nil, err
	}
	if i := t.instead.Load(); i != nil && i.of == (login{c.User, c.Password}) {
		c.Password = i.password
	}
	return c, nil
}

// read the files.
func (t *Target) read() (*pgx.ConnConfig, error) {
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

func (t *Target) prepare(ctx context.Context, c *pgx.Conn) error {
	t.last.Store(&login{c.Config().User, c.Config().Password})
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
		if !again || !t.Refused(ctx, err) {
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
	err = pool.Ping(ctx)
	if t.Refused(ctx, err) {
		err = pool.Ping(ctx)
	}
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("connect to the engine: %w", err)
	}
	return pool, nil
}
