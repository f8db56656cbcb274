package jobs_test

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/jobs/conformance"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// asPlane has the test binary be the plane of the configuration that it names, so that a test can kill it.
const asPlane = "TRELLIS_JOBS_PLANE"

// planeMain serves until SIGTERM.
func planeMain(file string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg, _, err := planeconfig.Load(file)
	if err != nil {
		return 1
	}
	p, err := plane.New(cfg, plane.Options{Title: "test", Version: "test", ConfigFile: file})
	if err != nil {
		return 1
	}
	q, err := build(p)
	if err != nil || p.Run(ctx, q) != nil {
		return 1
	}
	return 0
}

// process is a plane of its own process.
type process struct {
	file string
	cmd  *exec.Cmd
}

// startProcess starts a plane at ports of its own, which it keeps over a restart.
func (l *local) startProcess(t *testing.T) *contracttest.Replica {
	t.Helper()
	cfg := l.Config
	contract, admin := "127.0.0.1:"+strconv.Itoa(enginetest.Port(t, "127.0.0.1")), "127.0.0.1:"+strconv.Itoa(enginetest.Port(t, "127.0.0.1"))
	cfg.HTTP.Address, cfg.HTTP.AdminAddress = contract, admin
	text, err := planeconfig.Encode(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{file: filepath.Join(t.TempDir(), planeconfig.FileName)}
	contracttest.Write(t, p.file, string(text))
	r := &contracttest.Replica{URL: "http://" + contract, Admin: "http://" + admin}
	r.Start = func(t *testing.T) {
		t.Helper()
		p.start(t)
		contracttest.AwaitReady(t, r)
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

// natsEngine is a NATS that a test breaks and mends.
type natsEngine struct{ *enginetest.NATSCluster }

// Kill implements contracttest.Engine.
func (e natsEngine) Kill(*testing.T) { e.Members[0].Kill() }

// Start implements contracttest.Engine.
func (e natsEngine) Start(t *testing.T) {
	t.Helper()
	e.Members[0].Start()
}

func engineAt(t *testing.T, kind, uri string) planeconfig.Engine {
	t.Helper()
	file := filepath.Join(t.TempDir(), "uri")
	contracttest.Write(t, file, uri)
	return planeconfig.Engine{Type: kind, URIFile: file, Prefix: "trellis:jobs:" + t.Name()}
}

// on is the factory of planes in this process, each target with a queue of its own in the engine at uri.
func on(kind, uri string) conformance.Factory {
	return func(t *testing.T, o conformance.Options) *conformance.Target {
		t.Helper()
		l := newLocal(t, o, engineAt(t, kind, uri))
		return l.target(t, o, nil, l.start)
	}
}

// ownNATS is the factory of planes that are processes, on a NATS of their own.
func ownNATS(t *testing.T, o conformance.Options) *conformance.Target {
	t.Helper()
	cluster := enginetest.NATS(t, 1)
	l := newLocal(t, o, engineAt(t, "NATS", cluster.URI()))
	return l.target(t, o, natsEngine{cluster}, l.startProcess)
}

// postgresEngine is a PostgreSQL that a test breaks and mends.
type postgresEngine struct{ *enginetest.PostgresServer }

// Kill implements contracttest.Engine.
func (e postgresEngine) Kill(*testing.T) { e.PostgresServer.Kill() }

// Start implements contracttest.Engine.
func (e postgresEngine) Start(*testing.T) { e.PostgresServer.Start() }

// ownPostgres is the factory of planes that are processes, on a PostgreSQL of their own.
func ownPostgres(t *testing.T, o conformance.Options) *conformance.Target {
	t.Helper()
	uri, server := enginetest.Postgres(t)
	l := newLocal(t, o, engineAt(t, "PostgreSQL", uri))
	return l.target(t, o, postgresEngine{server}, l.startProcess)
}
