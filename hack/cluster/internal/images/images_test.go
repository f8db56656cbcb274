package images

import (
	"archive/tar"
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// entriesIn makes the same files in a folder of its own, at a time of its own.
func entriesIn(t *testing.T, changed time.Time) []Entry {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "program")
	if err := os.WriteFile(path, []byte("content"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, changed, changed); err != nil {
		t.Fatal(err)
	}
	return []Entry{
		{Path: "/usr/bin/program", Mode: 0o755, Source: path},
		{Path: "/bin", Mode: fs.ModeSymlink | 0o777, Link: "usr/bin"},
		{Path: "/tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
		{Path: "/data", Mode: fs.ModeDir | 0o755, UID: 999, GID: 999},
	}
}

func TestTheSameInputsGiveTheSameBytes(t *testing.T) {
	settings := Settings{Name: "ghcr.io/trellis-dev/x:dev", Entrypoint: []string{"/x"}, User: Identity{"nonroot", NonRoot}}
	var made [][]byte
	for _, changed := range []time.Time{time.Unix(1, 0), time.Unix(1e9, 0)} {
		out := filepath.Join(t.TempDir(), "image.tar")
		if err := Assemble(out, settings, entriesIn(t, changed)); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, data)
	}
	if !bytes.Equal(made[0], made[1]) {
		t.Error("two assemblies of the same files differ")
	}
}

func TestAssembledImage(t *testing.T) {
	out := filepath.Join(t.TempDir(), "image.tar")
	settings := Settings{Name: "docker.io/valkey/valkey:8.1", Cmd: []string{"valkey-server"}, Env: []string{"A=b"}, User: Identity{"valkey", 999}}
	if err := Assemble(out, settings, entriesIn(t, time.Now())); err != nil {
		t.Fatal(err)
	}
	manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(out) })
	if err != nil {
		t.Fatal(err)
	}
	// A node finds an image only by the name that its pods use.
	if diff := cmp.Diff([]string{"docker.io/valkey/valkey:8.1"}, manifest[0].RepoTags); diff != "" {
		t.Errorf("tags, -want +got:\n%s", diff)
	}
	img, err := tarball.ImageFromPath(out, nil)
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if file.Config.User != "999:999" || file.Config.Cmd[0] != "valkey-server" || file.Config.Env[0] != "A=b" {
		t.Errorf("got %+v", file.Config)
	}
}

func TestAnImageNeedsItsFullName(t *testing.T) {
	for _, name := range []string{"", "valkey", "docker.io/valkey/valkey"} {
		if err := Assemble(filepath.Join(t.TempDir(), "x.tar"), Settings{Name: name}); err == nil {
			t.Errorf("%q was accepted", name)
		}
	}
}

func TestWriteTar(t *testing.T) {
	var out bytes.Buffer
	if err := writeTar(&out, entriesIn(t, time.Now())); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	var order []string
	for r := tar.NewReader(&out); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		order = append(order, h.Name)
		got[h.Name] = strings.Join([]string{fs.FileMode(h.Mode & 0o7777).String(), h.Linkname, h.ModTime.UTC().Format("2006")}, " ")
	}
	if diff := cmp.Diff([]string{"bin", "data/", "tmp/", "usr/", "usr/bin/", "usr/bin/program"}, order); diff != "" {
		t.Errorf("order, -want +got:\n%s", diff)
	}
	for name, want := range map[string]string{"bin": " usr/bin 1970", "usr/bin/program": "-rwxr-xr-x  1970"} {
		if !strings.HasSuffix(got[name], want) {
			t.Errorf("%s: got %q, want …%q", name, got[name], want)
		}
	}
}

func TestCatalogueIsWhole(t *testing.T) {
	for _, s := range append(Catalogue(), Examples()...) {
		if len(s.Packages) > 0 && s.Suite == "" {
			t.Errorf("%s has packages of no suite", s.Settings.Name)
		}
		if s.Settings.User.ID == 0 {
			t.Errorf("%s runs as root", s.Settings.Name)
		}
	}
}

func TestCheckStatic(t *testing.T) {
	if err := CheckStatic("/bin/sh"); err == nil {
		t.Error("a program with shared libraries was accepted")
	}
	if err := CheckStatic("/etc/passwd"); err == nil {
		t.Error("a text file was accepted")
	}
}
