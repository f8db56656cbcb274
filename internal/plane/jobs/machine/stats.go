package machine

import (
	"strconv"
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// What is counted by the second.
const (
	accepted = iota
	completed
	failed
	rateCount
)

// minute in seconds, for which rates are kept.
const minute = 60

// rates counts what happened in each of the last seconds.
type rates struct {
	counts [minute][rateCount]int64
	// seconds since 1970 that the counts are of.
	seconds [minute]int64
}

func (r *rates) note(now int64, what int, n int64) {
	second := now / int64(time.Second)
	i := ((second % minute) + minute) % minute
	if r.seconds[i] != second {
		if r.seconds[i] > second {
			return // a clock that is a minute behind
		}
		r.seconds[i], r.counts[i] = second, [rateCount]int64{}
	}
	r.counts[i][what] += n
}

func (r *rates) perSecond(now int64, what int) float64 {
	var sum int64
	second := now / int64(time.Second)
	for i, of := range r.seconds {
		if of > second-minute && r.counts[i][what] > 0 {
			sum += r.counts[i][what]
		}
	}
	return float64(sum) / minute
}

// Stats counts.
func (s *State) Stats(at time.Time) jobs.Stats {
	now := nanos(at)
	due := func(j *job) bool { return j.dueAt() <= now }
	out := jobs.Stats{
		Backlog:            s.waiting - int64(s.delayed.len()) + s.delayed.countUntil(0, due) + s.depth[running],
		Startable:          s.depth[running] + s.startable(now),
		Depth:              map[jobs.Status]int64{},
		ByPriority:         map[string]int64{},
		AcceptedPerSecond:  s.rates.perSecond(now, accepted),
		CompletedPerSecond: s.rates.perSecond(now, completed),
		FailedPerSecond:    s.rates.perSecond(now, failed),
		Paused:             s.paused,
	}
	for i, n := range s.depth {
		out.Depth[statuses[i]] = n
	}
	oldest := now
	for _, p := range []*pile{s.delayed, s.blocked} {
		if j := p.top(); j != nil {
			oldest = min(oldest, j.dueAt())
		}
	}
	for _, k := range s.classes {
		if _, named := s.settings.Weights[k.name]; named || k.waiting > 0 {
			out.ByPriority[k.name] = k.waiting
		}
		if j := k.ready.top(); j != nil {
			oldest = min(oldest, j.dueAt())
		}
	}
	out.OldestAgeSeconds = time.Duration(now - oldest).Seconds()
	return out
}

// startable is how many jobs could be started by now, or soon where it is the rate that they wait for.
func (s *State) startable(now int64) int64 {
	var n int64
	for _, k := range s.classes {
		n += min(int64(k.ready.len()), plane.StartableCounted)
	}
	if every := int64(s.settings.Interval); every > 0 {
		room := now + int64(plane.StartableWithin) + s.burst() - max(s.freeAt(now), now)
		n = min(n, max(0, (room+every)/every))
	}
	return n
}

// List returns jobs that match, the newest first, and where to go on.
func (s *State) List(f jobs.Filter, cursor string, limit int) (jobs.Page, error) {
	page := jobs.Page{Jobs: []jobs.Job{}}
	at := len(s.order.jobs)
	if cursor != "" {
		seq, err := strconv.ParseUint(cursor, 36, 64)
		if err != nil {
			return page, plane.ErrCursor
		}
		at = s.order.from(seq)
	}
	for at--; at >= 0; at-- {
		j := s.order.jobs[at]
		if j == nil || !j.matches(f) {
			continue
		}
		if len(page.Jobs) == limit {
			page.Cursor = strconv.FormatUint(s.order.seqs[at]+1, 36)
			break
		}
		page.Jobs = append(page.Jobs, j.summary())
	}
	return page, nil
}
