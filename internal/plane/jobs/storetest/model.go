package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/internal/plane/jobs/machine"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// model compares what a store does, step by step, with the state machine in memory.
func model(t *testing.T, connect Connect) {
	s := ordered()
	s.Sinks = map[string][]string{"all": nil, "ends": {jobs.EventSucceeded, jobs.EventDead}}
	// One priority: which of several goes first may differ.
	s.Weights = map[string]int{"low": 1}
	store := connect(s)
	round := 0
	rapid.Check(t, func(r *rapid.T) {
		round++
		twin := &twins{real: flat{store}, model: flat{machine.NewStore(s)}, now: Epoch.Add(time.Duration(round) * 24 * time.Hour), ctx: contextOf(t), round: round}
		defer twin.clear(t)
		r.Repeat(map[string]func(*rapid.T){
			"submit": twin.submit, "lease": twin.lease, "end": twin.end, "extend": twin.extend, "byHand": twin.byHand,
			"redrive": twin.redrive, "pass": twin.pass, "events": twin.events, "": twin.compare,
		})
	})
}

// twins are two stores that are told the same.
type twins struct {
	real, model flat
	ctx         context.Context
	now         time.Time
	round       int
	ids         []string
	claims      []plane.Claim
}

// both does the same to both, and compares what they return.
func both[T any](r *rapid.T, w *twins, what string, do func(flat) (T, error), options ...gocmp.Option) T {
	want, wantErr := do(w.model)
	got, gotErr := do(w.real)
	for _, known := range []error{plane.ErrNotFound, plane.ErrFenced, plane.ErrState, plane.ErrFull, plane.ErrKeyReused} {
		if errors.Is(wantErr, known) != errors.Is(gotErr, known) {
			r.Fatalf("%s: got %v, want %v", what, gotErr, wantErr)
		}
	}
	if (wantErr == nil) != (gotErr == nil) {
		r.Fatalf("%s: got %v, want %v", what, gotErr, wantErr)
	}
	if diff := gocmp.Diff(want, got, append(options, cmpopts.EquateEmpty())...); diff != "" {
		r.Fatalf("%s (-want +got)\n%s", what, diff)
	}
	return want
}

func (w *twins) submit(r *rapid.T) {
	n := rapid.IntRange(1, 3).Draw(r, "jobs")
	var batch []plane.NewJob
	for range n {
		j := NewJob(typed("t"), keyed(rapid.SampledFrom([]string{"", "a", "b"}).Draw(r, "key")))
		if k := rapid.SampledFrom([]string{"", "", "k", "l"}).Draw(r, "idempotency"); k != "" {
			j.IdempotencyKey, j.Digest = fmt.Sprint(w.round, k), []byte(rapid.SampledFrom([]string{"c", "c", "d"}).Draw(r, "content"))
		}
		if s := rapid.IntRange(-10, 20).Draw(r, "in"); s > 0 {
			j.RunAt = w.now.Add(time.Duration(s) * time.Second)
		}
		if label := rapid.SampledFrom([]string{"", "x", "y"}).Draw(r, "label"); label != "" {
			j.Metadata = map[string]string{"l": label}
		}
		w.ids = append(w.ids, j.ID)
		batch = append(batch, j)
	}
	both(r, w, "submit", func(s flat) ([]plane.SubmitResult, error) {
		results, err := s.Submit(w.ctx, w.now, batch)
		for i := range results {
			results[i].Status = plain(results[i].Status)
			if results[i].Err != nil {
				// Which error it is is told by the type; a store may say more.
				results[i] = plane.SubmitResult{Accepted: jobs.Accepted{ID: fmt.Sprint(errors.Is(results[i].Err, plane.ErrKeyReused))}}
			}
		}
		return results, err
	})
}

func (w *twins) lease(r *rapid.T) {
	q := plane.LeaseQuery{Worker: "w", Max: rapid.IntRange(1, 4).Draw(r, "max")}
	if rapid.Bool().Draw(r, "typed") {
		q.Types = []string{rapid.SampledFrom([]string{"t", "u"}).Draw(r, "type")}
	}
	leased := both(r, w, "lease", func(s flat) ([]plane.Leased, error) {
		out, err := s.Lease(w.ctx, w.now, q)
		slices.SortFunc(out, func(a, b plane.Leased) int { return cmp.Compare(a.Job.ID, b.Job.ID) })
		for i := range out {
			out[i].Job = summary(out[i].Job)
		}
		return out, err
	})
	for _, l := range leased {
		w.claims = append(w.claims, claim(l))
	}
}

// claim is one that there was, perhaps of a lease that is over.
func (w *twins) claim(r *rapid.T) plane.Claim {
	if len(w.claims) == 0 {
		r.Skip("nothing was leased")
	}
	from := 0
	if rapid.IntRange(0, 3).Draw(r, "old") > 0 {
		from = max(0, len(w.claims)-4)
	}
	return w.claims[rapid.IntRange(from, len(w.claims)-1).Draw(r, "claim")]
}

func (w *twins) end(r *rapid.T) {
	c := w.claim(r)
	how := rapid.SampledFrom([]string{"complete", "fail", "fail", "for good", "cancelled", "release"}).Draw(r, "how")
	both(r, w, how, func(s flat) (jobs.Job, error) {
		var j jobs.Job
		var err error
		switch how {
		case "complete":
			j, err = s.Complete(w.ctx, w.now, c, plane.Body{ContentType: "text/plain", Data: []byte("done")})
		case "release":
			err = s.Release(w.ctx, w.now, c)
		case "cancelled":
			j, err = s.Fail(w.ctx, w.now, c, plane.Failure{Outcome: jobs.OutcomeCancelled, Error: "stopped"})
		default:
			j, err = s.Fail(w.ctx, w.now, c, plane.Failure{Outcome: jobs.OutcomeFailed, Error: how, Permanent: how == "for good"})
		}
		if err != nil {
			return jobs.Job{}, err
		}
		return summary(j), err
	})
}

func (w *twins) extend(r *rapid.T) {
	c := w.claim(r)
	var p *jobs.Progress
	if rapid.Bool().Draw(r, "progress") {
		p = &jobs.Progress{Percent: float64(rapid.IntRange(0, 100).Draw(r, "percent")), Message: "on it", At: w.now}
	}
	both(r, w, "extend", func(s flat) ([]any, error) {
		expires, cancelled, err := s.Extend(w.ctx, w.now, c, p)
		return []any{expires, cancelled}, err
	})
}

func (w *twins) byHand(r *rapid.T) {
	if len(w.ids) == 0 {
		r.Skip("there are no jobs")
	}
	id := rapid.SampledFrom(w.ids).Draw(r, "id")
	what := rapid.SampledFrom([]string{"cancel", "retry", "delete"}).Draw(r, "what")
	both(r, w, what, func(s flat) (jobs.Job, error) {
		var j jobs.Job
		var err error
		switch what {
		case "cancel":
			j, err = s.Cancel(w.ctx, w.now, id)
		case "retry":
			j, err = s.Retry(w.ctx, w.now, id)
		default:
			err = s.Delete(w.ctx, id)
		}
		if err != nil {
			return jobs.Job{}, err
		}
		return summary(j), err
	})
}

func (w *twins) redrive(r *rapid.T) {
	q := jobs.RedriveRequest{Max: rapid.IntRange(0, 2).Draw(r, "max"), PerSecond: float64(rapid.IntRange(0, 1).Draw(r, "rate"))}
	if label := rapid.SampledFrom([]string{"", "x"}).Draw(r, "label"); label != "" {
		q.Metadata = map[string]string{"l": label}
	}
	both(r, w, "redrive", func(s flat) (int, error) { return s.Redrive(w.ctx, w.now, q) })
}

func (w *twins) pass(r *rapid.T) {
	w.now = w.now.Add(time.Duration(rapid.IntRange(1, 40).Draw(r, "seconds")) * time.Second)
	for _, s := range []flat{w.model, w.real} {
		for {
			next, err := s.Sweep(w.ctx, w.now)
			if err != nil {
				r.Fatal(err)
			}
			if next.IsZero() || next.After(w.now) {
				break
			}
		}
	}
}

// event is what both have to say of one.
type event struct {
	Job, Kind string
	Status    jobs.Status
	Time      time.Time
}

func (w *twins) events(r *rapid.T) {
	sink := rapid.SampledFrom([]string{"all", "ends"}).Draw(r, "sink")
	both(r, w, "events", func(s flat) ([]event, error) {
		got, err := s.Events(w.ctx, w.now, sink, 1000, time.Minute)
		var out []event
		var ids []string
		for _, e := range got {
			out, ids = append(out, event{e.Job.ID, e.Type, plain(e.Job.Status), e.Time}), append(ids, e.ID)
		}
		slices.SortStableFunc(out, func(a, b event) int { return cmp.Compare(a.Job, b.Job) })
		return out, errors.Join(err, s.Sent(w.ctx, sink, ids))
	})
}

func (w *twins) compare(r *rapid.T) {
	for _, id := range w.ids {
		both(r, w, "get", func(s flat) (jobs.Job, error) {
			j, err := s.Get(w.ctx, id)
			j.Status, j.Revision, j.RunAt = plain(j.Status), 0, after(j)
			return j, err
		})
	}
	both(r, w, "stats", func(s flat) (jobs.Stats, error) {
		st, err := s.Stats(w.ctx, w.now)
		depth := map[jobs.Status]int64{}
		for status, n := range st.Depth {
			if n > 0 {
				depth[plain(status)] += n
			}
		}
		return jobs.Stats{Backlog: st.Backlog, Depth: depth, ByPriority: st.ByPriority}, err
	})
	both(r, w, "list", func(s flat) ([]string, error) {
		page, err := s.List(w.ctx, jobs.Filter{Metadata: map[string]string{"l": "x"}}, "", 100)
		var ids []string
		for _, j := range page.Jobs {
			ids = append(ids, j.ID)
		}
		return ids, err
	})
}

// clear empties the store for the next round.
func (w *twins) clear(t *testing.T) {
	for _, c := range w.claims {
		_, _ = w.real.Complete(w.ctx, w.now, c, plane.Body{})
	}
	for _, id := range w.ids {
		if err := w.real.Delete(w.ctx, id); err != nil && !errors.Is(err, plane.ErrNotFound) {
			t.Error(err)
		}
	}
	for _, sink := range []string{"all", "ends"} {
		got, err := w.real.Events(w.ctx, w.now.Add(time.Hour), sink, 10000, 0)
		var ids []string
		for _, e := range got {
			ids = append(ids, e.ID)
		}
		if err := errors.Join(err, w.real.Sent(w.ctx, sink, ids)); err != nil {
			t.Error(err)
		}
	}
}

// plain makes one of scheduled and queued: a store may notice late that a job's time has come.
func plain(s jobs.Status) jobs.Status {
	if s == jobs.StatusScheduled {
		return jobs.StatusQueued
	}
	return s
}

// summary of a job without what a store need not say, or counts in its own way.
func summary(j jobs.Job) jobs.Job {
	j.Attempts, j.Result, j.Revision, j.Status, j.RunAt = nil, nil, 0, plain(j.Status), after(j)
	return j
}

// after is when a job may start, where that is not when it was accepted: that need not be said.
func after(j jobs.Job) *time.Time {
	if j.RunAt == nil || j.RunAt.Equal(j.AcceptedAt) {
		return nil
	}
	return j.RunAt
}
