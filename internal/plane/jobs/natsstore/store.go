package natsstore

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/internal/plane/jobs/machine"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// change writes one command, and returns its result.
func change[T any](ctx context.Context, s *Store, c machine.Command) (result T, err error) {
	if _, err := s.usable(); err != nil {
		return result, err
	}
	results, err := s.do(ctx, c)
	if err != nil {
		return result, err
	}
	return results[0].(T), nil
}

// end writes a command whose result is a job.
func (s *Store) end(ctx context.Context, c machine.Command) (jobs.Job, error) {
	ended, err := change[machine.Ended](ctx, s, c)
	if err != nil {
		return jobs.Job{}, err
	}
	return ended.Job, ended.Err
}

// Submit implements plane.Store.
func (s *Store) Submit(ctx context.Context, now time.Time, batch []plane.NewJob) ([]plane.SubmitResult, error) {
	out, _, err := s.submit(ctx, now, batch)
	return out, err
}

// submit accepts a batch. A large one is several entries, one after the other, as its order is that of acceptance. The last one has
// more commands, whose results are returned as well.
func (s *Store) submit(ctx context.Context, now time.Time, batch []plane.NewJob, more ...machine.Command) ([]plane.SubmitResult, []any, error) {
	e, err := s.usable()
	if err != nil {
		return nil, nil, err
	}
	contents := make([]machine.Content, len(batch))
	err = each(ctx, len(batch), func(i int) bool { return len(batch[i].Payload.Data) > inline }, func(ctx context.Context, i int) (err error) {
		contents[i], err = s.put(ctx, e, batch[i].Payload)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	var out []plane.SubmitResult
	var results []any
	for len(out) < len(batch) {
		c, size := &machine.Submit{Now: now}, 0
		for i := len(out) + len(c.Batch); i < len(batch) && size < entryBytes; i = len(out) + len(c.Batch) {
			c.Batch = append(c.Batch, machine.NewJob{NewJob: batch[i], Content: contents[i]})
			size += sizeOf(&batch[i], &contents[i])
		}
		entry := []machine.Command{c}
		if len(out)+len(c.Batch) == len(batch) {
			entry = append(entry, more...)
		}
		if _, err := s.usable(); err != nil {
			return nil, nil, err
		}
		if results, err = s.do(ctx, entry...); err != nil {
			return nil, nil, err
		}
		out = append(out, results[0].([]plane.SubmitResult)...)
	}
	return out, results[1:], nil
}

// sizeOf a job in an entry, about.
func sizeOf(n *plane.NewJob, c *machine.Content) int {
	size := 256 + len(c.Data) + len(n.OrderingKey) + len(n.IdempotencyKey) + len(n.TraceParent)
	for k, v := range n.Metadata {
		size += len(k) + len(v) + 4
	}
	return size
}

// Get implements plane.Store.
func (s *Store) Get(ctx context.Context, id string) (jobs.Job, error) {
	if err := s.sync(ctx); err != nil {
		return jobs.Job{}, err
	}
	var job jobs.Job
	var result *machine.Content
	found := false
	s.replica.Read(func(st *machine.State) { job, result, found = st.Job(id) })
	if !found {
		return jobs.Job{}, plane.ErrNotFound
	}
	if result == nil {
		return job, nil
	}
	body, err := s.get(ctx, *result)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return s.withoutResult(ctx, id, job)
	}
	if err != nil {
		return jobs.Job{}, err
	}
	job.Result = machine.Inline(body).Result()
	return job, nil
}

// resultLost is the error of a job whose result the engine does not have any more.
const resultLost = "the job succeeded, but the engine has lost its result; submit the job anew if the result is needed"

// withoutResult is a job whose result is not there: it was removed a moment ago, with the job or for another, or it is lost.
func (s *Store) withoutResult(ctx context.Context, id string, before jobs.Job) (jobs.Job, error) {
	if err := s.sync(ctx); err != nil {
		return jobs.Job{}, err
	}
	var job jobs.Job
	found := false
	s.replica.Read(func(st *machine.State) { job, _, found = st.Job(id) })
	if !found {
		return jobs.Job{}, plane.ErrNotFound
	}
	if job.Revision == before.Revision {
		s.cfg.Log.Error("the engine does not have the result of a job", "job", id)
		job.Error = resultLost
	}
	return job, nil
}

// List implements plane.Store.
func (s *Store) List(ctx context.Context, f jobs.Filter, cursor string, limit int) (page jobs.Page, err error) {
	if err := s.sync(ctx); err != nil {
		return page, err
	}
	s.replica.Read(func(st *machine.State) { page, err = st.List(f, cursor, limit) })
	return page, err
}

// Cancel implements plane.Store.
func (s *Store) Cancel(ctx context.Context, now time.Time, id string) (jobs.Job, error) {
	return s.end(ctx, &machine.Cancel{Now: now, ID: id})
}

// Retry implements plane.Store.
func (s *Store) Retry(ctx context.Context, now time.Time, id string) (jobs.Job, error) {
	return s.end(ctx, &machine.Retry{Now: now, ID: id})
}

// Delete implements plane.Store.
func (s *Store) Delete(ctx context.Context, id string) error {
	_, err := s.end(ctx, &machine.Delete{ID: id})
	return err
}

// Redrive implements plane.Store.
func (s *Store) Redrive(ctx context.Context, now time.Time, r jobs.RedriveRequest) (int, error) {
	return change[int](ctx, s, machine.Redriving(now, r))
}

// Stats implements plane.Store.
func (s *Store) Stats(ctx context.Context, now time.Time) (stats jobs.Stats, err error) {
	if err := s.sync(ctx); err != nil {
		return stats, err
	}
	s.replica.Read(func(st *machine.State) { stats = st.Stats(now) })
	return stats, nil
}

// SetPaused implements plane.Store.
func (s *Store) SetPaused(ctx context.Context, paused bool) error {
	if err := s.sync(ctx); err != nil {
		return err
	}
	same := false
	s.replica.Read(func(st *machine.State) { same = st.Paused() == paused })
	if same {
		return nil
	}
	_, err := s.do(ctx, &machine.Pause{Paused: paused})
	return err
}

// Sweep implements plane.Store.
func (s *Store) Sweep(ctx context.Context, now time.Time) (swept plane.Swept, err error) {
	e, err := s.usable()
	if err != nil {
		return swept, err
	}
	var todo []machine.Command
	s.replica.Read(func(st *machine.State) { todo = st.Sweep(now, s.decide()) })
	if len(todo) > 0 {
		results, err := s.do(ctx, todo...)
		if err != nil {
			return swept, err
		}
		swept = machine.Account(todo, results)
	}
	if err := s.removeOrphans(ctx, e); err != nil {
		return swept, err
	}
	s.replica.Read(func(st *machine.State) { swept.Next = st.NextSweep(now) })
	return swept, nil
}

// Changes implements plane.Store.
func (s *Store) Changes(ctx context.Context) <-chan plane.Change { return s.replica.Changes(ctx) }

// Events implements plane.Store. Where there are none, nothing is written.
func (s *Store) Events(ctx context.Context, now time.Time, sink string, atMost int, ttl time.Duration) ([]plane.Event, error) {
	some := false
	if s.replica.Read(func(st *machine.State) { some = st.Deliverable(now, sink) }); !some {
		if err := s.sync(ctx); err != nil {
			return nil, err
		}
		if s.replica.Read(func(st *machine.State) { some = st.Deliverable(now, sink) }); !some {
			return nil, nil
		}
	}
	return change[[]plane.Event](ctx, s, &machine.Take{Now: now, Sink: sink, Max: atMost, TTL: ttl})
}

// Sent implements plane.Store.
func (s *Store) Sent(ctx context.Context, sink string, ids []string) error {
	if _, err := s.usable(); err != nil {
		return err
	}
	_, err := s.do(ctx, &machine.Sent{Sink: sink, IDs: ids})
	return err
}

// Waiting implements plane.Store.
func (s *Store) Waiting(ctx context.Context, sink string, _ int) (n int, err error) {
	if err := s.sync(ctx); err != nil {
		return 0, err
	}
	s.replica.Read(func(st *machine.State) { n = st.Letters(sink) })
	return n, nil
}

// Schedule implements plane.Store.
func (s *Store) Schedule(ctx context.Context, name string) (fired time.Time, job string, err error) {
	if err := s.sync(ctx); err != nil {
		return fired, "", err
	}
	s.replica.Read(func(st *machine.State) { fired, job = st.Schedule(name) })
	return fired, job, nil
}

// Fire implements plane.Store.
func (s *Store) Fire(ctx context.Context, now time.Time, name string, last, at time.Time, job *plane.NewJob) (bool, error) {
	e, err := s.usable()
	if err != nil {
		return false, err
	}
	c := &machine.Fire{Now: now, Name: name, Last: last, At: at}
	if job != nil {
		content, err := s.put(ctx, e, job.Payload)
		if err != nil {
			return false, err
		}
		c.Job = &machine.NewJob{NewJob: *job, Content: content}
	}
	f, err := change[machine.Fired](ctx, s, c)
	if err != nil {
		return false, err
	}
	return f.Done, f.Err
}
