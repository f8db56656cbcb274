package overload

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

var threeClasses = planeconfig.ShardOverload{Classes: []string{"gold", "silver", "bronze"}, DefaultClass: "bronze"}

// load of three classes that is times what so many workers do: the most important are a fifth of it.
func load(workers int, takes time.Duration, times float64) []float64 {
	capacity := float64(workers) / takes.Seconds() * times
	return []float64{.2 * capacity, .3 * capacity, .5 * capacity}
}

// reached is the goodput as a share of what so many workers can do.
func reached(tallies []tally, workers int, takes, long time.Duration) float64 {
	good := 0
	for _, t := range tallies {
		good += t.Good
	}
	return float64(good) / (float64(workers) / takes.Seconds() * long.Seconds())
}

func TestLimitIsFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		workers int
		takes   time.Duration
		spread  bool
	}{
		{"one worker", 1, 20 * time.Millisecond, false},
		{"four", 4, 40 * time.Millisecond, false},
		{"eight", 8, 50 * time.Millisecond, false},
		{"eight, times that differ", 8, 50 * time.Millisecond, true},
		{"eight slow ones", 8, 250 * time.Millisecond, false},
		{"thirty", 30, 200 * time.Millisecond, false},
		{"thirty, times that differ", 30, 200 * time.Millisecond, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				takes := always(c.takes)
				if c.spread {
					takes = about(c.takes, 1)
				}
				o := &offers{
					a: New(Options{Config: threeClasses, Partitions: 16}), member: "orders-0", to: newModel(c.workers, takes),
					perSec: load(c.workers, c.takes, 3), patience: 2 * time.Second,
				}
				// It knows nothing at first.
				o.run(t, 12*time.Second)
				const long = 5 * time.Second
				got := o.run(t, long)
				if share := reached(got, c.workers, c.takes, long); share < .85 {
					t.Errorf("%.2f of what the member can do was done: %+v", share, got)
				}
				if got[0].good() < .99 || got[2].good() > got[1].good() || got[1].good() > got[0].good() {
					t.Errorf("by class, from the most important: %+v", got)
				}
				if limit := o.a.Stats()[0].Limit; limit > max(8, 4*c.workers) {
					t.Errorf("limit %d for %d at once", limit, c.workers)
				}
			})
		})
	}
}

// What changes is the member; what is offered stays.
func TestLimitFollows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &offers{a: New(Options{Config: threeClasses, Partitions: 16}), member: "orders-0", patience: 4 * time.Second}
		for _, now := range []struct {
			what    string
			workers int
			takes   time.Duration
			times   float64
		}{
			{"at first", 20, 200 * time.Millisecond, 3},
			{"a quarter of it", 5, 200 * time.Millisecond, 12},
			{"all of it again", 20, 200 * time.Millisecond, 3},
			{"each takes five times as long, with as many at once", 20, time.Second, 3},
			{"quick again", 20, 200 * time.Millisecond, 3},
			{"hardly any load", 20, 200 * time.Millisecond, .2},
			{"all at once again", 20, 200 * time.Millisecond, 3},
		} {
			o.to, o.perSec = newModel(now.workers, always(now.takes)), load(now.workers, now.takes, now.times)
			o.run(t, 10*time.Second)
			const long = 5 * time.Second
			got := o.run(t, long)
			if share, want := reached(got, now.workers, now.takes, long), .85*min(now.times, 1); share < want {
				t.Errorf("%s: %.2f of what the member can do was done, not %.2f; limit %d, %+v", now.what, share, want, o.a.Stats()[0].Limit, got)
			}
		}
	})
}

// A member that refuses by itself answers at once: that is no sign of speed.
func TestLimitOfMemberThatRefuses(t *testing.T) {
	t.Parallel()
	a := newAdaptive(settingsOf(threeClasses))
	now := time.Now()
	for range 10 {
		for range 40 {
			a.moves(now, 20)
			now = now.Add(5 * time.Millisecond)
			a.ended(now, now, Overloaded)
		}
	}
	if a.room() != 4 {
		t.Errorf("limit %d of a member that takes nothing, not the least", a.room())
	}
}

// Who went away is no sign of speed either, unless it was for waiting.
func TestLimitOfThoseWhoLeave(t *testing.T) {
	t.Parallel()
	a := newAdaptive(settingsOf(threeClasses))
	now := time.Now()
	window := func(takes time.Duration, outcome Outcome) {
		for range 200 {
			a.crowds()
			a.moves(now, a.room())
			now = now.Add(5 * time.Millisecond)
			a.ended(now.Add(-takes), now, outcome)
		}
	}
	window(50*time.Millisecond, Success)
	known := *a
	window(time.Millisecond, Ignored)
	if a.lately != known.lately || a.limit != known.limit {
		t.Errorf("those who left at once changed what is known: %+v, before %+v", a, known)
	}
	window(500*time.Millisecond, Ignored)
	if a.lately <= known.lately || a.limit >= known.limit {
		t.Errorf("requests that all were given up after half a second are said to take %.3f s, and the limit is %.1f", a.lately, a.limit)
	}
}
