package images

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// NonRoot is the user and group of images that name no other; distroless images use the same.
const NonRoot = 65532

// Identity is a user that exists in an image.
type Identity struct {
	Name string
	ID   int
}

// Settings are an image's configuration.
type Settings struct {
	// Name is the full name, with registry and tag.
	Name       string
	Entrypoint []string
	Cmd        []string
	Env        []string
	WorkingDir string
	User       Identity
	Labels     map[string]string
}

// Assemble writes an image of one layer for each list of entries as a file that `load` and `docker load` read.
func Assemble(out string, s Settings, layers ...[]Entry) error {
	tag, err := name.NewTag(s.Name, name.StrictValidation)
	if err != nil {
		return fmt.Errorf("an image needs its full name, with a tag: %w", err)
	}
	img := empty.Image
	for _, entries := range layers {
		layer, err := newLayer(entries)
		if err != nil {
			return fmt.Errorf("assembling %s: %w", s.Name, err)
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			return fmt.Errorf("assembling %s: %w", s.Name, err)
		}
	}
	if img, err = configure(img, s); err != nil {
		return fmt.Errorf("configuring %s: %w", s.Name, err)
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", s.Name, err)
	}
	fresh := fmt.Sprintf("%s.%d", out, os.Getpid())
	defer os.Remove(fresh) // where it was not renamed
	if err := tarball.WriteToFile(fresh, tag, img); err != nil {
		return fmt.Errorf("writing %s: %w", s.Name, err)
	}
	if err := os.Rename(fresh, out); err != nil {
		return fmt.Errorf("writing %s: %w", s.Name, err)
	}
	return nil
}

func configure(img v1.Image, s Settings) (v1.Image, error) {
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = "linux", runtime.GOARCH, v1.Time{Time: epoch}
	file.Config = v1.Config{
		Entrypoint: s.Entrypoint, Cmd: s.Cmd, Env: s.Env, WorkingDir: s.WorkingDir, Labels: s.Labels,
		// By number, so that runAsNonRoot can be checked.
		User: fmt.Sprintf("%d:%d", s.User.ID, s.User.ID),
	}
	return mutate.ConfigFile(img, file)
}

// hostCertificates is where Debian's ca-certificates, and most others, keep the bundle.
const hostCertificates = "/etc/ssl/certs/ca-certificates.crt"

// Base returns what every image holds: users, certificate authorities, a place for temporary files.
func Base(user Identity) []Entry {
	passwd := "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"
	group := "root:x:0:\nnogroup:x:65534:\n"
	if user.ID != 0 {
		passwd += fmt.Sprintf("%[1]s:x:%[2]d:%[2]d:%[1]s:/nonexistent:/sbin/nologin\n", user.Name, user.ID)
		group += fmt.Sprintf("%s:x:%d:\n", user.Name, user.ID)
	}
	return []Entry{
		{Path: "/etc/passwd", Mode: 0o644, Data: []byte(passwd)},
		{Path: "/etc/group", Mode: 0o644, Data: []byte(group)},
		{Path: "/etc/nsswitch.conf", Mode: 0o644, Data: []byte("passwd: files\ngroup: files\nhosts: files dns\n")},
		{Path: "/etc/ssl/certs/ca-certificates.crt", Mode: 0o644, Source: hostCertificates},
		{Path: "/tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
	}
}
