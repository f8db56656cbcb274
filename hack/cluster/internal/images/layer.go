// Package images assembles container images without Docker and without a registry: from static executables, and from
// Debian packages. The same inputs give the same bytes.
package images

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Entry is a file, folder or symbolic link of a layer.
type Entry struct {
	// Path is absolute within the image.
	Path string
	Mode fs.FileMode
	// Source is a file of the host with the content; Data is the content itself; Link is a link's target.
	Source, Link string
	Data         []byte
	UID, GID     int
}

// epoch is every entry's time of change.
var epoch = time.Unix(0, 0).UTC()

// writeTar writes the entries in the order of their paths. Folders that are not among them come with mode 0755.
func writeTar(w io.Writer, entries []Entry) error {
	entries = withFolders(entries)
	out := tar.NewWriter(w)
	for _, e := range entries {
		if err := writeEntry(out, e); err != nil {
			return fmt.Errorf("adding %s to a layer: %w", e.Path, err)
		}
	}
	return out.Close()
}

// withFolders adds the folders that paths imply, drops all but the last of entries with one path, and sorts.
func withFolders(entries []Entry) []Entry {
	byPath := map[string]Entry{}
	for _, e := range entries {
		e.Path = path.Clean("/" + e.Path)
		byPath[e.Path] = e
		for dir := path.Dir(e.Path); dir != "/"; dir = path.Dir(dir) {
			if _, ok := byPath[dir]; !ok {
				byPath[dir] = Entry{Path: dir, Mode: fs.ModeDir | 0o755}
			}
		}
	}
	delete(byPath, "/")
	out := make([]Entry, 0, len(byPath))
	for _, e := range byPath {
		out = append(out, e)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Path < out[j].Path })
	return out
}

func writeEntry(out *tar.Writer, e Entry) error {
	header := &tar.Header{Name: strings.TrimPrefix(e.Path, "/"), Mode: int64(unixMode(e.Mode)), Uid: e.UID, Gid: e.GID,
		ModTime: epoch, Format: tar.FormatPAX}
	switch {
	case e.Mode.IsDir():
		header.Typeflag, header.Name = tar.TypeDir, header.Name+"/"
		return out.WriteHeader(header)
	case e.Link != "":
		header.Typeflag, header.Linkname = tar.TypeSymlink, e.Link
		return out.WriteHeader(header)
	case e.Source == "":
		header.Typeflag, header.Size = tar.TypeReg, int64(len(e.Data))
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		_, err := out.Write(e.Data)
		return err
	}
	f, err := os.Open(e.Source)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	header.Typeflag, header.Size = tar.TypeReg, info.Size()
	if err := out.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(out, f)
	return err
}

// unixMode is a mode as tar wants it, with the bits that Go keeps elsewhere.
func unixMode(m fs.FileMode) uint32 {
	mode := uint32(m.Perm())
	for bit, unix := range map[fs.FileMode]uint32{fs.ModeSticky: 0o1000, fs.ModeSetgid: 0o2000, fs.ModeSetuid: 0o4000} {
		if m&bit != 0 {
			mode |= unix
		}
	}
	return mode
}

// newLayer keeps the layer uncompressed: it travels from one folder of this machine to another.
func newLayer(entries []Entry) (v1.Layer, error) {
	var content bytes.Buffer
	if err := writeTar(&content, entries); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content.Bytes())), nil
	}, tarball.WithMediaType(types.DockerUncompressedLayer))
}

// fromFolder makes entries of everything below root. Owners are not kept: everything belongs to root.
func fromFolder(root string) ([]Entry, error) {
	var entries []Entry
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		e := Entry{Path: "/" + strings.TrimPrefix(strings.TrimPrefix(p, root), "/"), Mode: info.Mode()}
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			if e.Link, err = os.Readlink(p); err != nil {
				return err
			}
		case info.Mode().IsRegular():
			e.Source = p
		case !info.IsDir():
			return errors.New("neither file, folder nor link: " + p)
		}
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the files of an image: %w", err)
	}
	return entries, nil
}
