package plane

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

const (
	// secretPoll is how often a secret's file is read again. Polling follows the
	// kubelet's swap of a symlink where a watch on the file would not.
	secretPoll = 5 * time.Second
	// secretOverlap is how long the value before the last is still accepted, so
	// that clients whose own mount lags are not turned away at a rotation.
	secretOverlap = 5 * time.Minute
)

// Secret is the content of a mounted file, read again when it changes.
type Secret struct {
	path string
	now  func() time.Time

	mu       sync.RWMutex
	current  []byte
	previous []byte
	until    time.Time
}

// OpenSecret reads the file at path; an empty or absent one is an error.
func OpenSecret(path string, now func() time.Time) (*Secret, error) {
	s := &Secret{path: path, now: now}
	if _, err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Reload reads the file again and reports whether its content changed.
func (s *Secret) Reload() (bool, error) {
	data, err := os.ReadFile(s.path)
	if err != nil {
		return false, fmt.Errorf("read secret: %w", err)
	}
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return false, fmt.Errorf("read secret: %s is empty", s.path)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes.Equal(data, s.current) {
		return false, nil
	}
	if s.current != nil {
		s.previous, s.until = s.current, s.now().Add(secretOverlap)
	}
	s.current = data
	return true, nil
}

// Value is the current content.
func (s *Secret) Value() []byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.current
}

// Values are the contents now accepted, the current one first.
func (s *Secret) Values() [][]byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.previous != nil && s.now().Before(s.until) {
		return [][]byte{s.current, s.previous}
	}
	return [][]byte{s.current}
}

// Matches compares in constant time, whatever the lengths.
func (s *Secret) Matches(token string) bool {
	given := sha256.Sum256([]byte(token))
	match := 0
	for _, v := range s.Values() {
		want := sha256.Sum256(v)
		match |= subtle.ConstantTimeCompare(given[:], want[:])
	}
	return match == 1
}

// watchSecrets reloads the secrets until ctx ends. A file that is gone for a
// moment keeps its last value.
func watchSecrets(ctx context.Context, log *slog.Logger, secrets ...*Secret) {
	tick := time.NewTicker(secretPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, s := range secrets {
			changed, err := s.Reload()
			switch {
			case err != nil && !errors.Is(err, os.ErrNotExist):
				log.Warn("a secret could not be read again; its last value stays in use", "path", s.path, "error", err)
			case changed:
				log.Info("a secret changed; its value before is accepted a while longer", "path", s.path, "overlap", secretOverlap)
			}
		}
	}
}
