package overload

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/test/bench/harness"
	"github.com/trellis-dev/trellis/test/bench/overload/load"
	"github.com/trellis-dev/trellis/test/bench/process"
	"github.com/trellis-dev/trellis/test/bench/router/served"
)

// Role of the processes of shards and of clients.
const Role = "overload-load"

const (
	shardCount = 4
	slots      = 8
	takes      = 100 * time.Millisecond
	// capacity of all shards, in requests a second.
	capacity = int(shardCount * slots * time.Second / takes)
)

// The phases of a run, in their order.
const (
	calm = iota
	full
	burst
	after
)

const about = "Four shards that serve 8 requests at once in 100 ms each and have all others wait: 320 a second is their capacity, far below what the cores can carry, so that it is the shards that are overloaded. Clients send at a steady pace over TCP, whether or not they are answered, for 10,000 keys at random, and wait 2 s from when a request was due; " +
	"two tenths of the requests are of the class gold, three of silver, five of bronze. In a run follow each other, without a break, 0.8, 1, 3 and again 0.8 times the capacity. The router has the operator's defaults and those three classes; it knows nothing of what the shards can do. " +
	"*goodput* is what was answered in time, a second; its peer is what was at 1 × the capacity in the same run. *shed* are answers 503 or 429 that say when to come again, *failed* all else that was not answered in time. " +
	"*out of order* counts classes of which a greater share was answered than of one above. *recovery* is the time from the end of the burst to the first tenth of a second from which on, for a second, 99 % are answered. " +
	"Clients, shards and router are processes of their own."

// Programs are the files that processes are started from.
type Programs struct {
	// Server is test/bench/server, which has the router in it; Self is the benchmark, which runs as clients and shards too.
	Server, Self string
}

// Part about more requests than can be answered.
func Part(p Programs) harness.Part {
	return harness.Part{Name: "overload", Title: "Router: overload", About: about, Run: p.run}
}

func phases(short bool) []load.Phase {
	out := []load.Phase{
		calm:  {PerSecond: capacity * 8 / 10, For: 4 * time.Second},
		full:  {PerSecond: capacity, For: 6 * time.Second},
		burst: {PerSecond: 3 * capacity, For: 12 * time.Second},
		after: {PerSecond: capacity * 8 / 10, For: 6 * time.Second},
	}
	for i := range out {
		if short {
			out[i].For /= 3
		}
	}
	return out
}

// why says what a miss comes from.
const why = "the limit of a shard is found by how long its requests take, and every ten seconds or so checked with fewer requests (ADR 0032): where the cores are short, times are longer for another reason, " +
	"a check goes down to half of what the shard does at once and below what gold alone needs, and what is to wait for longer than the queue's second is refused. In the model of the limiter's tests, where nothing else takes time, all of gold is answered."

func (p Programs) run(ctx context.Context, e *harness.Env) ([]harness.Row, error) {
	var all []harness.Figures
	for run := range e.Runs {
		e.Say("3 × capacity: run %d of %d", run+1, e.Runs)
		figures, err := p.once(ctx, e)
		if err != nil {
			return nil, fmt.Errorf("run %d: %w", run+1, err)
		}
		all = append(all, figures)
	}
	ours := harness.Samples{Ours: all}
	// against has another figure of the same run be the peer.
	against := func(what, measure, peer, unit string, goal harness.Goal) harness.Row {
		row := ours.Row(what, measure, unit, goal)
		row.Peer = ours.Row(what, peer, unit, goal).Ours
		return row
	}
	row := func(what, measure, unit string, goal harness.Goal) harness.Row {
		r := ours.Row(what, measure, unit, goal)
		r.Peer = nil
		return r
	}
	const three, then = "3 × capacity", "0.8 × after it"
	rows := harness.Explain(why, against(three, "goodput", "goodput at 1 ×", "answers/s", harness.RatioAtLeast(0.9)),
		row(three, "gold not answered", "%", harness.AtMost(1)))
	for _, class := range load.Classes {
		rows = append(rows, row(three, class+" answered", "%", harness.NoGoal), row(three, class+" shed", "", harness.NoGoal))
	}
	return append(rows, row(three, "out of order", "", harness.Exactly(0)), row(three, "failed", "", harness.NoGoal),
		against(three, "gold p50", "gold p50 at 1 ×", "ms", harness.NoGoal), against(three, "gold p99", "gold p99 at 1 ×", "ms", harness.NoGoal),
		row(three, "bronze refused after, p50", "ms", harness.NoGoal),
		row(then, "recovery", "s", harness.NoGoal), against(then, "goodput after", "goodput before", "answers/s", harness.NoGoal),
		against(then, "gold p99 after", "gold p99 before", "ms", harness.NoGoal)), nil
}

func (p Programs) once(ctx context.Context, e *harness.Env) (harness.Figures, error) {
	dir, err := os.MkdirTemp("", "trellis-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	log, err := os.OpenFile(filepath.Join(e.Folder, "overload.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
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
	if err := behind.Call(ctx, load.MethodListen, load.ListenParams{Shards: shardCount, Slots: slots, Takes: takes}, &shards); err != nil {
		return nil, err
	}
	before, err := process.Start(log, "clients", p.Self, "-role="+Role)
	if err != nil {
		return nil, err
	}
	defer before.Stop()
	router, address, err := p.startRouter(ctx, log, dir, shards)
	if router != nil {
		defer router.Stop()
	}
	if err != nil {
		return nil, err
	}
	var sent []load.Sent
	params := load.SendParams{Address: address, Token: process.Token, Phases: phases(e.Short)}
	if err := before.Call(ctx, load.MethodSend, params, &sent); err != nil {
		return nil, err
	}
	for _, s := range sent {
		if s.Why != "" {
			e.Say("one request failed with: %s", s.Why)
		}
	}
	return figures(params.Phases, sent), nil
}

func (p Programs) startRouter(ctx context.Context, log io.Writer, dir string, shards []string) (*process.Child, string, error) {
	cfg, err := served.Config(dir, load.KeyHeader, len(shards))
	if err != nil {
		return nil, "", fmt.Errorf("write the router's files: %w", err)
	}
	cfg.Shards.Router.Overload = planeconfig.ShardOverload{
		PriorityHeader: load.ClassHeader, Classes: load.Classes, DefaultClass: load.Classes[len(load.Classes)-1],
	}
	plane := process.Plane{Program: p.Server, Arguments: []string{"-shards", strings.Join(shards, ",")}, Config: cfg}
	return plane.Start(ctx, log, dir)
}
