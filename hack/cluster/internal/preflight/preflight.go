// Package preflight looks, before anything is built or booted, whether the machine has what that needs, and says
// what to install if not.
package preflight

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sort"
	"strings"
)

// need is a file, or a program on PATH, that a Debian package brings.
type need struct{ what, debianPackage string }

var toBuild = []need{
	{"gcc", "gcc"}, {"pkg-config", "pkg-config"}, {"/usr/include/seccomp.h", "libseccomp-dev"},
	{"/usr/include/stdlib.h", "libc6-dev"},
}

var toAssemble = []need{
	{"apt-get", "apt"}, {"dpkg-deb", "dpkg"}, {"/etc/ssl/certs/ca-certificates.crt", "ca-certificates"},
	{"/usr/share/keyrings/debian-archive-keyring.gpg", "debian-archive-keyring"},
}

var toBoot = []need{
	{"nsenter", "util-linux"}, {"nft", "nftables"},
	{"/usr/lib/cni/ptp", "containernetworking-plugins"}, {"/usr/lib/cni/host-local", "containernetworking-plugins"},
}

// Build checks for what building components needs.
func Build() error {
	if _, err := exec.LookPath("go"); err != nil {
		return errors.New("the go command is not on PATH: install Go 1.26 or newer")
	}
	return missing(toBuild)
}

// Boot checks for what a cluster needs, from its build to its boot.
func Boot() error {
	if os.Geteuid() != 0 {
		return errors.New("a cluster needs root, to make namespaces: run this with sudo")
	}
	if err := Build(); err != nil {
		return err
	}
	return missing(append(append([]need(nil), toAssemble...), toBoot...))
}

func missing(needs []need) error {
	lacking := map[string]bool{}
	for _, n := range needs {
		if !present(n.what) {
			lacking[n.debianPackage] = true
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	names := make([]string, 0, len(lacking))
	for name := range lacking {
		names = append(names, name)
	}
	sort.Strings(names)
	return fmt.Errorf("this machine lacks Debian packages; run: apt-get install --yes %s", strings.Join(names, " "))
}

// present looks for a file by its path, or for a program on PATH and where Debian keeps those for root.
func present(what string) bool {
	if strings.HasPrefix(what, "/") {
		_, err := os.Stat(what)
		return err == nil
	}
	if _, err := exec.LookPath(what); err == nil {
		return true
	}
	_, err := os.Stat("/usr/sbin/" + what)
	return err == nil
}
