package jobs

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// live is what of the configuration changes while the plane runs, ready for use.
type live struct {
	cfg      planeconfig.Jobs
	settings Settings
	// priority is the default one.
	priority string
}

func newLive(cfg planeconfig.Jobs) (*live, error) {
	l := &live{cfg: cfg}
	weights := map[string]int{}
	for _, p := range cfg.Priorities {
		if p.Name == "" || p.Weight < 1 {
			return nil, fmt.Errorf("jobs.priorities: %q needs a name and a weight of 1 or more", p.Name)
		}
		weights[p.Name] = p.Weight
		if p.Default || l.priority == "" {
			l.priority = p.Name
		}
	}
	if i := slices.IndexFunc(cfg.Priorities, func(p planeconfig.JobPriority) bool { return p.Default }); i >= 0 {
		l.priority = cfg.Priorities[i].Name
	}
	if l.priority == "" {
		l.priority = "normal"
		weights[l.priority] = 1
	}
	l.settings = Settings{
		LeaseTTL: time.Duration(cfg.LeaseTTL), Weights: weights, Ordered: cfg.Ordered, Waiting: cfg.Limits.Waiting,
		DeadRetention: time.Duration(cfg.DeadRetention), ResultTTL: time.Duration(cfg.ResultTTL),
		Sinks: map[string][]string{}, Decide: newPolicy(cfg.Retry).Decide,
	}
	if cfg.Rate != nil {
		l.settings.Rate, l.settings.Burst = cfg.Rate.PerSecond, max(1, cfg.Rate.Burst)
	}
	for _, s := range cfg.Sinks {
		l.settings.Sinks[s.Name] = s.Types
	}
	return l, l.check()
}

// check reports every setting that a queue could not work with.
func (l *live) check() error {
	for _, c := range []struct {
		ok   bool
		name string
	}{
		{l.cfg.LeaseTTL > 0, "leaseTTL"}, {l.cfg.Timeout > 0, "timeout"}, {l.cfg.Retry.MaxAttempts > 0, "retry.maxAttempts"},
		{l.cfg.Limits.PayloadBytes > 0, "limits.payloadBytes"}, {l.cfg.Limits.ResultBytes > 0, "limits.resultBytes"}, {l.cfg.Limits.Waiting > 0, "limits.waiting"},
		{l.cfg.DeadRetention > 0, "deadRetention"}, {l.cfg.ResultTTL > 0, "resultTTL"},
	} {
		if !c.ok {
			return fmt.Errorf("jobs.%s must be above 0", c.name)
		}
	}
	return nil
}

// priorities names those that there are, for a person.
func (l *live) priorities() string {
	names := make([]string, 0, len(l.settings.Weights))
	for name := range l.settings.Weights {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// heartbeatEvery is how often a worker is to send one.
func (l *live) heartbeatEvery() time.Duration { return l.settings.LeaseTTL / 3 }
