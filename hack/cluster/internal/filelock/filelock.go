// Package filelock keeps two processes from doing the same work at once. A lock is bound to an open file, so it is
// freed by the kernel when its holder dies, however it dies.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// ErrHeld says that another process holds the lock.
var ErrHeld = errors.New("held by another process")

// Lock is a held lock.
type Lock struct{ file *os.File }

// Try takes the lock or fails with ErrHeld at once.
func Try(path string) (*Lock, error) {
	for {
		lock, err := lockFile(path)
		// Its last holder may have removed the file between our opening and our locking it.
		if err != nil || lock.current(path) {
			return lock, err
		}
		lock.Release()
	}
}

func lockFile(path string) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the lock file: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking %s: %w", path, ErrHeld)
		}
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return &Lock{f}, nil
}

// Acquire waits for the lock until ctx ends.
func Acquire(ctx context.Context, path string) (*Lock, error) {
	for {
		lock, err := Try(path)
		if !errors.Is(err, ErrHeld) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for %s: %w", path, ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// current says whether the locked file is still the one that the path leads to.
func (l *Lock) current(path string) bool {
	there, err := os.Stat(path)
	if err != nil {
		return false
	}
	mine, err := l.file.Stat()
	return err == nil && os.SameFile(there, mine)
}

// Release frees the lock and leaves its file for the next holder.
func (l *Lock) Release() { l.file.Close() }

// Remove frees the lock and removes its file. Who waits for it makes a new one.
func (l *Lock) Remove() {
	_ = os.Remove(l.file.Name())
	l.file.Close()
}
