package machine

import (
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// sweepAtMost bounds the piece of work of one sweep.
const sweepAtMost = 256

// Decide says what becomes of a job after a failed attempt.
type Decide func(job jobs.Job, f plane.Failure, now time.Time) plane.Verdict

// Sweep is what is to be done at a time: attempts that are over, and whether jobs are past their keeping.
func (s *State) Sweep(now time.Time, decide Decide) []Command {
	var out []Command
	s.over(0, nanos(now), func(j *job) bool {
		f := plane.Failure{Outcome: jobs.OutcomeLost, Reason: string(jobs.OutcomeLost), Error: "the worker was not heard of again"}
		if j.deadline <= nanos(now) && j.deadline <= j.expires {
			f = plane.Failure{Outcome: jobs.OutcomeTimeout, Reason: string(jobs.OutcomeTimeout),
				Error: "the attempt took longer than " + time.Duration(j.timeout).String()}
		}
		c := s.failing(j, now, f, decide)
		c.Swept = true
		out = append(out, &c)
		return len(out) < sweepAtMost
	})
	if s.past(now) != nil {
		out = append(out, &Purge{Now: now, Max: sweepAtMost})
	}
	return out
}

// over calls yield with the running jobs whose attempt is over.
func (s *State) over(i int, now int64, yield func(*job) bool) bool {
	if i >= s.running.len() {
		return true
	}
	if j := s.running.jobs[i]; min(j.expires, j.deadline) > now || !yield(j) {
		return min(j.expires, j.deadline) > now
	}
	return s.over(2*i+1, now, yield) && s.over(2*i+2, now, yield)
}

// sweepAgain is the longest time between two sweeps: what becomes over first may be leased right after one.
const sweepAgain = time.Second

// NextSweep is when a sweep is to look again. That costs nothing, as it looks at what is in memory.
func (s *State) NextSweep(now time.Time) time.Time {
	next := nanos(now.Add(sweepAgain))
	if j := s.running.top(); j != nil {
		next = min(next, j.expires, j.deadline)
	}
	if j := s.done.top(); j != nil {
		next = min(next, j.finished+int64(s.settings.ResultTTL))
	}
	if j := s.dead.top(); j != nil {
		next = min(next, j.finished+int64(s.settings.DeadRetention))
	}
	return instant(next)
}

// Failing is the command for a failure: its verdicts are decided here, as a command has to do the same wherever it
// is applied. For a job that is not known any verdict does, as the command will come to nothing.
func (s *State) Failing(now time.Time, c plane.Claim, f plane.Failure, decide Decide) Fail {
	if j := s.jobs[c.ID]; j != nil {
		out := s.failing(j, now, f, decide)
		out.Claim.Token = c.Token
		return out
	}
	return Fail{Now: now, Claim: c, Outcome: f.Outcome, Error: f.Error}
}

func (s *State) failing(j *job, now time.Time, f plane.Failure, decide Decide) Fail {
	view := j.view()
	out := Fail{Now: now, Claim: plane.Claim{ID: j.id, Token: j.token}, Outcome: f.Outcome, Error: f.Error}
	view.CancelRequested = false
	out.Verdict = decide(view, f, now)
	view.CancelRequested = true
	out.IfCancelled = decide(view, f, now)
	return out
}

// Account is what the commands of a sweep did, by their results.
func Account(commands []Command, results []any) (swept plane.Swept) {
	for i, r := range results {
		ended, ok := r.(Ended)
		if !ok || ended.Err != nil {
			continue
		}
		if commands[i].(*Fail).Outcome == jobs.OutcomeTimeout {
			swept.TimedOut++
		} else {
			swept.Lost++
		}
		if ended.Job.Status == jobs.StatusDead {
			swept.Dead++
		}
	}
	return swept
}
