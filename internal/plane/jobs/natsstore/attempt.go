package natsstore

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/internal/plane/jobs/machine"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// Lease implements plane.Store. Where there is nothing to lease, nothing is written.
func (s *Store) Lease(ctx context.Context, now time.Time, queries []plane.LeaseQuery) (out [][]plane.Leased, again time.Time, err error) {
	out = make([][]plane.Leased, len(queries))
	if !s.ready(now, queries) {
		if err := s.sync(ctx); err != nil {
			return nil, again, err
		}
	}
	lost := 0
	if s.ready(now, queries) {
		if lost, err = s.lease(ctx, now, queries, out); err != nil {
			return nil, again, err
		}
	}
	if lost > 0 {
		// There may be others in their place.
		return out, now, nil
	}
	s.replica.Read(func(st *machine.State) { again = st.NextDue(now) })
	return out, again, nil
}

func (s *Store) ready(now time.Time, queries []plane.LeaseQuery) (ready bool) {
	s.replica.Read(func(st *machine.State) {
		for _, q := range queries {
			ready = ready || st.Ready(now, q.Types)
		}
	})
	return ready
}

// lease fills out, and returns how many jobs were left out as their payload is lost.
func (s *Store) lease(ctx context.Context, now time.Time, queries []plane.LeaseQuery, out [][]plane.Leased) (lost int, err error) {
	if _, err := s.usable(); err != nil {
		return 0, err
	}
	results, err := s.do(ctx, leasing(now, queries)...)
	if err != nil {
		return 0, err
	}
	return s.handOut(ctx, now, results, out)
}

func leasing(now time.Time, queries []plane.LeaseQuery) []machine.Command {
	commands := make([]machine.Command, len(queries))
	for i, q := range queries {
		commands[i] = &machine.Lease{Now: now, Worker: q.Worker, Max: q.Max, Types: q.Types}
	}
	return commands
}

// SubmitAndLease implements plane.Handing: both are one entry of the log.
func (s *Store) SubmitAndLease(ctx context.Context, now time.Time, batch []plane.NewJob, queries []plane.LeaseQuery) ([]plane.SubmitResult, [][]plane.Leased, error) {
	leased := make([][]plane.Leased, len(queries))
	if len(batch) == 0 {
		return nil, leased, nil
	}
	accepted, results, err := s.submit(ctx, now, batch, leasing(now, queries)...)
	if err != nil {
		return nil, nil, err
	}
	if _, err := s.handOut(ctx, now, results, leased); err != nil {
		// They were handed back, and the jobs are accepted all the same.
		s.cfg.Log.Warn("jobs that were accepted are not handed out at once", "error", err)
		leased = make([][]plane.Leased, len(queries))
	}
	return accepted, leased, nil
}

var _ plane.Handing = (*Store)(nil)

// handOut fills out with what leases came to.
func (s *Store) handOut(ctx context.Context, now time.Time, results []any, out [][]plane.Leased) (lost int, err error) {
	var all []machine.Leased
	var at []*plane.Leased
	for i, r := range results {
		leased := r.([]machine.Leased)
		out[i] = make([]plane.Leased, len(leased))
		for k, l := range leased {
			out[i][k] = l.Leased
			all, at = append(all, l), append(at, &out[i][k])
		}
	}
	lost, err = s.payloads(ctx, now, all, at)
	if lost > 0 {
		for i := range out {
			out[i] = slices.DeleteFunc(out[i], func(l plane.Leased) bool { return l.Job.Status != jobs.StatusRunning })
		}
	}
	return lost, err
}

// payloads reads those of jobs that were leased. Where one can not be read, all are handed back. One that the engine does
// not have ends its job's attempt, which the returned status says: handed back, the job would be the first again, and no
// other would ever start.
func (s *Store) payloads(ctx context.Context, now time.Time, leased []machine.Leased, out []*plane.Leased) (lost int, err error) {
	gone := make([]bool, len(leased))
	err = each(ctx, len(leased), func(i int) bool { return leased[i].Content.Ref != "" }, func(ctx context.Context, i int) (err error) {
		out[i].Payload, err = s.get(ctx, leased[i].Content)
		if gone[i] = errors.Is(err, jetstream.ErrMsgNotFound); gone[i] {
			return nil
		}
		return err
	})
	// The caller's time may be over by now.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Timeout)
	defer cancel()
	if err != nil {
		for _, l := range out {
			if back := s.Release(ctx, now, plane.Claim{ID: l.Job.ID, Token: l.Token}); back != nil {
				break // their leases run out
			}
		}
		return 0, unknown(err)
	}
	for i, l := range out {
		if !gone[i] {
			continue
		}
		s.cfg.Log.Error("the engine does not have the payload of a job; its attempt has failed", "job", l.Job.ID, "attempt", l.Job.Attempt)
		failure := plane.Failure{Outcome: jobs.OutcomeFailed, Reason: payloadLost, Error: "the engine does not have the payload"}
		if _, err := s.Fail(ctx, now, plane.Claim{ID: l.Job.ID, Token: l.Token}, failure); err != nil {
			s.cfg.Log.Warn("the attempt ends with its lease", "job", l.Job.ID, "error", err)
		}
		l.Job.Status = jobs.StatusRetrying
		lost++
	}
	return lost, nil
}

// payloadLost is the reason of an attempt that could not be started.
const payloadLost = "payload-lost"

// Extend implements plane.Store.
func (s *Store) Extend(ctx context.Context, now time.Time, c plane.Claim, p *jobs.Progress) (time.Time, bool, error) {
	e, err := change[machine.Extended](ctx, s, &machine.Extend{Now: now, Claim: c, Progress: p})
	if err != nil {
		return time.Time{}, false, err
	}
	return e.Expires, e.Cancelled, e.Err
}

// Complete implements plane.Store.
func (s *Store) Complete(ctx context.Context, now time.Time, batch []plane.Completion) ([]plane.CompleteResult, error) {
	e, err := s.usable()
	if err != nil {
		return nil, err
	}
	commands := make([]machine.Command, len(batch))
	size := func(i int) bool { return len(batch[i].Result.Data) > inline }
	err = each(ctx, len(batch), size, func(ctx context.Context, i int) error {
		content, err := s.put(ctx, e, batch[i].Result)
		commands[i] = &machine.Complete{Now: now, Claim: batch[i].Claim, Result: content}
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make([]plane.CompleteResult, 0, len(batch))
	for some := range slices.Chunk(commands, completions) {
		results, err := s.do(ctx, some...)
		if err != nil {
			return nil, err
		}
		for _, r := range results {
			ended := r.(machine.Ended)
			ended.Job.Attempts = nil
			out = append(out, plane.CompleteResult{Job: ended.Job, Err: ended.Err})
		}
	}
	return out, nil
}

// completions in one entry at most: of results as large as an entry may hold, a quarter of a mebibyte.
const completions = entryBytes / inline

// Fail implements plane.Store.
func (s *Store) Fail(ctx context.Context, now time.Time, c plane.Claim, f plane.Failure) (jobs.Job, error) {
	// What becomes of the job depends on its attempt, which this replica may not know of yet.
	if !s.holds(c) {
		if err := s.sync(ctx); err != nil {
			return jobs.Job{}, err
		}
	}
	var command machine.Fail
	s.replica.Read(func(st *machine.State) { command = st.Failing(now, c, f, s.decide()) })
	return s.end(ctx, &command)
}

func (s *Store) decide() machine.Decide { return s.settings.Load().Decide }

func (s *Store) holds(c plane.Claim) (holds bool) {
	s.replica.Read(func(st *machine.State) { holds = st.Holds(c) })
	return holds
}

// Release implements plane.Store.
func (s *Store) Release(ctx context.Context, now time.Time, c plane.Claim) error {
	_, err := s.end(ctx, &machine.Release{Now: now, Claim: c})
	return err
}
