package plane

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// clock is a time that a test sets.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func TestSecretRotation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	// As the kubelet does it: the file is a link into a folder that is swapped.
	mount := func(version, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, version, "token"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		tmp := filepath.Join(dir, "..tmp")
		if err := os.Symlink(version, tmp); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	mount("v1", "first\n")
	if err := os.Symlink(filepath.Join("..data", "token"), path); err != nil {
		t.Fatal(err)
	}
	c := &clock{at: time.Unix(1000, 0)}
	s, err := OpenSecret(path, "", c.now)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(when string, accepted map[string]bool) {
		t.Helper()
		for token, want := range accepted {
			if got := s.Matches(token); got != want {
				t.Errorf("%s: %q accepted %v, want %v", when, token, got, want)
			}
		}
	}
	expect("at first", map[string]bool{"first": true, "first\n": false, "second": false, "": false})
	if changed, err := s.Reload(); changed || err != nil {
		t.Errorf("nothing changed, and yet %v, %v", changed, err)
	}
	mount("v2", "second")
	if changed, err := s.Reload(); !changed || err != nil {
		t.Fatalf("the swap was not seen: %v, %v", changed, err)
	}
	expect("in the overlap", map[string]bool{"first": true, "second": true})
	c.at = c.at.Add(secretOverlap)
	expect("after the overlap", map[string]bool{"first": false, "second": true})

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reload(); err == nil {
		t.Error("a file that is gone is no error")
	}
	expect("without its file", map[string]bool{"second": true})
}

func TestSecretMustHaveContent(t *testing.T) {
	for _, content := range []string{"", "\n", "  "} {
		if _, err := OpenSecret(writeFile(t, "token", content), "", time.Now); err == nil {
			t.Errorf("%q is taken for a secret", content)
		}
	}
}

// TestSecretBefore accepts what a rotation left beside the new value, for as
// long as it is there.
func TestSecretBefore(t *testing.T) {
	dir := t.TempDir()
	path, before := filepath.Join(dir, "token"), filepath.Join(dir, "previousToken")
	put := func(path, content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(path, "two")
	put(before, "one\n")
	c := &clock{at: time.Unix(1000, 0)}
	s, err := OpenSecret(path, before, c.now)
	if err != nil {
		t.Fatal(err)
	}
	accepts := func(when string, want map[string]bool) {
		t.Helper()
		if _, err := s.Reload(); err != nil {
			t.Fatal(err)
		}
		for token, want := range want {
			if got := s.Matches(token); got != want {
				t.Errorf("%s: %q accepted %v, want %v", when, token, got, want)
			}
		}
	}
	accepts("after a restart in the midst of a rotation", map[string]bool{"one": true, "two": true, "": false})
	c.at = c.at.Add(time.Hour)
	accepts("while the file is there", map[string]bool{"one": true, "two": true})
	put(path, "three")
	put(before, "two")
	accepts("after the next rotation", map[string]bool{"one": false, "two": true, "three": true})
	c.at = c.at.Add(time.Hour)
	accepts("an hour later", map[string]bool{"two": true, "three": true})
	if err := os.Remove(before); err != nil {
		t.Fatal(err)
	}
	accepts("when the file is gone", map[string]bool{"two": false, "three": true})
	if err := os.WriteFile(before, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	accepts("with an empty one", map[string]bool{"": false, "three": true})
}
