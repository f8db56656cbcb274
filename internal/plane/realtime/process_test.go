package realtime_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/realtime"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// planeOfTests names, in the environment, the configuration of a plane that the test's binary is to be.
const planeOfTests = "TRELLIS_TEST_PLANE"

// addresses is what a plane that is a process says of itself first.
type addresses struct{ URL, Admin string }

// serveAlone is a plane as a process of its own.
func serveAlone(file string) int {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cfg, _, err := planeconfig.Load(file)
	if err != nil {
		return fail(err)
	}
	p, err := plane.New(cfg, plane.Options{Title: "test", Version: "test", ConfigFile: file})
	if err != nil {
		return fail(err)
	}
	gw, err := realtime.New(p)
	if err != nil {
		return fail(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	contract, admin, err := p.Listen(ctx)
	if err != nil {
		return fail(err)
	}
	where := addresses{"http://" + contract.Addr().String(), "http://" + admin.Addr().String()}
	if err := json.NewEncoder(os.Stdout).Encode(where); err != nil {
		return fail(err)
	}
	if err := p.Serve(ctx, gw, contract, admin); err != nil {
		return fail(err)
	}
	return 0
}

// process is a plane that can be killed, and stopped in the middle of what it does.
type process struct {
	addresses
	cmd *exec.Cmd
}

func startProcess(t *testing.T, file string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), planeOfTests+"="+file)
	p.cmd.Stderr = os.Stderr
	// It must not outlive a test binary that was killed.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatalf("the plane does not start: %v", err)
	}
	if err := json.Unmarshal(line, &p.addresses); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *process) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}
