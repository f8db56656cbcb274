package router

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/trellis-dev/trellis/test/bench/harness"
	"github.com/trellis-dev/trellis/test/bench/process"
	"github.com/trellis-dev/trellis/test/bench/router/load"
)

// Role of the processes of shards and of clients.
const Role = "router-load"

const (
	shardCount = 4
	clients    = 64
	keys       = 10_000
	// pace of the requests whose times are compared, a second: what all of them serve without being busy.
	pace = 2000
)

const about = "64 clients with a connection each, which ask for 10,000 keys in turn; four shards behind, which answer 128 bytes at once; HTTP/1.1, connections kept on both sides. Peers: HAProxy 2.6 with `balance hdr`, `hash-type consistent` and servers by name with fixed ids, " +
	"two threads, `http-reuse always`; nginx 1.22 with `hash … consistent`, two workers and kept connections. Neither of them logs, and they know neither epochs nor bindings: the router checks the binding's token, adapts its limits and counts its metrics as in a cluster. " +
	"*rate* is as many requests as are answered; *cpu* is the router's own CPU time a request meanwhile, *cpu of all* that of clients and shards too: two seconds of it a second is all there is, so it bounds the rate whatever else the machine does. *p50* and *p99* are at a steady 2,000 requests a second, from when a request was due. Clients, shards and routers are processes of their own, on the same two cores. " +
	"*failed* are answers other than 200, such as what is shed, and *strayed* keys that more than one shard answered. *with sidecars* has, as a ShardSet in a cluster has, a process before each shard that makes sure that it owns the key; their CPU time counts too."

// Programs are the files that processes are started from.
type Programs struct {
	// Server is test/bench/server, which has the router in it; Self is the benchmark, which runs as clients and shards too.
	Server, Self string
}

// start runs a router before shards, from files in dir.
type start func(ctx context.Context, log io.Writer, dir string, shards []string) (*started, error)

// Router is the part.
func Router(p Programs) harness.Part {
	return harness.Part{Name: "router", Title: "Router: requests to the owner of a key", About: about, Run: p.run}
}

func (p Programs) run(ctx context.Context, e *harness.Env) ([]harness.Row, error) {
	figures, err := e.Turns(ctx, "64 clients", p.side(e, "router", p.startRouter), p.side(e, "haproxy", startHAProxy),
		p.side(e, "nginx", startNginx), p.side(e, "router-and-sidecars", p.startBoth))
	if err != nil {
		return nil, err
	}
	router, haproxy, nginx, both := figures[0], figures[1], figures[2], figures[3]
	free := goals{}
	rows := table("HAProxy", harness.Samples{Ours: router, Peer: haproxy}, goals{harness.RatioAtLeast(0.5), harness.RatioAtMost(2), harness.Exactly(0)})
	rows = append(rows, table("nginx", harness.Samples{Ours: router, Peer: nginx}, free)...)
	return append(rows, table("with sidecars, HAProxy", harness.Samples{Ours: both, Peer: haproxy}, free)...), nil
}

// goals of a table; what is not set has none.
type goals struct{ rate, p99, failed harness.Goal }

func table(peer string, got harness.Samples, want goals) []harness.Row {
	return []harness.Row{
		got.Row(peer, "rate", "requests/s", want.rate), got.Row(peer, "cpu", "µs", harness.NoGoal), got.Row(peer, "cpu of all", "µs", harness.NoGoal),
		got.Row(peer, "p99 at that rate", "ms", harness.NoGoal), got.Row(peer, "p50", "ms", harness.NoGoal), got.Row(peer, "p99", "ms", want.p99),
		got.Row(peer, "failed", "", want.failed), got.Row(peer, "strayed", "", harness.Exactly(0)),
	}
}

// side is a run of one router, with clients and shards of its own.
func (p Programs) side(e *harness.Env, name string, start start) harness.Side {
	return func(ctx context.Context) (harness.Figures, error) {
		f, err := p.once(ctx, e, name, start)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return f, nil
	}
}

func (p Programs) once(ctx context.Context, e *harness.Env, name string, start start) (harness.Figures, error) {
	dir, err := os.MkdirTemp("", "trellis-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	log, err := os.OpenFile(filepath.Join(e.Folder, "router-"+name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	defer func() { _ = log.Close() }()
	behind, err := process.Start(log, "shards", p.Self, "-role="+Role)
	if err != nil {
		return nil, err
	}
	defer behind.Stop()
	var shards []string
	if err := behind.Call(ctx, load.MethodListen, load.ListenParams{Shards: shardCount}, &shards); err != nil {
		return nil, err
	}
	before, err := process.Start(log, "clients", p.Self, "-role="+Role)
	if err != nil {
		return nil, err
	}
	defer before.Stop()
	router, err := start(ctx, log, dir, shards)
	if err != nil {
		return nil, err
	}
	defer router.stop()
	return measure(ctx, e, name, router, before, behind)
}

func measure(ctx context.Context, e *harness.Env, name string, router *started, before, behind *process.Child) (harness.Figures, error) {
	span := 6 * time.Second
	if e.Short {
		span = time.Second
	}
	params := load.AskParams{Address: router.address, Token: process.Token, Clients: clients, Keys: keys, For: span / 3}
	var warm, most, steady load.Asked
	if err := before.Call(ctx, load.MethodAsk, params, &warm); err != nil {
		return nil, err
	}
	params.For = span
	around := &started{pids: []int{before.PID(), behind.PID()}}
	var used time.Duration
	others, err := around.used(ctx, e, name, func() (err error) {
		used, err = router.used(ctx, e, name, func() error { return before.Call(ctx, load.MethodAsk, params, &most) })
		return err
	})
	if err != nil {
		return nil, err
	}
	params.PerSecond = pace
	if err := before.Call(ctx, load.MethodAsk, params, &steady); err != nil {
		return nil, err
	}
	for _, a := range []load.Asked{warm, most, steady} {
		if a.Why != "" {
			e.Say("%s: %d requests failed, one with: %s", name, a.Failed, a.Why)
		}
	}
	each := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(max(most.Answers, 1)) }
	return harness.Figures{
		"rate": most.PerSecond, "cpu": each(used), "cpu of all": each(used + others), "p99 at that rate": milliseconds(most.P99),
		"p50": milliseconds(steady.P50), "p99": milliseconds(steady.P99),
		"failed": float64(warm.Failed + most.Failed + steady.Failed), "strayed": float64(max(warm.Strayed, most.Strayed, steady.Strayed)),
	}, nil
}

// used tells the CPU time that the router used while f ran, and leaves profiles of ours where they are wanted.
func (s *started) used(ctx context.Context, e *harness.Env, name string, f func() error) (time.Duration, error) {
	if e.Profile {
		for i, child := range s.children {
			at := process.ProfileParams{File: filepath.Join(e.Folder, fmt.Sprintf("%s-%d.cpu.pprof", name, i))}
			if err := child.Call(ctx, "start-cpu-profile", at, nil); err != nil {
				return 0, err
			}
		}
	}
	before, err := s.cpu()
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := s.cpu()
	if e.Profile {
		for _, child := range s.children {
			err = errors.Join(err, child.Call(ctx, "stop-cpu-profile", nil, nil))
		}
	}
	return after - before, err
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
