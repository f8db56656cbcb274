package enginetest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// engineProgram is built in a module of its own: where the embedded cluster has it too, at the same version.
type engineProgram struct {
	// folder of hack/cluster/components with its module files, and the main package.
	folder, mainPackage string
}

var (
	natsProgram  = sync.OnceValues(engineProgram{"nats-server", "github.com/nats-io/nats-server/v2"}.build)
	s3Program    = sync.OnceValues(engineProgram{"versitygw", "github.com/versity/versitygw/cmd/versitygw"}.build)
	minioProgram = sync.OnceValues(engineProgram{"minio", "github.com/minio/minio"}.build)
)

// NATSProgram is the path of a nats-server. It is built at the first use, which takes the better part of a
// minute, and kept in the user's cache, as the tools are.
func NATSProgram(t testing.TB) string { t.Helper(); return built(t, "nats-server", natsProgram) }

// S3Program is the path of a versitygw, built and kept likewise.
func S3Program(t testing.TB) string { t.Helper(); return built(t, "versitygw", s3Program) }

// MinIOProgram is the path of a minio, built and kept likewise; it takes two minutes, or four where nothing is cached.
func MinIOProgram(t testing.TB) string { t.Helper(); return built(t, "minio", minioProgram) }

func built(t testing.TB, name string, build func() (string, error)) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatalf("building %s: %v", name, err)
	}
	return path
}

func (p engineProgram) build() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", err
	}
	root := filepath.Dir(strings.TrimSpace(string(out)))
	recipe := filepath.Join(root, "hack", "cluster", "components", p.folder)
	mod, err := os.ReadFile(filepath.Join(recipe, "module.mod"))
	if err != nil {
		return "", err
	}
	sum, err := os.ReadFile(filepath.Join(recipe, "module.sum"))
	if err != nil {
		return "", err
	}
	hash := sha256.Sum256(append(mod, sum...))
	cache, err := cacheFolder()
	if err != nil {
		return "", err
	}
	program := filepath.Join(cache, "engines", p.folder+"-"+hex.EncodeToString(hash[:6]))
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		return "", err
	}
	// Packages are tested at the same time, and one of them builds.
	unlock, err := lock(program + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	return program, p.compile(mod, sum, program)
}

// cacheFolder is where hack/tools/build.sh keeps what it built too.
func cacheFolder() (string, error) {
	if dir := os.Getenv("TRELLIS_CACHE"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "trellis"), err
}

func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}

// compile is done in a module of its own, so that the tree's does not require a server.
func (p engineProgram) compile(mod, sum []byte, program string) error {
	dir, err := os.MkdirTemp("", p.folder+"-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for name, content := range map[string][]byte{"go.mod": mod, "go.sum": sum} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	part := program + ".part"
	cmd := exec.Command("go", "build", "-o", part, "-ldflags=-s -w", p.mainPackage)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return os.Rename(part, program)
}
