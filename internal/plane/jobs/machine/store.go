package machine

import (
	"context"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// Store keeps a queue in memory: nothing of it outlives the process.
type Store struct {
	replica *Replica
	decide  atomic.Pointer[Decide]
}

var _ plane.Store = (*Store)(nil)

// NewStore is an empty queue with these settings.
func NewStore(settings plane.Settings) *Store { return NewStoreWithClock(settings, clock.RealClock{}) }

// NewStoreWithClock has a clock by which Changes tells of jobs that come due.
func NewStoreWithClock(settings plane.Settings, c clock.WithTicker) *Store {
	s := &Store{replica: NewReplica(c)}
	s.Reconfigure(settings)
	return s
}

// Run tells of jobs that come due, until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	s.replica.Run(ctx)
	return nil
}

func (s *Store) do(c Command) any {
	results, _ := s.replica.Apply(c)
	return results[0]
}

// end does a command whose result is a job.
func (s *Store) end(c Command) (jobs.Job, error) {
	ended := s.do(c).(Ended)
	return ended.Job, ended.Err
}

// Reconfigure implements plane.Store.
func (s *Store) Reconfigure(settings plane.Settings) {
	decide := Decide(settings.Decide)
	s.decide.Store(&decide)
	s.do(&Configure{Settings: SettingsOf(settings)})
}

// Submit implements plane.Store.
func (s *Store) Submit(_ context.Context, now time.Time, batch []plane.NewJob) ([]plane.SubmitResult, error) {
	c := &Submit{Now: now}
	for _, n := range batch {
		c.Batch = append(c.Batch, NewJob{NewJob: n, Content: Inline(n.Payload)})
	}
	return s.do(c).([]plane.SubmitResult), nil
}

// Get implements plane.Store.
func (s *Store) Get(_ context.Context, id string) (job jobs.Job, err error) {
	s.replica.Read(func(st *State) {
		found, result, ok := st.Job(id)
		if !ok {
			err = plane.ErrNotFound
			return
		}
		job = found
		if result != nil {
			job.Result = result.Result()
		}
	})
	return job, err
}

// List implements plane.Store.
func (s *Store) List(_ context.Context, f jobs.Filter, cursor string, limit int) (page jobs.Page, err error) {
	s.replica.Read(func(st *State) { page, err = st.List(f, cursor, limit) })
	return page, err
}

// Lease implements plane.Store.
func (s *Store) Lease(_ context.Context, now time.Time, queries []plane.LeaseQuery) (out [][]plane.Leased, again time.Time, _ error) {
	for _, q := range queries {
		var some []plane.Leased
		for _, l := range s.do(&Lease{Now: now, Worker: q.Worker, Max: q.Max, Types: q.Types}).([]Leased) {
			l.Payload = l.Content.Body()
			some = append(some, l.Leased)
		}
		out = append(out, some)
	}
	s.replica.Read(func(st *State) { again = st.NextDue(now) })
	return out, again, nil
}

// SubmitAndLease implements plane.Handing.
func (s *Store) SubmitAndLease(ctx context.Context, now time.Time, batch []plane.NewJob, queries []plane.LeaseQuery) ([]plane.SubmitResult, [][]plane.Leased, error) {
	accepted, err := s.Submit(ctx, now, batch)
	if err != nil {
		return nil, nil, err
	}
	leased, _, err := s.Lease(ctx, now, queries)
	return accepted, leased, err
}

// Extend implements plane.Store.
func (s *Store) Extend(_ context.Context, now time.Time, c plane.Claim, p *jobs.Progress) (time.Time, bool, error) {
	e := s.do(&Extend{Now: now, Claim: c, Progress: p}).(Extended)
	return e.Expires, e.Cancelled, e.Err
}

// Complete implements plane.Store.
func (s *Store) Complete(_ context.Context, now time.Time, batch []plane.Completion) (out []plane.CompleteResult, _ error) {
	for _, c := range batch {
		job, err := s.end(&Complete{Now: now, Claim: c.Claim, Result: Inline(c.Result)})
		out = append(out, plane.CompleteResult{Job: job, Err: err})
	}
	return out, nil
}

// Fail implements plane.Store.
func (s *Store) Fail(_ context.Context, now time.Time, c plane.Claim, f plane.Failure) (jobs.Job, error) {
	var command Fail
	s.replica.Read(func(st *State) { command = st.Failing(now, c, f, *s.decide.Load()) })
	return s.end(&command)
}

// Release implements plane.Store.
func (s *Store) Release(_ context.Context, now time.Time, c plane.Claim) error {
	_, err := s.end(&Release{Now: now, Claim: c})
	return err
}

// Cancel implements plane.Store.
func (s *Store) Cancel(_ context.Context, now time.Time, id string) (jobs.Job, error) {
	return s.end(&Cancel{Now: now, ID: id})
}

// Retry implements plane.Store.
func (s *Store) Retry(_ context.Context, now time.Time, id string) (jobs.Job, error) {
	return s.end(&Retry{Now: now, ID: id})
}

// Delete implements plane.Store.
func (s *Store) Delete(_ context.Context, id string) error {
	_, err := s.end(&Delete{ID: id})
	return err
}

// Redrive implements plane.Store.
func (s *Store) Redrive(_ context.Context, now time.Time, r jobs.RedriveRequest) (int, error) {
	return s.do(Redriving(now, r)).(int), nil
}

// Redriving is the command for a request.
func Redriving(now time.Time, r jobs.RedriveRequest) *Redrive {
	c := &Redrive{Now: now, Filter: r.Filter, Max: r.Max}
	if r.PerSecond > 0 {
		c.Interval = time.Duration(float64(time.Second) / r.PerSecond)
	}
	return c
}

// Stats implements plane.Store.
func (s *Store) Stats(_ context.Context, now time.Time) (stats jobs.Stats, _ error) {
	s.replica.Read(func(st *State) { stats = st.Stats(now) })
	return stats, nil
}

// SetPaused implements plane.Store.
func (s *Store) SetPaused(_ context.Context, paused bool) error {
	s.do(&Pause{Paused: paused})
	return nil
}

// Sweep implements plane.Store.
func (s *Store) Sweep(_ context.Context, now time.Time) (swept plane.Swept, _ error) {
	var todo []Command
	s.replica.Read(func(st *State) { todo = st.Sweep(now, *s.decide.Load()) })
	results, _ := s.replica.Apply(todo...)
	swept = Account(todo, results)
	s.replica.Read(func(st *State) { swept.Next = st.NextSweep(now) })
	return swept, nil
}

// Changes implements plane.Store.
func (s *Store) Changes(ctx context.Context) <-chan plane.Change { return s.replica.Changes(ctx) }

// Events implements plane.Store.
func (s *Store) Events(_ context.Context, now time.Time, sink string, atMost int, ttl time.Duration) ([]plane.Event, error) {
	return s.do(&Take{Now: now, Sink: sink, Max: atMost, TTL: ttl}).([]plane.Event), nil
}

// Sent implements plane.Store.
func (s *Store) Sent(_ context.Context, sink string, ids []string) error {
	s.do(&Sent{Sink: sink, IDs: ids})
	return nil
}

// Waiting implements plane.Store.
func (s *Store) Waiting(_ context.Context, sink string, _ int) (n int, _ error) {
	s.replica.Read(func(st *State) { n = st.Letters(sink) })
	return n, nil
}

// Schedule implements plane.Store.
func (s *Store) Schedule(_ context.Context, name string) (fired time.Time, job string, _ error) {
	s.replica.Read(func(st *State) { fired, job = st.Schedule(name) })
	return fired, job, nil
}

// Fire implements plane.Store.
func (s *Store) Fire(_ context.Context, now time.Time, name string, last, at time.Time, job *plane.NewJob) (bool, error) {
	c := &Fire{Now: now, Name: name, Last: last, At: at}
	if job != nil {
		c.Job = &NewJob{NewJob: *job, Content: Inline(job.Payload)}
	}
	f := s.do(c).(Fired)
	return f.Done, f.Err
}
