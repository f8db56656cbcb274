package jobs

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // an image may have no time zones

	"github.com/robfig/cron/v3"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// What a schedule does about times that were missed, and about its job before.
const (
	missedSkip    = "Skip"
	missedRunOnce = "RunOnce"
	missedRunAll  = "RunAll"

	concurrencyForbid  = "Forbid"
	concurrencyReplace = "Replace"
)

const (
	// onTime is how late a time may be brought about without being a missed one: a replica takes over, an engine restarts.
	onTime = time.Minute
	// backwards is how far the clock may go back with the schedule waiting until it is there again. What is more has been
	// a wrong clock that was mended: the schedule goes on from now.
	backwards = time.Hour
	// atMostMissed bounds the missed times that are made up for in one go.
	atMostMissed = 1000
)

// schedule is one that is ready for use.
type schedule struct {
	cfg  planeconfig.JobSchedule
	cron cron.Schedule
}

// newSchedule reads a schedule's times. In the night when clocks go forward, a time that does not exist is left out; when
// they go back, a time that exists twice counts once, the first time, unless the hour is a * and so each hour counts.
func newSchedule(cfg planeconfig.JobSchedule) (*schedule, error) {
	zone, err := time.LoadLocation(cfg.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("schedule %s: the time zone %q is not known", cfg.Name, cfg.TimeZone)
	}
	if strings.Contains(cfg.Cron, "TZ=") {
		return nil, fmt.Errorf("schedule %s: say the time zone in timeZone, not in cron", cfg.Name)
	}
	parsed, err := cron.ParseStandard(cfg.Cron)
	if err != nil {
		return nil, fmt.Errorf("schedule %s: cron %q: %w", cfg.Name, cfg.Cron, err)
	}
	if spec, ok := parsed.(*cron.SpecSchedule); ok {
		spec.Location = zone
	}
	return &schedule{cfg: cfg, cron: parsed}, nil
}

// next is the first time after t; zero where there is none.
func (s *schedule) next(t time.Time) time.Time {
	next := s.cron.Next(t)
	for spec, ok := s.cron.(*cron.SpecSchedule); ok && !next.IsZero() && s.repeats(spec, next); {
		next = s.cron.Next(next)
	}
	return next
}

// everyHour are the bits of an hour field that is a star.
const everyHour = 1<<24 - 1

// repeats reports whether a time is the second one of its name, in the night when clocks go back, of a schedule that
// names its hours.
func (s *schedule) repeats(spec *cron.SpecSchedule, t time.Time) bool {
	if spec.Hour&everyHour == everyHour {
		return false
	}
	local := t.In(spec.Location)
	_, offset := local.Zone()
	for _, back := range []time.Duration{30 * time.Minute, time.Hour, 2 * time.Hour} {
		before := local.Add(-back)
		if _, was := before.Zone(); was-offset == int(back/time.Second) {
			return true
		}
	}
	return false
}

// due are the times to bring about at now, given when the schedule last fired, and the time up to which it is then
// done; upTo is zero where nothing is to be done.
func (s *schedule) due(last, now time.Time) (times []time.Time, upTo time.Time) {
	if last.IsZero() || last.Sub(now) > backwards {
		// It begins now: what was before it was there is not missed.
		return nil, now
	}
	within := max(time.Duration(s.cfg.MissedWithin), onTime)
	from := last
	if earliest := now.Add(-within); from.Before(earliest) {
		from = earliest
	}
	for t := s.next(from); !t.IsZero() && !t.After(now); t = s.next(t) {
		times, upTo = append(times, t), t
		if len(times) > atMostMissed {
			times = times[1:]
		}
	}
	switch s.cfg.Missed {
	case missedRunAll:
	case missedRunOnce:
		times = times[max(0, len(times)-1):]
	default:
		if len(times) > 0 {
			times = times[len(times)-1:]
			if now.Sub(times[0]) > onTime {
				times = nil
			}
		}
	}
	return times, upTo
}
