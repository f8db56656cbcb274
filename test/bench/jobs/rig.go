package jobs

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/test/bench/harness"
	"github.com/trellis-dev/trellis/test/bench/jobs/load"
	"github.com/trellis-dev/trellis/test/bench/process"
)

// Programs are the files that processes are started from.
type Programs struct {
	// Server is test/bench/server, which has the plane in it; Self is the benchmark, which runs as clients too.
	Server, Self string
}

// rig is one side of one run: the process of its clients and, of ours, the plane.
type rig struct {
	plane, clients *process.Child
	target         load.Target
	// profile begins the names of the files of profiles; "" for none.
	profile string
}

// children by their names.
func (r *rig) children() map[string]*process.Child {
	out := map[string]*process.Child{"clients": r.clients}
	if r.plane != nil {
		out["plane"] = r.plane
	}
	return out
}

// side says which; it is the name of its figures, too.
type side string

const (
	ours side = "ours"
	peer side = "peer"
)

// start runs one side's processes on an engine. stop is to be called always.
func (p Programs) start(ctx context.Context, e *harness.Env, s side, st store) (r *rig, stop func(), err error) {
	var stops []func()
	stop = func() {
		for i := len(stops) - 1; i >= 0; i-- {
			stops[i]()
		}
	}
	log, err := os.OpenFile(filepath.Join(e.Folder, "jobs-"+st.kind+"-"+string(s)+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, stop, fmt.Errorf("open the log: %w", err)
	}
	stops = append(stops, func() { _ = log.Close() })
	at, err := st.place(ctx)
	if err != nil {
		return nil, stop, err
	}
	r = &rig{target: peerTarget(st, at)}
	if s == ours {
		dir, err := os.MkdirTemp("", "trellis-bench-")
		if err != nil {
			return nil, stop, fmt.Errorf("make a folder: %w", err)
		}
		stops = append(stops, func() { _ = os.RemoveAll(dir) })
		r.plane, r.target, err = p.startPlane(ctx, log, dir, st, at)
		if r.plane != nil {
			stops = append(stops, r.plane.Stop)
		}
		if err != nil {
			return nil, stop, err
		}
	}
	if r.clients, err = process.Start(log, "clients", p.Self, "-role="+Role); err != nil {
		return nil, stop, err
	}
	stops = append(stops, r.clients.Stop)
	return r, stop, nil
}

// Role of the process of the clients.
const Role = "job-clients"

// peerConnections are as many as there are clients at once.
const peerConnections = submitters

func peerTarget(st store, at place) load.Target {
	if st.kind == "NATS" {
		return load.Target{NATS: at.uri, Name: "raw-" + at.prefix}
	}
	return load.Target{Postgres: at.uri, Connections: peerConnections}
}

func (p Programs) startPlane(ctx context.Context, log io.Writer, dir string, st store, at place) (*process.Child, load.Target, error) {
	plane := process.Plane{Program: p.Server, Arguments: []string{"-pattern", "job-queue"}, Config: planeConfig(st.kind, at.prefix), URI: at.uri}
	child, address, err := plane.Start(ctx, log, dir)
	return child, load.Target{URL: "http://" + address, Token: process.Token}, err
}

func planeConfig(engine, prefix string) planeconfig.Config {
	return planeconfig.Config{
		Kind: "JobQueue", Name: "queue",
		Engine: planeconfig.Engine{Type: engine, Prefix: prefix},
		Jobs: &planeconfig.Jobs{
			Timeout: planeconfig.Duration(10 * time.Minute), LeaseTTL: planeconfig.Duration(30 * time.Second),
			Retry: planeconfig.JobRetry{
				MaxAttempts: 5, Initial: planeconfig.Duration(time.Second), Max: planeconfig.Duration(time.Minute), Multiplier: 2, Jitter: 0.2,
			},
			Priorities:    []planeconfig.JobPriority{{Name: "normal", Weight: 1, Default: true}},
			Limits:        planeconfig.JobLimits{PayloadBytes: 64 << 10, ResultBytes: 64 << 10, Waiting: 1_000_000},
			DeadRetention: planeconfig.Duration(7 * 24 * time.Hour), ResultTTL: planeconfig.Duration(24 * time.Hour),
		},
	}
}
