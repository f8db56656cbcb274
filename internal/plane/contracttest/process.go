package contracttest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// asPlane of the environment has the test binary be the plane of the configuration that it names, so that a test can kill it.
const asPlane = "TRELLIS_TEST_PLANE"

// AsPlane has this process be a plane until SIGTERM, and does not return, where StartProcess started it. A TestMain begins with it.
func AsPlane(build Build) {
	file := os.Getenv(asPlane)
	if file == "" {
		return
	}
	if err := servePlane(file, build); err != nil {
		fmt.Fprintln(os.Stderr, "plane:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func servePlane(file string, build Build) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg, _, err := planeconfig.Load(file)
	if err != nil {
		return err
	}
	p, err := plane.New(cfg, plane.Options{Title: "test", Version: "test", ConfigFile: file})
	if err != nil {
		return err
	}
	service, err := build(p)
	if err != nil {
		return err
	}
	return p.Run(ctx, service)
}

// process is a plane of its own process.
type process struct {
	file string
	cmd  *exec.Cmd
}

// StartProcess starts a plane of the configuration as it is now in a process of its own, at ports that it keeps over a restart.
// The package's TestMain begins with AsPlane.
func (l *Local) StartProcess(t *testing.T) *Replica {
	t.Helper()
	const host = "127.0.0.1"
	cfg := l.Config
	contract, admin := host+":"+strconv.Itoa(enginetest.Port(t, host)), host+":"+strconv.Itoa(enginetest.Port(t, host))
	cfg.HTTP.Address, cfg.HTTP.AdminAddress = contract, admin
	text, err := planeconfig.Encode(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{file: filepath.Join(t.TempDir(), planeconfig.FileName)}
	Write(t, p.file, string(text))
	r := &Replica{URL: "http://" + contract, Admin: "http://" + admin}
	r.Start = func(t *testing.T) {
		t.Helper()
		p.start(t)
		AwaitReady(t, r)
	}
	r.Kill = func(*testing.T) { _ = p.end(syscall.SIGKILL) }
	r.Drain = func() error { return p.end(syscall.SIGTERM) }
	t.Cleanup(func() { _ = p.end(syscall.SIGKILL) })
	p.start(t)
	return r
}

func (p *process) start(t *testing.T) {
	t.Helper()
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), asPlane+"="+p.file)
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

func (p *process) end(signal syscall.Signal) error {
	if p.cmd == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(signal)
	err := p.cmd.Wait()
	p.cmd = nil
	return err
}

// Server is an engine's process, as enginetest starts them.
type Server interface {
	Kill()
	Start()
}

// Breaks has a suite kill a server and start it again.
func Breaks(s Server) Engine { return breaking{s} }

type breaking struct{ server Server }

// Kill implements Engine.
func (b breaking) Kill(*testing.T) { b.server.Kill() }

// Start implements Engine.
func (b breaking) Start(t *testing.T) {
	t.Helper()
	b.server.Start()
}
