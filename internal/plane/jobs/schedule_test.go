package jobs

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	out, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func scheduleOf(t *testing.T, cfg planeconfig.JobSchedule) *schedule {
	t.Helper()
	s, err := newSchedule(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestDaylightSaving has clocks go forward on 29 March 2026 at 2:00, and back on 25 October at 3:00, in Berlin.
func TestDaylightSaving(t *testing.T) {
	for name, c := range map[string]struct {
		cron, from string
		want       []string
	}{
		"an hour that does not exist is left out": {"30 2 * * *", "2026-03-28T00:00:00+01:00", []string{"2026-03-28T02:30:00+01:00", "2026-03-30T02:30:00+02:00"}},
		"the hours beside it are not":             {"30 1,3 * * *", "2026-03-29T00:00:00+01:00", []string{"2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00"}},
		"an hour that exists twice counts once":   {"30 2 * * *", "2026-10-25T00:00:00+02:00", []string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		"every hour is every hour": {"30 * * * *", "2026-10-25T01:00:00+02:00", []string{
			"2026-10-25T01:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:30:00+01:00"}},
		"every hour of the short night": {"0 * * * *", "2026-03-29T00:30:00+01:00", []string{"2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00"}},
	} {
		s := scheduleOf(t, planeconfig.JobSchedule{Name: "s", Cron: c.cron, TimeZone: "Europe/Berlin"})
		var got []time.Time
		for next := at(t, c.from); len(got) < len(c.want); {
			next = s.next(next)
			got = append(got, next.UTC())
		}
		var want []time.Time
		for _, text := range c.want {
			want = append(want, at(t, text).UTC())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestDue(t *testing.T) {
	const day = "2026-03-01T"
	for name, c := range map[string]struct {
		missed    string
		within    time.Duration
		last, now string
		want      []string
		upTo      string
	}{
		"the first sight":            {missedRunAll, time.Hour, "", "12:00:30", nil, "12:00:30"},
		"nothing yet":                {missedRunAll, time.Hour, "12:00:00", "12:09:59", nil, ""},
		"in time":                    {missedSkip, time.Hour, "12:00:00", "12:10:00", []string{"12:10:00"}, "12:10:00"},
		"a little late":              {missedSkip, time.Hour, "12:00:00", "12:10:50", []string{"12:10:00"}, "12:10:00"},
		"missed, and skipped":        {missedSkip, time.Hour, "12:00:00", "12:45:00", nil, "12:40:00"},
		"missed, and in time":        {missedSkip, time.Hour, "12:00:00", "12:40:30", []string{"12:40:00"}, "12:40:00"},
		"missed, and run once":       {missedRunOnce, time.Hour, "12:00:00", "12:45:00", []string{"12:40:00"}, "12:40:00"},
		"missed, and all run":        {missedRunAll, time.Hour, "12:00:00", "12:35:00", []string{"12:10:00", "12:20:00", "12:30:00"}, "12:30:00"},
		"missed too long ago":        {missedRunAll, 16 * time.Minute, "12:00:00", "12:35:00", []string{"12:20:00", "12:30:00"}, "12:30:00"},
		"the clock went back":        {missedRunAll, time.Hour, "12:30:00", "12:05:00", nil, ""},
		"the clock went back by far": {missedRunAll, time.Hour, "18:00:00", "12:05:00", nil, "12:05:00"},
		"the clock jumped by far":    {missedRunOnce, time.Hour, "01:00:00", "23:05:00", []string{"23:00:00"}, "23:00:00"},
	} {
		s := scheduleOf(t, planeconfig.JobSchedule{Name: "s", Cron: "*/10 * * * *", Missed: c.missed, MissedWithin: planeconfig.Duration(c.within)})
		clock := func(text string) (out time.Time) {
			if text != "" {
				out = at(t, day+text+"Z")
			}
			return out
		}
		times, upTo := s.due(clock(c.last), clock(c.now))
		var got []string
		for _, x := range times {
			got = append(got, x.Format(time.TimeOnly))
		}
		if diff := cmp.Diff(c.want, got); diff != "" || !upTo.Equal(clock(c.upTo)) {
			t.Errorf("%s: up to %s (-want +got):\n%s", name, upTo, diff)
		}
	}
}

func TestSchedulesThatAreNone(t *testing.T) {
	for _, cfg := range []planeconfig.JobSchedule{
		{Cron: "* * *"}, {Cron: "61 * * * *"}, {Cron: "TZ=Europe/Berlin * * * * *"}, {Cron: "* * * * *", TimeZone: "Mars/Base"}, {Cron: ""},
	} {
		if _, err := newSchedule(cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}
