package jobs

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/trellis-dev/trellis/test/bench/harness"
	"github.com/trellis-dev/trellis/test/bench/jobs/load"
	"github.com/trellis-dev/trellis/test/bench/process"
)

const (
	// submitters at once, of single jobs; batchers of batches.
	submitters, batchers, batch = 32, 4, 100
	// workersAtOnce are jobs at once.
	workersAtOnce = 100
	// idlers wait while jobs are submitted one after the other, each every so long.
	idlers = 16
	every  = 20 * time.Millisecond
)

// amounts of jobs in each measurement of a run.
type amounts struct{ single, batched, timed int }

func amountsOf(e *harness.Env) amounts {
	if e.Short {
		return amounts{single: 500, batched: 1000, timed: 50}
	}
	return amounts{single: 5000, batched: 20000, timed: 300}
}

// Goals of design and page.
var (
	enough  = harness.RatioAtLeast(0.8)
	noWorse = harness.RatioAtMost(3)
)

const (
	whyRiver = "River's workers say in memory that a job is done, and it is recorded some time later, hundreds by one statement; here each completion is " +
		"told over HTTP with a token that is checked, up to 500 by one request, and is answered when it is durable."
	whyBare = "a bare request touches no disk. Between a submission and its start lie a write that is synchronised to disk before it is answered, the job and " +
		"its lease together, and two requests over HTTP. The bare stream, which has the write alone, is in the row above."
)

const about = "Jobs of 200 bytes, through the plane's HTTP contract, on one server of the engine that writes as a provisioned Engine does: on disk before " +
	"it is acknowledged, for both sides alike. *submit* is 32 clients that each send one job and wait for its acknowledgement, *submit, batches* 4 clients " +
	"with 100 jobs a request; *work* leases the jobs of both, 100 at once, and counts those whose completion is recorded. *start* is the time from before " +
	"a submission until a worker has the job, 50 a second, while 16 workers wait. Plane, clients and engine are processes of their own that share the cores. "

// PostgreSQL is the part on that engine.
func PostgreSQL(p Programs) harness.Part {
	return harness.Part{
		Name: "jobs-postgresql", Title: "Jobs: PostgreSQL",
		About: about + "Peer: River v0.51.1 as a library in the clients' process, with no server between it and the same PostgreSQL, each run in a database of its " +
			"own; `Insert`, `InsertMany`, and a client with 100 workers that do nothing. It waits 1 ms between fetches, the least it lets set, as its default of " +
			"100 ms would bound it to a tenth, and may open 32 connections. It has no leases that run out in between, no tokens, no progress and no HTTP.",
		Run: func(ctx context.Context, e *harness.Env) (rows []harness.Row, err error) {
			err = withPostgres(e, func(st store) error { rows, err = p.compare(ctx, e, st, "River"); return err })
			return rows, err
		},
	}
}

// NATS is the part on that engine.
func NATS(p Programs) harness.Part {
	return harness.Part{
		Name: "jobs-nats", Title: "Jobs: NATS JetStream",
		About: about + "Peer: a bare stream of a work queue on the same nats-server: publish and wait for the acknowledgement (in batches: 100 on the way at once); a pull " +
			"consumer with 100 messages unacknowledged at most, each acknowledged and that acknowledged (`AckSync`). It has one state a message: no status, results, retries with " +
			"a history, priorities, ordering keys or look-up. *a bare request* is a request of NATS that somebody answers, nothing stored, at the same pace.",
		Run: func(ctx context.Context, e *harness.Env) (rows []harness.Row, err error) {
			err = withNATS(e, func(st store) error { rows, err = p.compare(ctx, e, st, "JetStream"); return err })
			return rows, err
		},
	}
}

// compare runs both sides in turns.
func (p Programs) compare(ctx context.Context, e *harness.Env, st store, against string) ([]harness.Row, error) {
	n := amountsOf(e)
	side := func(s side) harness.Side {
		return func(ctx context.Context) (harness.Figures, error) { return p.run(ctx, e, s, st, n) }
	}
	got, err := e.Interleave(ctx, "against "+against, side(ours), side(peer))
	if err != nil {
		return nil, err
	}
	what := "against " + against
	rows := []harness.Row{
		got.Row(what, "submit", "jobs/s", enough), got.Row(what, "submit, batches", "jobs/s", enough), got.Row(what, "work", "jobs/s", enough),
		got.Row(what, "start p50", "ms", harness.NoGoal), got.Row(what, "start p99", "ms", harness.NoGoal),
	}
	if st.kind == "NATS" {
		bare := got.Row("against a bare request", "start p50", "ms", noWorse)
		bare.Peer = got.Row("", "request p50", "", harness.NoGoal).Peer
		rows = append(rows, bare)
	}
	cpu := got.Row(what, "cpu of the plane, submit to done", "µs a job", harness.NoGoal)
	cpu.Peer = nil
	why := whyBare
	if st.kind == "PostgreSQL" {
		why = whyRiver
	}
	return harness.Explain(why, append(rows, cpu)...), nil
}

// run measures one side once.
func (p Programs) run(ctx context.Context, e *harness.Env, s side, st store, n amounts) (harness.Figures, error) {
	r, stop, err := p.start(ctx, e, s, st)
	defer stop()
	if err != nil {
		return nil, err
	}
	if e.Profile {
		r.profile = filepath.Join(e.Folder, "jobs-"+st.kind+"-"+string(s))
	}
	used, err := r.used()
	if err != nil {
		return nil, err
	}
	f := harness.Figures{}
	var rate load.Rate
	for _, m := range []struct {
		name, method string
		params       any
	}{
		{"submit", load.MethodSubmit, load.SubmitParams{Target: r.target, Jobs: n.single, Clients: submitters, Batch: 1}},
		{"submit, batches", load.MethodSubmit, load.SubmitParams{Target: r.target, Jobs: n.batched, Clients: batchers, Batch: batch}},
		{"work", load.MethodWork, load.WorkParams{Target: r.target, Jobs: n.waiting(), AtOnce: workersAtOnce}},
	} {
		if err := r.measure(ctx, m.name, m.method, m.params, &rate); err != nil {
			return nil, fmt.Errorf("%s: %w", s, err)
		}
		f[m.name] = rate.PerSecond
	}
	after, err := r.used()
	if err != nil {
		return nil, err
	}
	f["cpu of the plane, submit to done"] = float64((after - used).Microseconds()) / float64(n.waiting())
	return f, r.times(ctx, st, s, n, f)
}

// waiting are the jobs that both ways of submission leave, the first ones of each client among them.
func (n amounts) waiting() int { return n.single + submitters + n.batched + batchers*batch }

func (r *rig) times(ctx context.Context, st store, s side, n amounts, f harness.Figures) error {
	var took load.Times
	if err := r.measure(ctx, "start", load.MethodStart, load.StartParams{Target: r.target, Jobs: n.timed, AtOnce: idlers, Every: every}, &took); err != nil {
		return fmt.Errorf("%s: %w", s, err)
	}
	f["start p50"], f["start p99"] = milliseconds(took.P50), milliseconds(took.P99)
	if st.kind != "NATS" || s == ours {
		return nil
	}
	err := r.clients.Call(ctx, load.MethodRequest, load.RequestParams{NATS: r.target.NATS, Jobs: n.timed, Every: every}, &took)
	f["request p50"] = milliseconds(took.P50)
	return err
}

// measure has the clients do something, and leaves profiles of it where they are wanted: of them and, of ours, of the plane.
func (r *rig) measure(ctx context.Context, name, method string, params, result any) error {
	if r.profile == "" {
		return r.clients.Call(ctx, method, params, result)
	}
	for who, child := range r.children() {
		at := process.ProfileParams{File: fmt.Sprintf("%s-%s-%s.cpu.pprof", r.profile, strings.ReplaceAll(name, ", ", "-"), who)}
		if err := child.Call(ctx, "start-cpu-profile", at, nil); err != nil {
			return err
		}
	}
	err := r.clients.Call(ctx, method, params, result)
	for _, child := range r.children() {
		err = errors.Join(err, child.Call(ctx, "stop-cpu-profile", nil, nil))
	}
	return err
}

// used is the CPU time of the plane, where there is one.
func (r *rig) used() (time.Duration, error) {
	if r.plane == nil {
		return 0, nil
	}
	return process.CPU(r.plane.PID())
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
