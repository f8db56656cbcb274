package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/trellis-dev/trellis/hack/cluster/components"
	"github.com/trellis-dev/trellis/hack/cluster/internal/filelock"
	"github.com/trellis-dev/trellis/hack/cluster/internal/progress"
)

// Builder builds recipes into a cache folder.
type Builder struct {
	// Cache is the folder that everything built is kept under.
	Cache    string
	Progress *progress.Printer
	// GoVersion is part of every key: another compiler is another build.
	GoVersion string
}

// New returns a Builder for the go command on PATH.
func New(cache string, p *progress.Printer) (*Builder, error) {
	out, err := exec.Command("go", "env", "GOVERSION").Output()
	if err != nil {
		return nil, fmt.Errorf("asking the go command for its version (is Go on PATH?): %w", err)
	}
	return &Builder{Cache: cache, Progress: p, GoVersion: strings.TrimSpace(string(out))}, nil
}

// Ensure returns an artefact for every recipe, building those that the cache lacks.
func (b *Builder) Ensure(ctx context.Context, recipes []components.Recipe) ([]Artefact, error) {
	artefacts := make([]Artefact, 0, len(recipes))
	for i, r := range recipes {
		a, err := b.ensure(ctx, r, fmt.Sprintf("[%d/%d] %s", i+1, len(recipes), r.Name))
		if err != nil {
			return artefacts, err
		}
		artefacts = append(artefacts, a)
	}
	return artefacts, nil
}

func (b *Builder) ensure(ctx context.Context, r components.Recipe, label string) (Artefact, error) {
	a, err := b.lookup(r)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return a, err
	}
	folder, err := b.folder(r)
	if err != nil {
		return a, err
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return a, fmt.Errorf("making the cache folder of %s: %w", r.Name, err)
	}
	done := b.Progress.Step("building " + label + " " + filepath.Base(folder))
	lock, err := filelock.Acquire(ctx, folder+".lock")
	if err != nil {
		done("failed")
		return a, fmt.Errorf("waiting for another build of %s: %w", r.Name, err)
	}
	defer lock.Release()
	if a, err := b.lookup(r); err == nil { // another process was faster
		done("built by another process")
		return a, nil
	}
	a, err = b.build(ctx, r, folder)
	if err != nil {
		done("failed")
		return a, err
	}
	done(fmt.Sprintf("%.0f MB", float64(a.Size)/1e6))
	return a, nil
}

// build compiles in a temporary folder and puts the result in its place by a rename, so that no half-written file is
// ever found in the cache.
func (b *Builder) build(ctx context.Context, r components.Recipe, folder string) (Artefact, error) {
	began := time.Now()
	version, err := r.Version()
	if err != nil {
		return Artefact{}, err
	}
	work := filepath.Join(filepath.Dir(folder), ".work-"+filepath.Base(folder))
	// The caller holds the lock on this folder, so what is there was left by a build that was killed.
	if err := os.RemoveAll(work); err != nil {
		return Artefact{}, fmt.Errorf("clearing away an earlier build of %s: %w", r.Name, err)
	}
	if err := os.Mkdir(work, 0o755); err != nil {
		return Artefact{}, fmt.Errorf("making a folder to build %s in: %w", r.Name, err)
	}
	defer os.RemoveAll(work)
	source, result := filepath.Join(work, "source"), filepath.Join(work, "result")
	if err := writeSources(r, source, result); err != nil {
		return Artefact{}, err
	}
	cmd := command(ctx, r, version, filepath.Join(result, r.Name))
	cmd.Dir = source
	if err := runLogged(cmd, filepath.Join(b.Cache, "logs", r.Name+".log")); err != nil {
		return Artefact{}, fmt.Errorf("building %s: %w", r.Name, err)
	}
	a := Artefact{Name: r.Name, Version: version, Seconds: time.Since(began).Seconds(), BuiltAt: began.UTC()}
	if a.SHA256, a.Size, err = digest(filepath.Join(result, r.Name)); err != nil {
		return Artefact{}, err
	}
	if err := publish(a, result, folder); err != nil {
		return Artefact{}, err
	}
	a.Path = filepath.Join(folder, r.Name)
	return a, nil
}

func writeSources(r components.Recipe, source, result string) error {
	files, err := r.Files()
	if err != nil {
		return err
	}
	for _, dir := range []string{source, result} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making a folder to build %s in: %w", r.Name, err)
		}
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(source, name), data, 0o644); err != nil {
			return fmt.Errorf("writing the sources of %s: %w", r.Name, err)
		}
	}
	return nil
}

func publish(a Artefact, result, folder string) error {
	record, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the record of %s: %w", a.Name, err)
	}
	if err := os.WriteFile(filepath.Join(result, "artefact.json"), record, 0o644); err != nil {
		return fmt.Errorf("writing the record of %s: %w", a.Name, err)
	}
	if err := os.RemoveAll(folder); err != nil { // a damaged one
		return fmt.Errorf("removing the damaged %s: %w", a.Name, err)
	}
	if err := os.Rename(result, folder); err != nil {
		return fmt.Errorf("putting %s in its place: %w", a.Name, err)
	}
	return nil
}
