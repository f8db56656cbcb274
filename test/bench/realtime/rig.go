package realtime

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/test/bench/harness"
	"github.com/trellis-dev/trellis/test/bench/process"
	"github.com/trellis-dev/trellis/test/bench/realtime/bare"
	"github.com/trellis-dev/trellis/test/bench/realtime/load"
)

const (
	historySize  = 256
	historyTTL   = 5 * time.Minute
	metaTTL      = 24 * time.Hour
	messageBytes = 64 << 10
	// queueBytes are more than the default, as clients that share two cores
	// with the server would else be cut for being slow. Both servers have it.
	queueBytes = 64 << 20
	// pageSize is what the plane makes of messageBytes.
	pageSize = 64
	// redisTimeout bounds the start of a Redis.
	redisTimeout = 20 * time.Second
)

// Programs are the files that processes are started from.
type Programs struct {
	// Server is test/bench/server; Self is the benchmark, which runs as clients too.
	Server, Self string
}

// engine is where messages are kept: in memory, or in a Redis at an address.
type engine struct {
	name, redis string
}

// rig is one server and its clients.
type rig struct {
	server, clients *process.Child
	address         string
	token           string
	folder          string
}

// side says which server; it is the name of its figures, too.
type side string

const (
	ours side = "ours"
	peer side = "peer"
)

// start runs a server and a process for its clients. stop is to be called always.
func (p Programs) start(ctx context.Context, e *harness.Env, s side, eng engine) (r *rig, stop func(), err error) {
	var stops []func()
	stop = func() {
		for i := len(stops) - 1; i >= 0; i-- {
			stops[i]()
		}
	}
	dir, err := os.MkdirTemp("", "trellis-bench-")
	if err != nil {
		return nil, stop, fmt.Errorf("make a folder: %w", err)
	}
	stops = append(stops, func() { _ = os.RemoveAll(dir) })
	log, err := os.OpenFile(filepath.Join(e.Folder, string(s)+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, stop, fmt.Errorf("open the log: %w", err)
	}
	stops = append(stops, func() { _ = log.Close() })
	r = &rig{folder: e.Folder}
	if s == ours {
		r.token = process.Token
		r.server, r.address, err = p.startPlane(ctx, log, dir, eng)
	} else {
		r.server, r.address, err = p.startBare(ctx, log, eng)
	}
	if r.server != nil {
		stops = append(stops, r.server.Stop)
	}
	if err != nil {
		return nil, stop, err
	}
	if r.clients, err = process.Start(log, "clients", p.Self, "-role=clients"); err != nil {
		return nil, stop, err
	}
	stops = append(stops, r.clients.Stop)
	return r, stop, nil
}

func (p Programs) startPlane(ctx context.Context, log io.Writer, dir string, eng engine) (*process.Child, string, error) {
	plane := process.Plane{Program: p.Server, Config: planeConfig()}
	if eng.redis != "" {
		plane.Config.Engine, plane.URI = planeconfig.Engine{Type: "Redis", Prefix: "bench:"}, "redis://"+eng.redis
	}
	return plane.Start(ctx, log, dir)
}

func planeConfig() planeconfig.Config {
	return planeconfig.Config{
		Kind: "RealtimeGateway", Name: "gateway",
		Engine: planeconfig.Engine{Type: "Memory"},
		Realtime: &planeconfig.Realtime{
			Protocols: []string{"Polling", "LongPolling", "SSE", "WebSocket"},
			History:   planeconfig.History{Size: historySize, TTL: planeconfig.Duration(historyTTL)},
			Limits:    planeconfig.Limits{MessageBytes: messageBytes, QueueBytes: queueBytes, RoomsPerConnection: 32, Connections: 100000},
		},
	}
}

func (p Programs) startBare(ctx context.Context, log io.Writer, eng engine) (*process.Child, string, error) {
	addresses, err := process.FreeAddresses(1)
	if err != nil {
		return nil, "", err
	}
	options, err := json.Marshal(bare.Options{
		Redis: eng.redis, HistorySize: historySize, HistoryTTL: historyTTL, MetaTTL: metaTTL, QueueBytes: queueBytes, PageSize: pageSize,
	})
	if err != nil {
		return nil, "", fmt.Errorf("write the options: %w", err)
	}
	child, err := process.Start(log, "bare server", p.Server, "-address", addresses[0], "-options", string(options))
	if err != nil {
		return nil, "", err
	}
	return child, addresses[0], process.AwaitServing(ctx, "http://"+addresses[0]+"/")
}

func (r *rig) follow(ctx context.Context, p load.FollowParams) error {
	p.Addresses, p.Token = []string{r.address}, r.token
	return r.clients.Call(ctx, load.MethodFollow, p, nil)
}

// timed tells the CPU time that the server used while f ran, and leaves a
// profile of it where one is wanted.
func (r *rig) timed(ctx context.Context, profile string, f func() error) (time.Duration, error) {
	if profile != "" {
		at := process.ProfileParams{File: filepath.Join(r.folder, profile+".cpu.pprof")}
		if err := r.server.Call(ctx, "start-cpu-profile", at, nil); err != nil {
			return 0, err
		}
	}
	before, err := process.CPU(r.server.PID())
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := process.CPU(r.server.PID())
	if err == nil && profile != "" {
		err = r.server.Call(ctx, "stop-cpu-profile", nil, nil)
	}
	return after - before, err
}

// startRedis runs a Redis of its own that keeps nothing on disk.
func startRedis(ctx context.Context) (address string, stop func(), err error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return "", func() {}, fmt.Errorf("redis-server is needed (`make deps` installs it): %w", err)
	}
	addresses, err := process.FreeAddresses(1)
	if err != nil {
		return "", func() {}, err
	}
	_, port, _ := net.SplitHostPort(addresses[0])
	cmd := exec.Command(program, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no") //nolint:gosec // found on the path
	if err := cmd.Start(); err != nil {
		return "", func() {}, fmt.Errorf("start redis-server: %w", err)
	}
	stop = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	for deadline := time.Now().Add(redisTimeout); ; {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addresses[0])
		if err == nil {
			_ = conn.Close()
			return addresses[0], stop, nil
		}
		if time.Now().After(deadline) {
			return "", stop, fmt.Errorf("redis-server did not start: %w", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
