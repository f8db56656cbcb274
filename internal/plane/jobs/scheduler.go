package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

const (
	// scheduleLook is how often the clock is looked at: it may have jumped.
	scheduleLook = 10 * time.Second
	// scheduleRetry is the wait after a fault of the engine.
	scheduleRetry = time.Second
)

// schedules fires the schedules in time until ctx ends. All replicas do, and the store has one of them win.
func (q *Queue) schedules(ctx context.Context) {
	for ctx.Err() == nil {
		reloaded := q.reloaded.next()
		list := q.readSchedules()
		if len(list) == 0 {
			select {
			case <-reloaded:
			case <-ctx.Done():
			}
			continue
		}
		timer := q.clock.NewTimer(q.fireDue(ctx, list))
		select {
		case <-reloaded:
		case <-timer.C():
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// readSchedules are those that can be used and are not suspended.
func (q *Queue) readSchedules() (list []*schedule) {
	now := q.live.Load().cfg
	if now.Draining {
		return nil
	}
	for _, cfg := range now.Schedules {
		if cfg.Suspended {
			continue
		}
		s, err := newSchedule(cfg)
		if err != nil {
			q.log.Error("a schedule can not be used; it does not fire", "schedule", cfg.Name, "error", err)
			continue
		}
		list = append(list, s)
	}
	return list
}

// fireDue brings about what is due, and returns when to look again.
func (q *Queue) fireDue(ctx context.Context, list []*schedule) time.Duration {
	wait := scheduleLook
	for _, s := range list {
		next, err := q.fireOne(ctx, s)
		if err != nil {
			if ctx.Err() == nil {
				q.log.Warn("a schedule was not brought about; it is tried again", "schedule", s.cfg.Name, "error", err)
			}
			wait = min(wait, scheduleRetry)
			continue
		}
		if !next.IsZero() {
			wait = min(wait, max(time.Millisecond, next.Sub(q.now())))
		}
	}
	return wait
}

// fireOne brings about the times of one schedule, and returns its next one.
func (q *Queue) fireOne(ctx context.Context, s *schedule) (next time.Time, err error) {
	if !q.enter() {
		return time.Time{}, nil
	}
	defer q.leave()
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	last, before, err := q.store.Schedule(ctx, s.cfg.Name)
	if err != nil {
		return time.Time{}, err
	}
	now := q.now()
	times, upTo := s.due(last, now)
	for _, at := range times {
		won, id, err := q.fire(ctx, s, last, at, before)
		if err != nil || !won {
			return now.Add(time.Millisecond), err
		}
		last, before = at, id
	}
	if upTo.After(last) || last.Sub(now) > backwards {
		if _, err := q.store.Fire(ctx, now, s.cfg.Name, last, upTo, nil); err != nil {
			return time.Time{}, err
		}
		q.metrics.fired.WithLabelValues(s.cfg.Name, "skipped").Inc()
	}
	return s.next(now), nil
}

// fire brings about one time. It reports whether this replica did, and the job that the schedule made last.
func (q *Queue) fire(ctx context.Context, s *schedule, last, at time.Time, before string) (won bool, id string, err error) {
	job, err := q.scheduledJob(s, at)
	if err != nil {
		// It can never be accepted: the time passes, and the log says why.
		q.log.Error("the job of a schedule is not valid", "schedule", s.cfg.Name, "error", err)
		job = nil
	}
	running, err := q.running(ctx, before)
	if err != nil {
		return false, "", err
	}
	result := "submitted"
	if running && s.cfg.Concurrency == concurrencyForbid || job == nil {
		job, result = nil, "skipped"
	}
	if won, err = q.store.Fire(ctx, q.now(), s.cfg.Name, last, at, job); err != nil || !won {
		return won, "", err
	}
	q.metrics.fired.WithLabelValues(s.cfg.Name, result).Inc()
	if running && s.cfg.Concurrency == concurrencyReplace && job != nil {
		if _, err := q.store.Cancel(ctx, q.now(), before); err != nil && passing(err) {
			return true, job.ID, err
		}
	}
	if job == nil {
		return true, before, nil
	}
	return true, job.ID, nil
}

// running reports whether a job is not at its end.
func (q *Queue) running(ctx context.Context, id string) (bool, error) {
	if id == "" {
		return false, nil
	}
	job, err := q.store.Get(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil && !job.Status.Terminal(), err
}

// scheduledJob is the job of a schedule for a time, with the metadata schedule and scheduledAt beside its own.
func (q *Queue) scheduledJob(s *schedule, at time.Time) (*NewJob, error) {
	metadata := map[string]string{"schedule": s.cfg.Name, "scheduledAt": at.UTC().Format(time.RFC3339)}
	for key, value := range s.cfg.Metadata {
		metadata[key] = value
	}
	job, problem := q.live.Load().newJob("schedule", jobs.Submission{
		Type: s.cfg.Type, Payload: s.cfg.Payload, Priority: s.cfg.Priority, OrderingKey: s.cfg.OrderingKey, Metadata: metadata,
	}, q.now())
	if problem != nil {
		return nil, problem
	}
	job.ID = q.newID()
	return &job, nil
}
