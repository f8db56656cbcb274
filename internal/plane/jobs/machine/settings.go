package machine

import (
	"maps"
	"slices"
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
)

// Settings are what the machine has to know of a store's settings. They are part of the state, as what a
// command does must not depend on who applies it.
type Settings struct {
	LeaseTTL time.Duration
	Weights  map[string]int
	Ordered  bool
	// Interval between two starts where their rate is bounded, 0 for no bound, and Burst at once.
	Interval time.Duration
	Burst    int
	Waiting  int64

	DeadRetention, ResultTTL time.Duration
	Sinks                    map[string][]string
}

// SettingsOf are the machine's part of a store's settings.
func SettingsOf(s plane.Settings) Settings {
	out := Settings{
		LeaseTTL: s.LeaseTTL, Weights: maps.Clone(s.Weights), Ordered: s.Ordered, Burst: max(s.Burst, 1), Waiting: s.Waiting,
		DeadRetention: s.DeadRetention, ResultTTL: s.ResultTTL, Sinks: maps.Clone(s.Sinks),
	}
	if s.Rate > 0 {
		out.Interval = max(time.Duration(float64(time.Second)/s.Rate), 1)
	}
	return out
}

// Equal reports whether both have the machine do the same.
func (s Settings) Equal(o Settings) bool {
	return s.LeaseTTL == o.LeaseTTL && maps.Equal(s.Weights, o.Weights) && s.Ordered == o.Ordered && s.Interval == o.Interval &&
		s.Burst == o.Burst && s.Waiting == o.Waiting && s.DeadRetention == o.DeadRetention && s.ResultTTL == o.ResultTTL &&
		maps.EqualFunc(s.Sinks, o.Sinks, sameTypes)
}

// sameTypes tells no types, which are all, from none.
func sameTypes(a, b []string) bool { return slices.Equal(a, b) && (a == nil) == (b == nil) }

// Settings that count now.
func (s *State) Settings() Settings { return s.settings }

func (s *State) configure(c Configure) {
	ordered := s.settings.Ordered
	s.settings = c.Settings
	for name, weight := range c.Settings.Weights {
		s.classOf(name).weigh(weight)
	}
	for _, k := range s.classes {
		if _, named := c.Settings.Weights[k.name]; !named {
			k.weigh(1)
		}
	}
	s.outbox.keep(c.Settings.Sinks)
	if ordered != c.Settings.Ordered {
		s.rearrange()
	}
	s.wake()
}
