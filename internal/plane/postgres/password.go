package postgres

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	// invalidPassword is what PostgreSQL answers where a password is wrong (SQLSTATE).
	invalidPassword = "28P01"
	// takeUpEvery is how often the Secret is looked at.
	takeUpEvery = 15 * time.Second
	// takeUpTimeout bounds one look.
	takeUpTimeout = 30 * time.Second
	// takeUpLock is held by the one replica that changes the password.
	takeUpLock = 0x7472656c6c6974
)

// errAllRefused: the Secret is not of this engine, or not the newest.
var errAllRefused = errors.New("the engine takes neither the password of the Secret, nor the one before, nor the one that it took last")

// login is how somebody is let in.
type login struct{ user, password string }

// instead is what the engine takes in place of what the Secret says.
type instead struct {
	of       login
	password string
}

// Refused looks for a password that the engine takes, where the one that was tried is wrong, and reports whether there is one.
func (t *Target) Refused(ctx context.Context, err error) bool {
	if !isRefusal(err) {
		return false
	}
	before := t.instead.Load()
	t.looking.Lock()
	defer t.looking.Unlock()
	if t.instead.Load() != before {
		return true // somebody else has looked
	}
	c, err := t.find(ctx)
	if err != nil {
		return false
	}
	_ = c.Close(ctx)
	return true
}

func isRefusal(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == invalidPassword
}

// find a password that the engine takes, for the connections to come. The one of the Secret goes first: the engine may have
// it by now. t.looking is held.
func (t *Target) find(ctx context.Context) (*pgx.Conn, error) {
	c, err := t.read()
	if err != nil {
		return nil, err
	}
	of := login{c.User, c.Password}
	candidates := []string{of.password}
	if previous, err := t.before(); err != nil {
		return nil, err
	} else if previous != "" {
		candidates = append(candidates, previous)
	}
	if last := t.last.Load(); last != nil && last.user == of.user {
		candidates = append(candidates, last.password)
	}
	for _, password := range candidates {
		c.Password = password
		conn, err := pgx.ConnectConfig(ctx, c)
		if isRefusal(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("connect to the engine: %w", err)
		}
		if password == of.password {
			t.instead.Store(nil)
		} else {
			t.instead.Store(&instead{of, password})
		}
		return conn, nil
	}
	t.instead.Store(nil)
	return nil, errAllRefused
}

// before is the password before the last rotation. It is empty where there was none: an engine of others has none ever.
func (t *Target) before() (string, error) {
	text, err := os.ReadFile(filepath.Join(filepath.Dir(t.Engine.URIFile), planeconfig.KeyPreviousPassword))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the password before: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// TakeUp has the engine take a new password of the account until ctx ends. The role sets it itself, planeconfig.AccountMounted
// after it was read first; until then, connections are made with the one before.
func (t *Target) TakeUp(ctx context.Context, log *slog.Logger) {
	var r rotation
	for {
		if err := t.takeUp(ctx, &r, time.Now(), log); err != nil && ctx.Err() == nil {
			log.Warn("the account's new password is not taken up yet", "error", err)
		}
		if !wait(ctx, takeUpEvery) {
			return
		}
	}
}

// rotation is what a process knows of the account's password.
type rotation struct {
	// done is the last one that the engine took.
	done string
	// seen is one that it did not take yet, and since when that is known.
	seen  string
	since time.Time
}

// takeUp is one look at the Secret, at the time now.
func (t *Target) takeUp(ctx context.Context, r *rotation, now time.Time, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, takeUpTimeout)
	defer cancel()
	previous, err := t.before()
	if err != nil || previous == "" {
		return err
	}
	c, err := t.read()
	if err != nil {
		return err
	}
	wanted := c.Password
	if wanted == r.done && t.instead.Load() == nil {
		return nil
	}
	t.looking.Lock()
	defer t.looking.Unlock()
	conn, err := t.find(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if conn.Config().Password == wanted {
		r.done = wanted
		return nil
	}
	if r.seen != wanted {
		r.seen, r.since = wanted, now
	}
	if now.Sub(r.since) < cmp.Or(t.Mounted, planeconfig.AccountMounted) {
		return nil
	}
	if err := setOwnPassword(ctx, conn, wanted); err != nil {
		return err
	}
	t.instead.Store(nil)
	r.done = wanted
	log.Info("the engine takes the account's new password, and refuses the one before")
	return nil
}

// setOwnPassword needs no right: a role may set its own.
func setOwnPassword(ctx context.Context, c *pgx.Conn, password string) error {
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return fmt.Errorf("salt the password: %w", err)
	}
	verifier, err := planeconfig.PostgresVerifier(password, salt)
	if err != nil {
		return err
	}
	if err := pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(takeUpLock)); err != nil {
			return err
		}
		// A verifier is base64 and punctuation.
		_, err := tx.Exec(ctx, "ALTER ROLE CURRENT_USER PASSWORD '"+verifier+"'")
		return err
	}); err != nil {
		return fmt.Errorf("set the account's password: %w", err)
	}
	return nil
}
