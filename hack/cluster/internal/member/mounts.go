package member

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// mount lays the member's own folders over the host's, in its own mount namespace.
func (s Spec) mount() error {
	// First cut off, so that nothing mounted here shows on the host; then shared among those inside, because pods may
	// ask for mount propagation.
	for _, flag := range []uintptr{syscall.MS_SLAVE, syscall.MS_SHARED} {
		if err := syscall.Mount("", "/", "", syscall.MS_REC|flag, ""); err != nil {
			return fmt.Errorf("parting the mounts from the host's: %w", err)
		}
	}
	if err := syscall.Mount("proc", "/proc", "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	if err := os.RemoveAll(s.RunDir); err != nil {
		return fmt.Errorf("emptying %s: %w", s.RunDir, err)
	}
	for dir, over := range map[string]string{s.RunDir: "/run", s.LogDir: "/var/log"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making %s: %w", dir, err)
		}
		if err := bind(dir, over); err != nil {
			return err
		}
	}
	if err := s.mountLib(); err != nil {
		return err
	}
	if err := s.mountResolvConf(); err != nil {
		return err
	}
	return s.mountPretended()
}

// mountLib lays LibDir over /var/lib and puts the folders to keep back in their places on top of it. They are opened
// before, since their paths lead elsewhere afterwards.
func (s Spec) mountLib() error {
	const lib = "/var/lib"
	kept := map[string]*os.File{}
	for _, dir := range s.Keep {
		if rest, err := filepath.Rel(lib, dir); err != nil || strings.HasPrefix(rest, "..") {
			continue
		}
		f, err := os.Open(dir)
		if err != nil {
			return fmt.Errorf("keeping %s: %w", dir, err)
		}
		defer f.Close()
		kept[dir] = f
	}
	if err := os.MkdirAll(s.LibDir, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", s.LibDir, err)
	}
	if err := bind(s.LibDir, lib); err != nil {
		return err
	}
	for dir, f := range kept {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("keeping %s: %w", dir, err)
		}
		if err := bind(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), dir); err != nil {
			return err
		}
	}
	return nil
}

// mountResolvConf hides the host's resolvers. Where the host's file is a link into /run, that is hidden already.
func (s Spec) mountResolvConf() error {
	info, err := os.Lstat("/etc/resolv.conf")
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at /etc/resolv.conf: %w", err)
	}
	return bind(s.ResolvConf, "/etc/resolv.conf")
}

func (s Spec) mountPretended() error {
	dir := filepath.Join(s.RunDir, "pretended")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", dir, err)
	}
	for name, content := range s.Pretend {
		path := sysctlPath(name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without this setting
		}
		stand := filepath.Join(dir, name)
		if err := os.WriteFile(stand, []byte(content+"\n"), 0o644); err != nil {
			return fmt.Errorf("writing the stand-in for %s: %w", name, err)
		}
		if err := bind(stand, path); err != nil {
			return err
		}
	}
	return nil
}

func bind(from, over string) error {
	if err := syscall.Mount(from, over, "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("laying %s over %s: %w", from, over, err)
	}
	return nil
}
