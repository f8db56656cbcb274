package jobhistory

import (
	"cmp"
	"maps"
	"slices"
)

// alone checks the tokens of a job's runs, and that each had the job to itself. The runs are in the order of
// their starts.
func (m *model) alone(runs []Run) {
	for i, r := range runs {
		for _, later := range runs[i+1:] {
			switch {
			case later.Token == r.Token:
				m.fault(StaleToken, "%s ran twice with token %d, by %s and by %s", r.ID, r.Token, r.Worker, later.Worker)
			case later.Token < r.Token && !m.isFenced(later):
				m.fault(StaleToken, "%s ran with token %d by %s after it ran with token %d by %s", r.ID, later.Token, later.Worker, r.Token, r.Worker)
			case overlap(r, later) && !m.isFenced(r) && !m.isFenced(later):
				m.fault(Overlap, "%s ran by %s (token %d) while it ran by %s (token %d)", r.ID, r.Worker, r.Token, later.Worker, later.Token)
			}
		}
	}
}

func (m *model) isFenced(r Run) bool { return m.fenced[place{r.ID, r.Token}] }

// overlap is true when a run that began later did so before the other's end.
func overlap(r, later Run) bool { return r.End == 0 || later.Start < r.End }

// count checks that a job has no more runs than its failures and the disruptions that it was in flight at explain.
func (m *model) count(id string) {
	a, ok := m.accepted[id]
	if !ok {
		return
	}
	runs := m.runs[id]
	hit := 0
	for _, d := range m.h.Disruptions {
		for _, r := range runs {
			if m.inFlight(r, d) {
				hit++
			}
		}
	}
	failures := a.Failures
	if a.Doomed {
		failures = a.MaxAttempts - 1
	}
	again := max(0, len(runs)-1-failures)
	m.report.Again += again
	m.report.InFlight += hit
	if again > hit {
		m.fault(Excess, "%s (%s) ran %d times: %d failures were asked for, and disruptions hit %d of its runs", id, a.Key, len(runs), failures, hit)
	}
}

// inFlight is true for a run that a disruption may have cost its outcome.
func (m *model) inFlight(r Run, d Disruption) bool {
	return (d.Worker == "" || d.Worker == r.Worker) && r.Start <= d.To && (r.End == 0 || r.End+Place(m.h.Reach.Microseconds()) >= d.From)
}

// keys checks jobs that share an ordering key: one at a time, in the order of acceptance.
func (m *model) keys() {
	byKey := map[string][]Accepted{}
	for _, a := range m.h.Accepted {
		if a.OrderingKey != "" {
			byKey[a.OrderingKey] = append(byKey[a.OrderingKey], a)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		m.ordered(key, byKey[key])
		m.oneAtATime(key, byKey[key])
	}
}

// ordered finds runs of a job after the first run of one that was accepted later.
func (m *model) ordered(key string, list []Accepted) {
	for i, a := range list {
		for j, b := range list {
			first := m.runs[b.ID]
			if !before(a, b, i < j) || len(first) == 0 {
				continue
			}
			late := func(r Run) bool { return r.Start > first[0].Start && !m.isFenced(r) }
			if slices.ContainsFunc(m.runs[a.ID], late) {
				m.fault(KeyOrder, "%s: %s (%s) was accepted before %s (%s) and ran after it", key, a.ID, a.Key, b.ID, b.Key)
			}
		}
	}
}

// before is true when a was accepted before b for sure.
func before(a, b Accepted, stands bool) bool {
	return a.Submitter == b.Submitter && stands || a.Acknowledged.Before(b.Sent)
}

// oneAtATime finds runs of different jobs of a key that overlap.
func (m *model) oneAtATime(key string, list []Accepted) {
	var runs []Run
	for _, a := range list {
		for _, r := range m.runs[a.ID] {
			if !m.isFenced(r) {
				runs = append(runs, r)
			}
		}
	}
	slices.SortFunc(runs, func(a, b Run) int { return cmp.Compare(a.Start, b.Start) })
	for i := 1; i < len(runs); i++ {
		if r, later := runs[i-1], runs[i]; r.ID != later.ID && overlap(r, later) {
			m.fault(KeyOverlap, "%s: %s ran by %s while %s ran by %s", key, later.ID, later.Worker, r.ID, r.Worker)
		}
	}
}
