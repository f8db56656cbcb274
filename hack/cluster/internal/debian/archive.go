package debian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/trellis-dev/trellis/hack/cluster/internal/filelock"
)

// Archive is a suite of Debian, with a folder for apt's lists and for the packages fetched.
type Archive struct {
	Folder string
	Suite  string
}

// Unpack fetches the packages, with the libraries that they need, and unpacks them into root. It runs none of their
// scripts. Documentation is left out, but for the licences, and so are the libraries named without and the files named
// unwanted, by their paths in root.
func (a Archive) Unpack(ctx context.Context, root string, packages, without, unwanted []string) error {
	if err := os.MkdirAll(a.Folder, 0o755); err != nil {
		return fmt.Errorf("making apt's folder: %w", err)
	}
	lock, err := filelock.Acquire(ctx, filepath.Join(a.Folder, "lock"))
	if err != nil {
		return fmt.Errorf("waiting for apt's folder: %w", err)
	}
	defer lock.Release()
	if err := a.configure(); err != nil {
		return err
	}
	if _, err := a.run(ctx, "apt-get", "update", "-q"); err != nil {
		return fmt.Errorf("reading the package lists of %s: %w", a.Suite, err)
	}
	closure, err := a.closure(ctx, packages, without)
	if err != nil {
		return err
	}
	if err := mergeUsr(root); err != nil {
		return err
	}
	if err := a.download(ctx, closure); err != nil {
		return err
	}
	for _, name := range closure {
		if err := a.unpack(ctx, name, root); err != nil {
			return fmt.Errorf("unpacking %s: %w", name, err)
		}
	}
	if err := prune(root); err != nil {
		return err
	}
	for _, path := range unwanted {
		if err := os.RemoveAll(filepath.Join(root, path)); err != nil {
			return fmt.Errorf("removing %s from the image: %w", path, err)
		}
	}
	return checkLibraries(root)
}

// download fetches the packages' current versions. Those of an earlier call are removed, so that only these are found.
func (a Archive) download(ctx context.Context, names []string) error {
	old, err := filepath.Glob(filepath.Join(a.downloads(), "*.deb"))
	if err != nil {
		return err
	}
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("removing an old package: %w", err)
		}
	}
	if _, err := a.run(ctx, "apt-get", append([]string{"download", "-q"}, names...)...); err != nil {
		return fmt.Errorf("fetching packages of %s: %w", a.Suite, err)
	}
	return nil
}

// configure writes apt's sources for the suite, and an empty list of installed packages.
func (a Archive) configure() error {
	own, err := release("/etc/os-release")
	if err != nil {
		return err
	}
	host, err := hostSources("/etc/apt")
	if err != nil {
		return err
	}
	sources, err := forSuite(host, own, a.Suite)
	if err != nil {
		return err
	}
	for _, dir := range []string{"state/lists/partial", "cache/archives"} {
		if err := os.MkdirAll(filepath.Join(a.Folder, dir), 0o755); err != nil {
			return fmt.Errorf("making apt's folders: %w", err)
		}
	}
	for name, content := range map[string]string{"suite.sources": sources, "status": ""} {
		if err := os.WriteFile(filepath.Join(a.Folder, name), []byte(content), 0o644); err != nil {
			return fmt.Errorf("configuring apt: %w", err)
		}
	}
	return nil
}

// run calls an apt tool on the private folder. The machine's apt.conf still holds, for it may name a proxy.
func (a Archive) run(ctx context.Context, tool string, args ...string) (string, error) {
	options := []string{
		"-o", "Dir::State=" + filepath.Join(a.Folder, "state"), "-o", "Dir::State::status=" + filepath.Join(a.Folder, "status"),
		"-o", "Dir::Cache=" + filepath.Join(a.Folder, "cache"),
		"-o", "Dir::Etc::sourcelist=" + filepath.Join(a.Folder, "suite.sources"), "-o", "Dir::Etc::sourceparts=-",
		"-o", "Dir::Etc::preferences=-", "-o", "Dir::Etc::preferencesparts=-",
		"-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=true", "-o", "APT::Update::Post-Invoke-Success::=true",
		"-o", "Acquire::Languages=none", "-o", "Acquire::Retries=3",
	}
	cmd := exec.CommandContext(ctx, tool, append(options, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	cmd.Dir = a.downloads()
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w\n%s", tool, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// unpack takes the package from the folder that apt downloads to.
func (a Archive) unpack(ctx context.Context, name, root string) error {
	found, err := filepath.Glob(filepath.Join(a.downloads(), name+"_*.deb"))
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return errors.New("apt fetched nothing")
	}
	output, err := exec.CommandContext(ctx, "dpkg-deb", "--extract", found[0], root).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, output)
	}
	return nil
}

func (a Archive) downloads() string { return filepath.Join(a.Folder, "cache", "archives") }

// mergeUsr makes the links of a merged /usr first, so that what packages put in /lib lands in /usr/lib.
func mergeUsr(root string) error {
	for _, dir := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.MkdirAll(filepath.Join(root, "usr", dir), 0o755); err != nil {
			return fmt.Errorf("preparing the image's folders: %w", err)
		}
		if err := os.Symlink("usr/"+dir, filepath.Join(root, dir)); err != nil {
			return fmt.Errorf("preparing the image's folders: %w", err)
		}
	}
	return nil
}

// prune removes what a container has no use for.
func prune(root string) error {
	for _, dir := range []string{"usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian",
		"usr/share/bash-completion", "usr/share/gcc", "usr/share/gdb", "usr/share/initramfs-tools",
		"usr/lib/systemd", "etc/init.d", "etc/logrotate.d", "etc/default"} {
		if err := os.RemoveAll(filepath.Join(root, dir)); err != nil {
			return fmt.Errorf("removing %s from the image: %w", dir, err)
		}
	}
	docs, err := filepath.Glob(filepath.Join(root, "usr/share/doc/*/*"))
	if err != nil {
		return err
	}
	for _, path := range docs {
		if filepath.Base(path) == "copyright" {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("removing documentation from the image: %w", err)
		}
	}
	return nil
}
