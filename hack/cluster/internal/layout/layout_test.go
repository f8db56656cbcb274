package layout

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for name, valid := range map[string]bool{
		"trellis": true, "dev-1": true, "a": true,
		"": false, "-a": false, "a-": false, "A": false, "a/b": false, "..": false, "a b": false, strings.Repeat("a", 31): false,
	} {
		if _, err := New("/var/lib/trellis-cluster", name); (err == nil) != valid {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// The kernel refuses a socket whose path has more than 107 bytes.
func TestSocketPathsAreShortEnough(t *testing.T) {
	c, err := New("/var/lib/trellis-cluster", strings.Repeat("a", 30))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.Member("control").Socket()); n > 107 {
		t.Errorf("%d bytes", n)
	}
	if _, err := New("/"+strings.Repeat("long/", 20), "a"); err == nil {
		t.Error("a folder whose sockets can't be used was accepted")
	}
}

func TestClustersShareNothing(t *testing.T) {
	a, errA := New("/s", "a")
	b, errB := New("/s", "b")
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	for name, of := range map[string]func(Cluster) string{
		"root": Cluster.Root, "lock": Cluster.Lock, "cgroup": Cluster.Cgroup,
		"socket": func(c Cluster) string { return c.Member("control").Socket() },
		"node":   func(c Cluster) string { return c.Member("node1").Cgroup() },
	} {
		if of(a) == of(b) {
			t.Errorf("two clusters have the %s %s", name, of(a))
		}
	}
}
