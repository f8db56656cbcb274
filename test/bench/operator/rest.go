package operator

import (
	"context"
	"fmt"
	"time"

	"github.com/trellis-dev/trellis/test/bench/harness"
	"github.com/trellis-dev/trellis/test/bench/process"
)

const (
	// quiet is how long nothing may have been called for all to be done.
	quiet = 3 * time.Second
	// secrets that have nothing to do with Trellis.
	secrets = 5000
	// mebibyte is the unit of memory.
	mebibyte = 1 << 20
)

// Rest is the part about what the operator does when there is nothing to do.
func Rest(self string) harness.Part {
	return harness.Part{
		Name:  "operator-rest",
		Title: "Operator: at rest",
		About: "Calls of the operator to the API server over 1,000 RealtimeGateways that are ready: while nothing changes, and after a restart " +
			"over them until nothing more is called. Watches, discovery and the leader's lease are left out; the lists of a start are one a kind, " +
			"and are told.",
		Run: func(ctx context.Context, e *harness.Env) ([]harness.Row, error) { return atRest(ctx, e, self) },
	}
}

func atRest(ctx context.Context, e *harness.Env, self string) ([]harness.Row, error) {
	r, stop, err := start(ctx, e, self, RoleOperator)
	defer stop()
	if err != nil {
		return nil, err
	}
	n := count(e)
	e.Say("apply %d objects", n)
	if err := r.applied(ctx, 0, n); err != nil {
		return nil, err
	}
	before, err := r.settled(ctx, n)
	if err != nil {
		return nil, err
	}
	e.Say("at rest for %s", e.Rest)
	time.Sleep(e.Rest)
	after, err := r.counted(ctx, RoleOperator)
	if err != nil {
		return nil, err
	}
	e.Say("restart")
	r.maker.Stop()
	if err := r.startMaker(e, self, RoleOperator); err != nil {
		return nil, err
	}
	again, err := r.settled(ctx, n)
	if err != nil {
		return nil, err
	}
	idle := after.minus(before)
	what, restarted := fmt.Sprintf("%s at rest", e.Rest), "restart"
	counted := func(what, measure string, n int64, goal harness.Goal) harness.Row {
		return harness.Row{Case: what, Measure: measure, Ours: harness.Series{float64(n)}, Goal: goal}
	}
	return []harness.Row{
		counted(what, "writes", idle.Writes+idle.Events, harness.Exactly(0)),
		counted(what, "GETs", idle.Gets, harness.Exactly(0)), counted(what, "LISTs", idle.Lists, harness.Exactly(0)),
		counted(restarted, "writes", again.Writes+again.Events, harness.Exactly(0)),
		counted(restarted, "GETs", again.Gets, harness.Exactly(0)), counted(restarted, "LISTs", again.Lists, harness.NoGoal),
	}, nil
}

// settled waits until each of n objects has been reconciled and nothing has been
// called for a while.
func (r *rig) settled(ctx context.Context, n int) (Calls, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	var last Calls
	var lastReconciled int64
	since := time.Now()
	for {
		var now Calls
		var reconciled int64
		if err := r.maker.Call(ctx, methodCalls, nil, &now); err != nil {
			return now, err
		}
		if err := r.maker.Call(ctx, methodReconciled, nil, &reconciled); err != nil {
			return now, err
		}
		if now != last || reconciled != lastReconciled || reconciled < int64(n) {
			last, lastReconciled, since = now, reconciled, time.Now()
		}
		if time.Since(since) > quiet {
			return now, nil
		}
		select {
		case <-ctx.Done():
			return now, fmt.Errorf("the operator does not come to rest, with %+v: %w", now, ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Memory is the part about the operator's memory.
func Memory(self string) harness.Part {
	return harness.Part{
		Name:  "operator-memory",
		Title: "Operator: memory",
		About: "What the operator's process grows by from 1,000 to 2,000 RealtimeGateways, all ready and at rest, and then by 5,000 Secrets of " +
			"2 KiB that have nothing to do with Trellis, in the same namespaces; after a collection each.",
		Run: func(ctx context.Context, e *harness.Env) ([]harness.Row, error) { return memory(ctx, e, self) },
	}
}

func memory(ctx context.Context, e *harness.Env, self string) ([]harness.Row, error) {
	var s harness.Samples
	for run := range e.Runs {
		e.Say("run %d of %d", run+1, e.Runs)
		figures, err := grow(ctx, e, self)
		if err != nil {
			return nil, err
		}
		s.Ours = append(s.Ours, figures)
	}
	row := func(what, measure, unit string, goal harness.Goal) harness.Row {
		r := s.Row(what, measure, unit, goal)
		r.Peer, r.Measure = nil, measure
		return r
	}
	secretsRow := harness.Row{Case: "5,000 unrelated Secrets", Measure: "rss after, to before", Unit: "MiB", Goal: harness.RatioAtMost(1.05)}
	for _, f := range s.Ours {
		secretsRow.Ours = append(secretsRow.Ours, f["rss with secrets"])
		secretsRow.Peer = append(secretsRow.Peer, f["rss of 2,000"])
	}
	return []harness.Row{
		row("1,000 → 2,000 objects", "rss an object", "MiB", harness.AtMost(0.25)),
		row("1,000 → 2,000 objects", "heap an object", "MiB", harness.NoGoal),
		row("1,000 objects", "rss of 1,000", "MiB", harness.NoGoal), row("2,000 objects", "rss of 2,000", "MiB", harness.NoGoal),
		secretsRow,
	}, nil
}

func grow(ctx context.Context, e *harness.Env, self string) (harness.Figures, error) {
	r, stop, err := start(ctx, e, self, RoleOperator)
	defer stop()
	if err != nil {
		return nil, err
	}
	n, unrelated := count(e), secrets
	if e.Short {
		unrelated = 200
	}
	var at [3]struct{ rss, heap float64 }
	for i, step := range []func() error{
		func() error { return r.applied(ctx, 0, n) },
		func() error { return r.applied(ctx, n, 2*n) },
		func() error { return r.unrelated(ctx, unrelated) },
	} {
		if err := step(); err != nil {
			return nil, err
		}
		if _, err := r.settled(ctx, 0); err != nil {
			return nil, err
		}
		var m process.Memory
		if err := r.maker.Call(ctx, "memory", nil, &m); err != nil {
			return nil, err
		}
		rss, err := process.RSS(r.maker.PID())
		if err != nil {
			return nil, err
		}
		at[i].rss, at[i].heap = float64(rss)/mebibyte, float64(m.Heap)/mebibyte
	}
	return harness.Figures{
		"rss an object": (at[1].rss - at[0].rss) / float64(n), "heap an object": (at[1].heap - at[0].heap) / float64(n),
		"rss of 1,000": at[0].rss, "rss of 2,000": at[1].rss, "rss with secrets": at[2].rss,
	}, nil
}
