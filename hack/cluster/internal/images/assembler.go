package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/trellis-dev/trellis/hack/cluster/internal/build"
	"github.com/trellis-dev/trellis/hack/cluster/internal/debian"
	"github.com/trellis-dev/trellis/hack/cluster/internal/filelock"
	"github.com/trellis-dev/trellis/hack/cluster/internal/progress"
)

// recipeVersion is raised when the way of assembling changes, so that cached images are made anew.
const recipeVersion = 2

// Assembler makes the catalogue's images and keeps them in the cache.
type Assembler struct {
	Cache    string
	Progress *progress.Printer
	// Artefacts are the executables that images are made of.
	Artefacts []build.Artefact
}

// Image is an assembled image.
type Image struct {
	Name string
	// Path is the file that `load` takes; it bears a hash of all that went in, so the same path is the same image.
	Path   string
	Size   int64
	Cached bool
}

// Ensure assembles the images that the cache lacks.
func (a *Assembler) Ensure(ctx context.Context, specs []Spec) ([]Image, error) {
	var out []Image
	for i, s := range specs {
		img, err := a.ensure(ctx, s, fmt.Sprintf("assembling [%d/%d] %s", i+1, len(specs), s.Settings.Name))
		if err != nil {
			return out, err
		}
		out = append(out, img)
	}
	return out, nil
}

func (a *Assembler) ensure(ctx context.Context, s Spec, label string) (Image, error) {
	path, err := a.path(s)
	if err != nil {
		return Image{}, err
	}
	img := Image{Name: s.Settings.Name, Path: path, Cached: true}
	if info, err := os.Stat(path); err == nil {
		img.Size = info.Size()
		return img, nil
	}
	done := a.Progress.Step(label)
	if err := a.assemble(ctx, s, path); err != nil {
		done("failed")
		return Image{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		done("failed")
		return Image{}, fmt.Errorf("looking at the assembled %s: %w", s.Settings.Name, err)
	}
	done(fmt.Sprintf("%.1f MB", float64(info.Size())/1e6))
	img.Size, img.Cached = info.Size(), false
	return img, nil
}

// path names the image's file after everything that goes in, but for the packages' versions: those are what the
// mirror had when the image was assembled.
func (a *Assembler) path(s Spec) (string, error) {
	declared, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("encoding the declaration of %s: %w", s.Settings.Name, err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%d\n%s\n", recipeVersion, declared)
	for _, art := range a.Artefacts {
		if _, used := s.Executables[art.Name]; used {
			fmt.Fprintf(h, "%s %s\n", art.Name, art.SHA256)
		}
	}
	readable := strings.NewReplacer("/", "_", ":", "_").Replace(s.Settings.Name)
	return filepath.Join(a.Cache, "images", readable+"-"+hex.EncodeToString(h.Sum(nil))[:12]+".tar"), nil
}

func (a *Assembler) assemble(ctx context.Context, s Spec, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making the folder of images: %w", err)
	}
	lock, err := filelock.Acquire(ctx, path+".lock")
	if err != nil {
		return fmt.Errorf("waiting for another process that assembles %s: %w", s.Settings.Name, err)
	}
	defer lock.Release()
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	var layers [][]Entry
	if len(s.Packages) > 0 {
		root := filepath.Join(filepath.Dir(path), ".root-"+filepath.Base(path))
		// The lock on path is held, so what is there was left by an assembly that was killed.
		if err := os.RemoveAll(root); err != nil {
			return fmt.Errorf("clearing away an earlier assembly of %s: %w", s.Settings.Name, err)
		}
		defer os.RemoveAll(root)
		entries, err := a.fromPackages(ctx, s, root)
		if err != nil {
			return fmt.Errorf("unpacking the packages of %s: %w", s.Settings.Name, err)
		}
		layers = append(layers, entries)
	}
	own, err := a.ownEntries(s)
	if err != nil {
		return err
	}
	return Assemble(path, s.Settings, append(layers, own)...)
}

func (a *Assembler) fromPackages(ctx context.Context, s Spec, root string) ([]Entry, error) {
	archive := debian.Archive{Folder: filepath.Join(a.Cache, "debian", s.Suite), Suite: s.Suite}
	if err := archive.Unpack(ctx, root, s.Packages, s.Without, s.Unwanted); err != nil {
		return nil, err
	}
	return fromFolder(root)
}

// ownEntries are those that come neither from a package nor from the host's folders.
func (a *Assembler) ownEntries(s Spec) ([]Entry, error) {
	var entries []Entry
	if !s.Bare {
		entries = Base(s.Settings.User)
	}
	for component, path := range s.Executables {
		source := ""
		for _, art := range a.Artefacts {
			if art.Name == component {
				source = art.Path
			}
		}
		if source == "" {
			return nil, fmt.Errorf("assembling %s: %s was not built", s.Settings.Name, component)
		}
		entries = append(entries, Entry{Path: path, Mode: 0o755, Source: source})
	}
	for path, target := range s.Links {
		entries = append(entries, Entry{Path: path, Mode: fs.ModeSymlink | 0o777, Link: target})
	}
	for _, path := range s.Writable {
		entries = append(entries, Entry{Path: path, Mode: fs.ModeDir | 0o755, UID: s.Settings.User.ID, GID: s.Settings.User.ID})
	}
	return entries, nil
}
