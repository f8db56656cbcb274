package account

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// How long to wait between two attempts, doubling.
const (
	firstWait   = 500 * time.Millisecond
	longestWait = 10 * time.Second
	// attemptTimeout bounds one attempt.
	attemptTimeout = 30 * time.Second
)

// Request names what is to be made, and where.
type Request struct {
	// Engine is the type of the Engine, e.g. "PostgreSQL".
	Engine string
	// Admin is the folder of the Engine's binding, and Account that of the consumer's own Secret.
	Admin, Account string
	// Timeout bounds all attempts together.
	Timeout time.Duration
	Log     *slog.Logger
}

// permanent is an error that another attempt would meet again.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// maker makes an account, or repairs it. admin and account are the files of the two folders, read anew for each
// attempt. Its errors hold no secret.
type maker func(ctx context.Context, log *slog.Logger, admin, account files) error

var makers = map[string]maker{
	"NATS":       natsAccount,
	"PostgreSQL": postgresAccount,
	"S3":         s3Account,
}

// Ensure makes the account, or repairs it, trying again until the engine is there. An error says what kept the last
// attempt from it.
func Ensure(ctx context.Context, r Request) error {
	ensure, ok := makers[r.Engine]
	if !ok {
		return fmt.Errorf("an engine of type %q has no accounts that this version knows how to make", r.Engine)
	}
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	wait := firstWait
	for {
		err := attempt(ctx, r, ensure)
		var never permanent
		if err == nil || errors.As(err, &never) {
			return err
		}
		r.Log.Warn("no account yet; trying again", "engine", r.Engine, "error", err, "wait", wait.String())
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("gave up after %s: %w", r.Timeout, err)
		case <-timer.C:
		}
		wait = min(2*wait, longestWait)
	}
}

func attempt(ctx context.Context, r Request, ensure maker) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	admin, err := readFiles(r.Admin, append(planeconfig.S3Keys(), planeconfig.KeyPreviousPassword, planeconfig.KeyOperatorSeed, planeconfig.KeySystemSeed)...)
	if err != nil {
		return fmt.Errorf("read the engine's binding: %w", err)
	}
	account, err := readFiles(r.Account, append(planeconfig.S3Keys(), "username", "password", planeconfig.KeyPreviousPassword, "database", planeconfig.KeySeed,
		planeconfig.KeyObjectLock, planeconfig.KeyAdopt)...)
	if err != nil {
		return fmt.Errorf("read the account: %w", err)
	}
	return ensure(ctx, r.Log, admin, account)
}

// files are the contents of a mounted Secret, by key.
type files map[string]string

// readFiles of a folder; those that are not there are empty.
func readFiles(dir string, names ...string) (files, error) {
	out := files{}
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		out[name] = string(bytes.TrimSpace(content))
	}
	return out, nil
}

// data is the Secret that the files are of.
func (f files) data() map[string][]byte {
	out := map[string][]byte{}
	for name, content := range f {
		out[name] = []byte(content)
	}
	return out
}

// need returns an error that names the first key which is empty.
func (f files) need(names ...string) error {
	for _, name := range names {
		if f[name] == "" {
			return fmt.Errorf("the Secret has no key %s", name)
		}
	}
	return nil
}
