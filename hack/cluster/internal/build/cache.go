// Package build turns recipes (package components) into executables and keeps them in a cache folder, one folder a
// version and recipe. Several processes may build into the same cache at once.
package build

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"time"

	"github.com/trellis-dev/trellis/hack/cluster/components"
)

// Artefact is a built executable.
type Artefact struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// Seconds is how long the build took.
	Seconds float64   `json:"seconds"`
	BuiltAt time.Time `json:"builtAt"`
	// Path is the executable's place in the cache.
	Path string `json:"-"`
	// Cached says that this run did not have to build it.
	Cached bool `json:"-"`
}

// Key identifies a build: the same key means the same inputs. Its form is version-hash.
func Key(r components.Recipe, goVersion string) (string, error) {
	version, err := r.Version()
	if err != nil {
		return "", err
	}
	files, err := r.Files()
	if err != nil {
		return "", err
	}
	names := make([]string, 0, len(files))
	for n := range files {
		names = append(names, n)
	}
	sort.Strings(names)
	h := sha256.New()
	fmt.Fprintf(h, "%#v\n%s %s/%s\n", r, goVersion, runtime.GOOS, runtime.GOARCH)
	for _, n := range names {
		fmt.Fprintf(h, "%s %d\n", n, len(files[n]))
		h.Write(files[n])
	}
	return version + "-" + hex.EncodeToString(h.Sum(nil))[:12], nil
}

// lookup returns the cached artefact, or fs.ErrNotExist when there is none that can be trusted.
func (b *Builder) lookup(r components.Recipe) (Artefact, error) {
	folder, err := b.folder(r)
	if err != nil {
		return Artefact{}, err
	}
	record, err := os.ReadFile(filepath.Join(folder, "artefact.json"))
	if err != nil {
		return Artefact{}, fmt.Errorf("looking for a cached %s: %w", r.Name, err)
	}
	var a Artefact
	if err := json.Unmarshal(record, &a); err != nil {
		return Artefact{}, errors.Join(fs.ErrNotExist, fmt.Errorf("reading the record of %s: %w", r.Name, err))
	}
	a.Path, a.Cached = filepath.Join(folder, r.Name), true
	return a, b.verify(a)
}

// verify compares the executable with its record. Hashing 600 MB takes longer than a warm start should, so a file
// whose size and modification time are those of an earlier full check is taken as it is.
func (b *Builder) verify(a Artefact) error {
	info, err := os.Stat(a.Path)
	if err != nil {
		return fmt.Errorf("looking for a cached %s: %w", a.Name, err)
	}
	mark := filepath.Join(filepath.Dir(a.Path), "verified")
	stamp := fmt.Sprintf("%s %d %d", a.SHA256, info.Size(), info.ModTime().UnixNano())
	if seen, err := os.ReadFile(mark); err == nil && string(seen) == stamp {
		return nil
	}
	sum, size, err := digest(a.Path)
	if err != nil {
		return err
	}
	if sum != a.SHA256 || size != a.Size {
		return fmt.Errorf("the cached %s is damaged: %w", a.Name, fs.ErrNotExist)
	}
	if err := os.WriteFile(mark, []byte(stamp), 0o644); err != nil {
		return fmt.Errorf("marking %s as verified: %w", a.Name, err)
	}
	return nil
}

func (b *Builder) folder(r components.Recipe) (string, error) {
	key, err := Key(r, b.GoVersion)
	if err != nil {
		return "", err
	}
	return filepath.Join(b.Cache, "bin", r.Name, key), nil
}

func digest(path string) (sum string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, fmt.Errorf("opening %s to hash it: %w", path, err)
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return "", 0, fmt.Errorf("hashing %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}
