package machine

import (
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

func (s *State) lease(c Lease) []Leased {
	now := nanos(c.Now)
	s.promote(now)
	if s.paused {
		return nil
	}
	var out []Leased
	for len(out) < c.Max && s.mayStart(now) {
		j := s.pick(c.Types)
		if j == nil {
			break
		}
		s.start(j, now, c.Worker)
		out = append(out, s.leased(j))
	}
	return out
}

// mayStart asks the bucket of the rate: a generic cell rate algorithm in whole nanoseconds, as floats could
// differ between machines.
func (s *State) mayStart(now int64) bool {
	return s.settings.Interval == 0 || s.freeAt(now)-now <= s.burst()
}

// burst is how far ahead the bucket may be for one more start.
func (s *State) burst() int64 { return int64(s.settings.Interval) * int64(s.settings.Burst-1) }

// freeAt is when the bucket has room, less the burst. Where a clock wrote it that was ahead, one may start.
func (s *State) freeAt(now int64) int64 {
	if most := now + s.burst(); s.free > most+int64(s.settings.Interval)+int64(plane.ClocksDiffer) {
		return most
	}
	return s.free
}

func (s *State) start(j *job, now int64, worker string) {
	if s.settings.Interval > 0 {
		s.free = max(s.freeAt(now), now) + int64(s.settings.Interval)
	}
	j.begin(now, worker)
	j.runAt = 0
	j.expires, j.deadline = now+int64(s.settings.LeaseTTL), now+j.timeout
	s.move(j, running)
	s.changed(j, false)
	s.emit(j, now, jobs.EventStarted)
}

func (s *State) leased(j *job) Leased {
	return Leased{
		Content: j.payload,
		Leased: plane.Leased{
			Job: s.show(j), Token: j.token, Expires: instant(j.expires), Deadline: instant(j.deadline), TraceParent: j.traceParent,
		},
	}
}

// claimed is the job whose attempt the claim stands for.
func (s *State) claimed(c plane.Claim) (*job, error) {
	j := s.jobs[c.ID]
	switch {
	case j == nil:
		return nil, plane.ErrNotFound
	case j.status != running || j.token != c.Token:
		return j, plane.ErrFenced
	}
	return j, nil
}

// Holds reports whether the claim's attempt is under way.
func (s *State) Holds(c plane.Claim) bool {
	_, err := s.claimed(c)
	return err == nil
}

func (s *State) extend(c Extend) Extended {
	j, err := s.claimed(c.Claim)
	if err != nil {
		return Extended{Err: err}
	}
	now := nanos(c.Now)
	// One that is to stop gets no more time: its worker may not listen.
	if expires := now + int64(s.settings.LeaseTTL); expires > j.expires && !j.cancelRequested {
		j.expires = expires
		s.running.fix(j)
	}
	if c.Progress != nil {
		p := *c.Progress
		p.At = instant(nanos(p.At))
		j.progress = &p
		s.changed(j, false)
		s.emit(j, now, jobs.EventProgress)
	}
	return Extended{Expires: instant(j.expires), Cancelled: j.cancelRequested}
}

// Ready reports whether a lease at this time would hand a job out.
func (s *State) Ready(now time.Time, types []string) bool {
	n := nanos(now)
	if s.paused || !s.mayStart(n) {
		return false
	}
	if j := s.delayed.top(); j != nil && j.dueAt() <= n {
		return true // it may be of another type, or wait for one of its key: a lease will tell
	}
	for _, k := range s.classes {
		if k.next(types) != nil {
			return true
		}
	}
	return false
}

// NextDue is when a job may be leased that can not be yet, by time alone; zero for never.
func (s *State) NextDue(now time.Time) time.Time {
	if s.paused {
		return time.Time{}
	}
	n, next := nanos(now), int64(0)
	if j := s.delayed.top(); j != nil {
		next = j.dueAt()
	}
	if !s.mayStart(n) && s.anyReady() {
		allowed := s.free - s.burst()
		if next == 0 || allowed < next {
			next = allowed
		}
	}
	return instant(next)
}

func (s *State) anyReady() bool {
	for _, k := range s.classes {
		if k.ready.len() > 0 {
			return true
		}
	}
	return false
}
