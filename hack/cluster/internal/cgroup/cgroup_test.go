package cgroup

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseMount(t *testing.T) {
	for name, test := range map[string]struct {
		line string
		want Hierarchy
		ok   bool
	}{
		"v1": {"33 28 0:29 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory",
			Hierarchy{Path: "/sys/fs/cgroup/memory"}, true},
		"v1 cpuset": {"31 28 0:27 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset",
			Hierarchy{Path: "/sys/fs/cgroup/cpuset", Cpuset: true}, true},
		"v2":      {"40 28 0:36 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw", Hierarchy{Path: "/sys/fs/cgroup", Unified: true}, true},
		"other":   {"25 1 254:0 / / rw,relatime - ext4 /dev/vda rw", Hierarchy{}, false},
		"garbage": {"nonsense", Hierarchy{}, false},
	} {
		got, ok := parseMount(test.line)
		if diff := cmp.Diff(test.want, got); diff != "" || ok != test.ok {
			t.Errorf("%s: ok %t, -want +got:\n%s", name, ok, diff)
		}
	}
}

// A v1 cpuset that is made gets its parent's CPUs, down to the last group.
func TestMakeFillsCpusets(t *testing.T) {
	root := t.TempDir()
	for file, content := range map[string]string{"cpuset.cpus": "0-1", "cpuset.mems": "0"} {
		if err := os.WriteFile(filepath.Join(root, file), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := (Hierarchy{Path: root, Cpuset: true}).make("/trellis-a/node1"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, "trellis-a", "node1", "cpuset.cpus"))
	if err != nil || string(got) != "0-1" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestTheRootIsNeverRemoved(t *testing.T) {
	for _, group := range []string{"", "/", "//"} {
		if err := Remove(t.Context(), group); err == nil {
			t.Errorf("%q was accepted", group)
		}
	}
}
