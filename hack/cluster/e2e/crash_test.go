//go:build cluster

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/hack/cluster/internal/process"
)

// endMember kills a member's first process, and only that.
func endMember(t *testing.T, c *tool, name string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(c.root(), name, "process.json"))
	if err != nil {
		t.Fatal(err)
	}
	var id process.Identity
	if err := json.Unmarshal(data, &id); err != nil {
		t.Fatal(err)
	}
	if err := id.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestKilledUp kills the tool at several points of a boot. `down` must clear everything away, and `up` start over.
func TestKilledUp(t *testing.T) {
	before := readHost(t)
	c := newTool(t, "killed")
	// The points spread over a boot; where exactly each falls doesn't matter, since all must end the same.
	for _, after := range []time.Duration{50 * time.Millisecond, 150 * time.Millisecond, 400 * time.Millisecond, time.Second, 3 * time.Second, 8 * time.Second} {
		killUp(t, c, after)
		c.run("down")
		assertNothingLeft(t, c, before)
	}
	killUp(t, c, 2*time.Second)
	c.run("up")
	c.run("status")
	began := time.Now()
	c.run("up")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("up over a running cluster took %s", took)
	}
	c.run("down")
	c.run("down")
	assertNothingLeft(t, c, before)
}

func killUp(t *testing.T, c *tool, after time.Duration) {
	t.Helper()
	cmd := c.command("up", "--nodes", "2")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		t.Fatalf("up ended before it could be killed: %v", err)
	case <-time.After(after):
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Fatal("up ended well although it was killed")
	}
}
