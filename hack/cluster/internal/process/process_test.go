package process

import (
	"os"
	"os/exec"
	"testing"
)

func TestParseStat(t *testing.T) {
	tail := " S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 9"
	for name, test := range map[string]struct {
		stat  string
		state byte
		ticks uint64
		fails bool
	}{
		"plain":                   {"7 (etcd)" + tail, 'S', 4711, false},
		"brackets in the name":    {"7 (a) R (b) 1)" + tail, 'S', 4711, false},
		"no name":                 {"7 etcd S", 0, 0, true},
		"cut off":                 {"7 (etcd) S 1 2", 0, 0, true},
		"a start that is no time": {"7 (etcd) S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 x", 0, 0, true},
	} {
		state, ticks, err := parseStat([]byte(test.stat))
		if (err != nil) != test.fails || state != test.state || ticks != test.ticks {
			t.Errorf("%s: got %c, %d, %v", name, state, ticks, err)
		}
	}
}

func TestKillEndsOnlyTheProcessItself(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	id, err := Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]Identity{
		"another start": {id.PID, id.StartTicks + 1, id.BootID},
		"another boot":  {id.PID, id.StartTicks, "an earlier one"},
		"nobody":        {},
	} {
		if other.Alive() {
			t.Errorf("%s: said to be alive", name)
		}
		if err := other.Kill(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !id.Alive() {
		t.Fatal("the process is gone before it was killed")
	}
	if err := id.Kill(t.Context()); err != nil || id.Alive() {
		t.Errorf("it lives on after being killed: %v", err)
	}
	if err := id.Kill(t.Context()); err != nil {
		t.Errorf("killing it twice: %v", err)
	}
}

func TestUseOfNamespaceCountsDescendants(t *testing.T) {
	cmd := exec.Command("sh", "-c", "sleep 60 & wait")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	use, err := UseOfNamespace(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if use.Processes < 2 || use.Memory == 0 {
		t.Errorf("got %+v", use)
	}
}
