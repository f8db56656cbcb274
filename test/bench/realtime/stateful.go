package realtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/trellis-dev/trellis/test/bench/harness"
	"github.com/trellis-dev/trellis/test/bench/process"
	"github.com/trellis-dev/trellis/test/bench/realtime/load"
)

const (
	// spoken are the rooms of a fail-over, in each of which a message is published every so often.
	spoken      = 60
	spokenEvery = 100 * time.Millisecond
	// silence is how long nothing came of a room whose owner was gone.
	silence = time.Second
	// failOverTimeout bounds a fail-over.
	failOverTimeout = 30 * time.Second
)

// Stateful is the part about rooms that have owners.
func Stateful(p Programs) harness.Part {
	return harness.Part{
		Name:  "realtime-stateful",
		Title: "Realtime: rooms with owners",
		About: "Two replicas on one Redis with `delivery.mode: Stateful`, where a room's messages get their order at the replica that owns it. Peer: the same with `PubSub`, where the engine orders them. " +
			"Messages of 128 bytes, published over HTTP and followed over WebSocket; publishers are spread over the replicas, and so are the followers of each room, so that half of the messages are published at another replica than the owner. " +
			"*rate*, *p50*, *p99* and *lost* are as above, the times at a steady 20 (one room) or 1,000 (many rooms) messages a second; *cpu* is that of both replicas, a delivery. " +
			"*an owner is killed*: of three replicas one is killed by SIGKILL, to which no client is connected, while in each of 60 rooms a message is published every 100 ms at one of the others, and sent again under its idempotency key until it is acknowledged. " +
			"*rooms that fell silent* are those of which nothing came for a second or more, a third of all as each replica owns a third; *silence* is the time between the last message before and the first after, of them. " +
			"An owner is taken for dead after 3 s without a sign of life, so that no other is ever mistaken for it. *lost* are acknowledged messages that never came, *doubled* such that came twice, *astray* such that came after a later one.",
		Run: func(ctx context.Context, e *harness.Env) ([]harness.Row, error) { return owners(ctx, e, p) },
	}
}

func owners(ctx context.Context, e *harness.Env, p Programs) ([]harness.Row, error) {
	redis, stop, err := startRedis(ctx)
	defer stop()
	if err != nil {
		return nil, err
	}
	var rows []harness.Row
	for _, f := range []flow{
		{name: "one room, 1,000 followers", followers: 1000, rooms: 1, publishers: 8, window: 16, rate: 20},
		{name: "1,000 rooms of 2", followers: 2000, rooms: 1000, publishers: 32, window: 256, rate: 1000},
	} {
		if !e.Chosen(f.name) {
			continue
		}
		if e.Short {
			f.followers, f.rooms = f.followers/10, max(1, f.rooms/10)
		}
		side := func(m mode) harness.Side {
			return func(ctx context.Context) (harness.Figures, error) { return f.between(ctx, e, p, m, redis) }
		}
		got, err := e.Interleave(ctx, f.name, side(stateful), side(pubSub))
		if err != nil {
			return nil, err
		}
		rows = append(rows, got.Row(f.name, "rate", "deliveries/s", harness.NoGoal), got.Row(f.name, "cpu", "µs", harness.NoGoal),
			got.Row(f.name, "p50", "ms", harness.NoGoal), got.Row(f.name, "p99", "ms", harness.NoGoal), got.Row(f.name, "lost", "", harness.Exactly(0)))
	}
	const killed = "an owner is killed"
	if !e.Chosen(killed) {
		return rows, nil
	}
	var all harness.Samples
	for run := range e.Runs {
		e.Say("%s: run %d of %d", killed, run+1, e.Runs)
		figures, err := p.failOver(ctx, e, redis)
		if err != nil {
			return nil, fmt.Errorf("%s, run %d: %w", killed, run+1, err)
		}
		all.Ours = append(all.Ours, figures)
	}
	for _, r := range []struct {
		measure, unit string
		goal          harness.Goal
	}{
		{"rooms that fell silent", "", harness.NoGoal}, {"silence, p50", "s", harness.NoGoal}, {"silence, longest", "s", harness.NoGoal},
		{"longest time between messages of the others", "s", harness.NoGoal}, {"messages acknowledged", "", harness.NoGoal},
		{"sent again", "", harness.NoGoal},
		{"lost", "", harness.Exactly(0)}, {"doubled", "", harness.Exactly(0)}, {"astray", "", harness.Exactly(0)},
	} {
		row := all.Row(killed, r.measure, r.unit, r.goal)
		row.Peer = nil
		rows = append(rows, row)
	}
	return rows, nil
}

// between measures the flow through two replicas.
func (f flow) between(ctx context.Context, e *harness.Env, p Programs, m mode, redis string) (harness.Figures, error) {
	g, err := p.startGateway(ctx, e, m, redis, 2)
	defer g.stop()
	if err != nil {
		return nil, err
	}
	if err := g.follow(ctx, load.FollowParams{Protocol: load.ContractWebSocket, Followers: f.followers, Rooms: f.rooms}); err != nil {
		return nil, err
	}
	params := load.PublishParams{
		Addresses: g.addresses, Token: process.Token, Protocol: load.ContractHTTP, Rooms: f.rooms, Bytes: messageSize,
		Publishers: f.publishers, WarmUp: time.Second, Measure: 2 * time.Second,
	}
	if e.Short {
		params.WarmUp, params.Measure = 200*time.Millisecond, 500*time.Millisecond
	}
	steady := params
	steady.Rate, params.Window = f.rate, f.window
	var most, timed load.Published
	cpu, err := g.used(func() error { return g.clients.Call(ctx, load.MethodPublish, params, &most) })
	if err != nil {
		return nil, err
	}
	if err := g.clients.Call(ctx, load.MethodPublish, steady, &timed); err != nil {
		return nil, err
	}
	return harness.Figures{
		"rate": most.Rate, "cpu": float64(cpu.Nanoseconds()) / 1e3 / float64(max(1, most.Delivered)),
		"p50": milliseconds(timed.P50), "p99": milliseconds(timed.P99), "lost": float64(most.Lost + timed.Lost),
	}, nil
}

// failOver kills a replica that no client is connected to.
func (p Programs) failOver(ctx context.Context, e *harness.Env, redis string) (harness.Figures, error) {
	g, err := p.startGateway(ctx, e, stateful, redis, 3)
	defer g.stop()
	if err != nil {
		return nil, err
	}
	last := len(g.replicas) - 1
	params := load.TalkParams{Addresses: g.addresses[:last], Token: process.Token, Rooms: spoken, Every: spokenEvery}
	if err := g.clients.Call(ctx, load.MethodTalk, params, nil); err != nil {
		return nil, err
	}
	if err := g.allHeard(ctx, time.Now().Add(time.Second)); err != nil {
		return nil, err
	}
	victim, err := os.FindProcess(g.replicas[last].PID())
	if err == nil {
		err = victim.Kill()
	}
	if err != nil {
		return nil, fmt.Errorf("kill an owner: %w", err)
	}
	if err := awaitOwners(ctx, g.admins[:last]); err != nil {
		return nil, err
	}
	if err := g.allHeard(ctx, time.Now().Add(time.Second)); err != nil {
		return nil, err
	}
	var rooms []load.Silence
	if err := g.clients.Call(ctx, load.MethodHush, nil, &rooms); err != nil {
		return nil, err
	}
	return silences(rooms), nil
}

// allHeard waits until something came of each room after a moment.
func (g *gateway) allHeard(ctx context.Context, since time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, failOverTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		heard := 0
		if err := g.clients.Call(ctx, load.MethodHeard, since, &heard); err != nil {
			return err
		}
		if heard == spoken {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), fmt.Errorf("messages come of %d of %d rooms", heard, spoken))
		case <-tick.C:
		}
	}
}

func silences(rooms []load.Silence) harness.Figures {
	out := harness.Figures{}
	var fell []time.Duration
	var others time.Duration
	for _, r := range rooms {
		if r.Longest >= silence {
			fell = append(fell, r.Longest)
		} else {
			others = max(others, r.Longest)
		}
		out["messages acknowledged"] += float64(r.Acked)
		out["sent again"] += float64(r.Again)
		out["lost"] += float64(r.Lost)
		out["doubled"] += float64(r.Doubled)
		out["astray"] += float64(r.Astray)
	}
	out["rooms that fell silent"] = float64(len(fell))
	out["longest time between messages of the others"] = others.Seconds()
	if slices.Sort(fell); len(fell) > 0 {
		out["silence, p50"], out["silence, longest"] = fell[len(fell)/2].Seconds(), fell[len(fell)-1].Seconds()
	}
	return out
}
