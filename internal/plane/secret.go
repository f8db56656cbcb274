package plane

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// secretOverlap is how long the value before the last is still accepted, so
// that clients whose own mount lags are not turned away at a rotation.
const secretOverlap = 5 * time.Minute

// Secret is the content of a mounted file, read again when it changes. Beside it
// may be a file with the value before, which is accepted for as long as it is there.
type Secret struct {
	path, previousPath string
	now                func() time.Time

	mu      sync.RWMutex
	current []byte
	// kept is the content of previousPath.
	kept []byte
	// replaced is what current was until a moment ago.
	replaced []byte
	until    time.Time
	// sums of the three are what tokens are compared with.
	sums struct{ current, kept, replaced [sha256.Size]byte }
}

// OpenSecret reads the file at path; an empty or absent one is an error.
// previousPath may be empty, and the file there be absent.
func OpenSecret(path, previousPath string, now func() time.Time) (*Secret, error) {
	s := &Secret{path: path, previousPath: previousPath, now: now}
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
	kept, err := s.readPrevious()
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept, s.sums.kept = kept, sha256.Sum256(kept)
	if bytes.Equal(data, s.current) {
		return false, nil
	}
	if s.current != nil {
		s.replaced, s.until = s.current, s.now().Add(secretOverlap)
		s.sums.replaced = s.sums.current
	}
	s.current, s.sums.current = data, sha256.Sum256(data)
	return true, nil
}

func (s *Secret) readPrevious() ([]byte, error) {
	if s.previousPath == "" {
		return nil, nil
	}
	data, err := os.ReadFile(s.previousPath)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read the secret before: %w", err)
	}
	return bytes.TrimSpace(data), nil
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
	out := [][]byte{s.current}
	if len(s.kept) > 0 {
		out = append(out, s.kept)
	}
	if s.overlaps() {
		out = append(out, s.replaced)
	}
	return out
}

// overlaps reports whether what was replaced is still accepted. It needs s.mu.
func (s *Secret) overlaps() bool { return s.replaced != nil && s.now().Before(s.until) }

// Matches compares in constant time, whatever the lengths.
func (s *Secret) Matches(token string) bool {
	given := sha256.Sum256([]byte(token))
	s.mu.RLock()
	defer s.mu.RUnlock()
	match := subtle.ConstantTimeCompare(given[:], s.sums.current[:])
	if len(s.kept) > 0 {
		match |= subtle.ConstantTimeCompare(given[:], s.sums.kept[:])
	}
	if s.overlaps() {
		match |= subtle.ConstantTimeCompare(given[:], s.sums.replaced[:])
	}
	return match == 1
}

// reloadSecrets reads the secrets again. A file that is gone for a moment keeps
// its last value.
func reloadSecrets(log *slog.Logger, secrets ...*Secret) {
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

// secrets are those that a service has besides the chassis's own.
type secrets struct {
	mu   sync.Mutex
	list []*Secret
}

func (s *secrets) all() []*Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

// OpenSecret is OpenSecret of a secret that is read again for as long as the plane serves.
func (p *Plane) OpenSecret(path, previousPath string) (*Secret, error) {
	s, err := OpenSecret(path, previousPath, p.auth.now)
	if err != nil {
		return nil, err
	}
	p.secrets.mu.Lock()
	defer p.secrets.mu.Unlock()
	p.secrets.list = append(p.secrets.list, s)
	return s, nil
}
