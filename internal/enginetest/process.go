package enginetest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
)

// identity is who the engines run as: PostgreSQL refuses to be run by root.
type identity struct{ uid, gid int }

// unprivileged is this process's own user or, of root, postgres or nobody.
func unprivileged(t testing.TB) identity {
	t.Helper()
	if uid := os.Getuid(); uid != 0 {
		return identity{uid, os.Getgid()}
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUser := strconv.Atoi(u.Uid)
		gid, errGroup := strconv.Atoi(u.Gid)
		if errors.Join(errUser, errGroup) == nil {
			return identity{uid, gid}
		}
	}
	t.Fatal("neither of the users postgres and nobody exists: an engine is not run by root")
	return identity{}
}

// attributes of a process of this user, which does not outlive a test binary that was killed.
func (i identity) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: uint32(i.uid), Gid: uint32(i.gid)}
	}
	return attr
}

// Attributes of a process that PostgreSQL's programs may be run in, as they refuse root.
func Attributes(t testing.TB) *syscall.SysProcAttr {
	t.Helper()
	return unprivileged(t).attributes()
}

// Folder is gone after the test, and belongs to whom Attributes runs a process as.
func Folder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	i := unprivileged(t)
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o711), os.Chmod(dir, 0o700), os.Chown(dir, i.uid, i.gid)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// asked makes two servers of a process look for ports in different places.
var asked atomic.Int64

// Port is free at a loopback address. It is not of those that the kernel gives to others, so that it stays
// free while a server is down.
func Port(t testing.TB, host string) int {
	t.Helper()
	const first, last = 20000, 32000
	start := 7*os.Getpid() + 13*int(asked.Add(1))
	for i := range last - first {
		candidate := first + (start+i)%(last-first)
		if l, err := net.Listen("tcp", net.JoinHostPort(host, fmt.Sprint(candidate))); err == nil {
			_ = l.Close()
			return candidate
		}
	}
	t.Fatal("no port is free")
	return 0
}
