package machine

import (
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

func (s *State) complete(c Complete) Ended {
	j, err := s.claimed(c.Claim)
	if err != nil {
		s.dropUnless(j, c.Result)
		return s.again(j, c.Claim, err, func(o jobs.Outcome) bool { return o == jobs.OutcomeSucceeded })
	}
	now := nanos(c.Now)
	j.end(now, jobs.OutcomeSucceeded, "", false)
	j.failure = ""
	j.result = &c.Result
	s.finish(j, now, succeeded)
	s.rates.note(now, completed, 1)
	s.changed(j, false)
	s.emit(j, now, jobs.EventSucceeded)
	return Ended{Job: s.show(j)}
}

// dropUnless drops a result that was not taken, but not the one that the same command had taken before.
func (s *State) dropUnless(j *job, c Content) {
	if j == nil || j.result == nil || j.result.Ref != c.Ref {
		s.drop(c)
	}
}

// again answers a command that comes once more with what it came to, and a fenced one with the error.
func (s *State) again(j *job, c plane.Claim, err error, same func(jobs.Outcome) bool) Ended {
	if j != nil {
		if outcome, ended := j.ended(c.Token); ended && same(outcome) {
			return Ended{Job: s.show(j), Again: true}
		}
	}
	return Ended{Err: err}
}

func (s *State) finish(j *job, now int64, to status) {
	j.finished, j.runAt = now, 0
	s.move(j, to)
}

func (s *State) fail(c Fail) Ended {
	j, err := s.claimed(c.Claim)
	if err != nil {
		return s.again(j, c.Claim, err, func(o jobs.Outcome) bool {
			return o != jobs.OutcomeSucceeded && o != jobs.OutcomeReleased && !c.Swept
		})
	}
	now := nanos(c.Now)
	if c.Swept && now < min(j.expires, j.deadline) {
		return Ended{Err: plane.ErrState}
	}
	verdict, outcome := c.Verdict, c.Outcome
	if j.cancelRequested {
		verdict = c.IfCancelled
		if verdict.Status == jobs.StatusCancelled {
			outcome = jobs.OutcomeCancelled
		}
	}
	j.end(now, outcome, c.Error, c.Swept)
	j.failure = c.Error
	s.judge(j, now, verdict)
	return Ended{Job: s.show(j)}
}

// judge has a verdict come true.
func (s *State) judge(j *job, now int64, v plane.Verdict) {
	switch v.Status {
	case jobs.StatusRetrying:
		j.runAt = nanos(v.RetryAt)
		j.due = j.runAt <= now
		s.move(j, retrying)
	case jobs.StatusCancelled:
		s.finish(j, now, cancelled)
	default:
		s.finish(j, now, dead)
	}
	s.changed(j, s.leasable(j))
	if j.status == cancelled {
		return
	}
	s.rates.note(now, failed, 1)
	s.emit(j, now, jobs.EventFailed)
	if j.status == dead {
		s.emit(j, now, jobs.EventDead)
	}
}

func (s *State) release(c Release) Ended {
	j, err := s.claimed(c.Claim)
	if err != nil {
		return s.again(j, c.Claim, err, func(o jobs.Outcome) bool { return o == jobs.OutcomeReleased })
	}
	now := nanos(c.Now)
	j.end(now, jobs.OutcomeReleased, "", false)
	j.attempt--
	if j.cancelRequested {
		s.finish(j, now, cancelled)
	} else {
		j.due = true
		s.move(j, queued)
	}
	s.changed(j, s.leasable(j))
	return Ended{Job: s.show(j)}
}

func (s *State) purge(c Purge) int {
	purged := 0
	for purged < c.Max {
		j := s.past(c.Now)
		if j == nil {
			break
		}
		s.forget(j)
		purged++
	}
	return purged
}

// past is a job past its keeping.
func (s *State) past(now time.Time) *job {
	if j := s.done.top(); j != nil && j.finished+int64(s.settings.ResultTTL) <= nanos(now) {
		return j
	}
	if j := s.dead.top(); j != nil && j.finished+int64(s.settings.DeadRetention) <= nanos(now) {
		return j
	}
	return nil
}
