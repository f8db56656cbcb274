//go:build cluster

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// host is what a cluster must leave as it was: files of the kernel's, read in the host's namespaces.
type host map[string]string

// readHost takes the host's picture. Counters that grow by themselves are cut off.
func readHost(t *testing.T) host {
	t.Helper()
	h := host{}
	for _, path := range []string{"/proc/net/route", "/proc/net/fib_trie", "/proc/sys/vm/overcommit_memory", "/proc/sys/vm/panic_on_oom",
		"/proc/sys/kernel/panic", "/proc/sys/kernel/panic_on_oops", "/proc/sys/net/ipv4/ip_forward", "/proc/self/mountinfo"} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		h[path] = string(data)
	}
	links, err := os.ReadDir("/sys/class/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		h["interfaces"] += l.Name() + "\n"
	}
	rules, err := exec.Command("nft", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("listing nftables rules: %v\n%s", err, rules)
	}
	h["nftables"] = string(rules)
	for _, dir := range []string{"/run/netns", "/run/containerd", "/var/lib/cni", "/var/lib/kubelet", "/var/log/pods", "/var/log/containers"} {
		entries, _ := filepath.Glob(dir + "/*")
		h[dir] = strings.Join(entries, "\n")
	}
	return h
}

// assertNothingLeft compares the host with its picture from before, and looks for processes, mounts, cgroups and
// files of the cluster.
func assertNothingLeft(t *testing.T, c *tool, before host) {
	t.Helper()
	if diff := cmp.Diff(before, readHost(t)); diff != "" {
		t.Errorf("the host is not as it was (-before +after):\n%s", diff)
	}
	if _, err := os.Stat(c.root()); !os.IsNotExist(err) {
		t.Errorf("%s is still there", c.root())
	}
	groups, _ := filepath.Glob("/sys/fs/cgroup/*/trellis-" + c.name)
	unified, _ := filepath.Glob("/sys/fs/cgroup/trellis-" + c.name)
	if left := append(groups, unified...); len(left) > 0 {
		t.Errorf("cgroups are left: %v", left)
	}
	if left := processesOf(t, c); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
}

// processesOf finds the cluster's processes in every way that one could show: by their command line, their cgroup, and
// the mounts that they see.
func processesOf(t *testing.T, c *tool) []string {
	t.Helper()
	var found []string
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		for _, file := range []string{"cmdline", "cgroup", "mountinfo"} {
			data, err := os.ReadFile(filepath.Join(dir, file))
			if err == nil && (strings.Contains(string(data), c.root()+"/") || strings.Contains(string(data), "trellis-"+c.name)) {
				command, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
				found = append(found, dir+" "+file+" "+strings.ReplaceAll(string(command), "\x00", " "))
				break
			}
		}
	}
	return found
}
