package machine

import (
	"slices"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

func (s *State) cancel(c Cancel) Ended {
	j := s.jobs[c.ID]
	switch {
	case j == nil:
		return Ended{Err: plane.ErrNotFound}
	case j.status.terminal():
		return Ended{Err: plane.ErrState}
	case j.status == running && j.cancelRequested:
		return Ended{Job: s.show(j), Again: true}
	case j.status == running:
		j.cancelRequested = true
	default:
		s.finish(j, nanos(c.Now), cancelled)
	}
	s.changed(j, false)
	return Ended{Job: s.show(j)}
}

func (s *State) retry(c Retry) Ended {
	j := s.jobs[c.ID]
	switch {
	case j == nil:
		return Ended{Err: plane.ErrNotFound}
	case j.status.waiting():
		j.runAt, j.due = nanos(c.Now), true
		s.leave(j)
		s.move(j, queued)
	case j.status == dead || j.status == cancelled:
		s.renew(j, nanos(c.Now), nanos(c.Now))
	default:
		return Ended{Err: plane.ErrState}
	}
	s.changed(j, s.leasable(j))
	return Ended{Job: s.show(j)}
}

// renew starts a job that was at its end anew.
func (s *State) renew(j *job, now, at int64) {
	s.leave(j) // before that by which its pile is ordered changes
	j.attempt, j.finished, j.runAt, j.cancelRequested = 0, 0, at, false
	to := queued
	if j.due = at <= now; !j.due {
		to = scheduled
	}
	s.move(j, to)
}

func (s *State) delete(c Delete) Ended {
	j := s.jobs[c.ID]
	switch {
	case j == nil:
		return Ended{Err: plane.ErrNotFound}
	case j.status == running:
		return Ended{Err: plane.ErrState}
	}
	s.forget(j)
	return Ended{}
}

func (s *State) redrive(c Redrive) int {
	var matching []*job
	for _, j := range s.dead.jobs {
		if j.status == dead && j.matches(c.Filter) {
			matching = append(matching, j)
		}
	}
	slices.SortFunc(matching, func(a, b *job) int {
		if bySeq(a, b) {
			return -1
		}
		return 1
	})
	if c.Max > 0 && len(matching) > c.Max {
		matching = matching[:c.Max]
	}
	now := nanos(c.Now)
	for i, j := range matching {
		s.renew(j, now, now+int64(c.Interval)*int64(i))
		s.changed(j, s.leasable(j))
	}
	return len(matching)
}

// matches a filter; what its status says is left to the caller where it asks for dead jobs.
func (j *job) matches(f jobs.Filter) bool {
	if f.Status != "" && f.Status != statuses[j.status] || f.Type != "" && f.Type != j.kind {
		return false
	}
	for k, v := range f.Metadata {
		if got, ok := j.metadata[k]; !ok || got != v {
			return false
		}
	}
	return true
}

func (s *State) pause(c Pause) {
	if s.paused = c.Paused; !s.paused {
		s.wake()
	}
}

// Paused reports whether jobs are held back.
func (s *State) Paused() bool { return s.paused }

func (s *State) fire(c Fire) Fired {
	known := s.schedules[c.Name]
	if known.fired != nanos(c.Last) {
		if c.Job != nil && known.job != c.Job.ID {
			s.drop(c.Job.Content)
		}
		return Fired{}
	}
	next := schedule{fired: nanos(c.At), job: known.job}
	if c.Job != nil {
		made := s.accept(c.Now, c.Job)
		if made.Err != nil {
			return Fired{Err: made.Err}
		}
		next.job = made.ID
	}
	s.schedules[c.Name] = next
	return Fired{Done: true}
}
