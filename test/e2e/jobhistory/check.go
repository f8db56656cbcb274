package jobhistory

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

// Check judges a history.
func Check(h History) Report {
	m := &model{
		h: h, accepted: map[string]Accepted{}, finals: map[string]Final{}, runs: map[string][]Run{},
		fenced: map[place]bool{}, report: Report{Ends: map[jobs.Status]int{}, Runs: len(h.Runs)},
	}
	m.submissions()
	m.index()
	for _, id := range slices.Sorted(maps.Keys(m.accepted)) {
		m.end(m.accepted[id])
	}
	m.events()
	m.sights()
	for _, id := range slices.Sorted(maps.Keys(m.runs)) {
		m.alone(m.runs[id])
		m.count(id)
	}
	m.keys()
	return m.report
}

// place is a run's: the lease that it had.
type place struct {
	id    string
	token int64
}

type model struct {
	h        History
	accepted map[string]Accepted
	finals   map[string]Final
	// runs by job, in the order of their starts.
	runs map[string][]Run
	// fenced are the runs whose lease the queue ended before they did.
	fenced map[place]bool
	report Report
}

func (m *model) fault(f Fault, format string, args ...any) {
	m.report.Violations = append(m.report.Violations, Violation{Fault: f, Detail: fmt.Sprintf(format, args...)})
}

// submissions checks that jobs and idempotency keys are one to one.
func (m *model) submissions() {
	ids := map[string]string{}
	for _, a := range m.h.Accepted {
		if before, ok := m.accepted[a.ID]; ok {
			m.fault(Doubled, "%s and %s were both acknowledged as %s", before.Key, a.Key, a.ID)
		}
		if before, ok := ids[a.Key]; ok {
			m.fault(Doubled, "%s was acknowledged as %s and as %s", a.Key, before, a.ID)
		}
		m.accepted[a.ID], ids[a.Key] = a, a.ID
	}
}

// index sorts runs to their jobs, and finds those that nobody sent.
func (m *model) index() {
	for _, f := range m.h.Finals {
		m.finals[f.ID] = f
	}
	unknown := map[string]string{}
	for _, key := range m.h.Unknown {
		unknown[key] = ""
	}
	for _, r := range m.h.Runs {
		a, known := m.accepted[r.ID]
		id, maybe := unknown[r.Key]
		switch {
		case known && a.Key != r.Key:
			m.fault(Doubled, "%s was acknowledged for %s and ran %s", r.ID, a.Key, r.Key)
		case !known && !maybe:
			m.fault(Invented, "%s (%s) ran and was never sent", r.ID, r.Key)
		case !known && id != "" && id != r.ID:
			m.fault(Doubled, "%s ran as %s and as %s", r.Key, id, r.ID)
		case !known:
			unknown[r.Key] = r.ID
		}
		m.runs[r.ID] = append(m.runs[r.ID], r)
	}
	for id, runs := range m.runs {
		slices.SortFunc(runs, func(a, b Run) int { return cmp.Compare(a.Start, b.Start) })
		m.fence(m.finals[id], runs)
	}
}

// fence finds the runs that the queue gave up on: those whose attempt it has on record with another outcome than
// a worker's own. Attempts are matched to runs by number and worker, the newest first, as the queue shows no tokens.
func (m *model) fence(f Final, runs []Run) {
	newest := slices.SortedFunc(slices.Values(runs), func(a, b Run) int { return cmp.Compare(b.Token, a.Token) })
	left := slices.Clone(f.Attempts)
	slices.Reverse(left)
	for _, r := range newest {
		at := slices.IndexFunc(left, func(a jobs.Attempt) bool { return a.Number == r.Attempt && a.Worker == r.Worker })
		if at < 0 {
			// What was handed back does not count, and of many attempts the queue keeps the last ones only.
			m.fenced[place{r.ID, r.Token}] = r.End == 0
			continue
		}
		outcome := left[at].Outcome
		left = left[at+1:]
		// A command that was killed, and its worker not yet, noted no end: the worker told of the failure after it.
		killed := outcome == jobs.OutcomeFailed && r.End == 0
		m.fenced[place{r.ID, r.Token}] = killed || outcome != jobs.OutcomeSucceeded && outcome != jobs.OutcomeFailed
	}
	for _, r := range runs {
		if m.fenced[place{r.ID, r.Token}] {
			m.report.Fenced++
		}
	}
}

// end checks that an acknowledged job came to the end that it was to come to.
func (m *model) end(a Accepted) {
	f, ok := m.finals[a.ID]
	if !ok {
		m.fault(Lost, "%s (%s) was acknowledged, and the queue does not know it", a.ID, a.Key)
		return
	}
	m.report.Ends[f.Status]++
	succeeded := 0
	for _, at := range f.Attempts {
		if at.Outcome == jobs.OutcomeSucceeded {
			succeeded++
		}
	}
	used := a.MaxAttempts > 0 && f.Attempt >= a.MaxAttempts
	switch {
	case !f.Status.Terminal():
		m.fault(Unfinished, "%s (%s) is %s", a.ID, a.Key, f.Status)
	case succeeded > 1:
		m.fault(EndedTwice, "%s (%s) has %d attempts that succeeded", a.ID, a.Key, succeeded)
	case f.Status == jobs.StatusSucceeded && (a.Doomed || f.Attempt <= a.Failures):
		m.fault(WrongEnd, "%s (%s) succeeded in attempt %d, and %d were to fail (all: %v)", a.ID, a.Key, f.Attempt, a.Failures, a.Doomed)
	case f.Status == jobs.StatusSucceeded && (succeeded == 0 || len(m.runs[a.ID]) == 0):
		m.fault(WrongEnd, "%s (%s) succeeded, with %d runs and %d attempts that did", a.ID, a.Key, len(m.runs[a.ID]), succeeded)
	case f.Status != jobs.StatusSucceeded && succeeded > 0:
		m.fault(WrongEnd, "%s (%s) is %s and has an attempt that succeeded", a.ID, a.Key, f.Status)
	case f.Status == jobs.StatusDead && !used:
		m.fault(WrongEnd, "%s (%s) is dead after %d of %d attempts", a.ID, a.Key, f.Attempt, a.MaxAttempts)
	case f.Status == jobs.StatusCancelled && !a.Cancel:
		m.fault(WrongEnd, "%s (%s) is cancelled, and nobody asked for it", a.ID, a.Key)
	}
}

// events checks that a job's end was told of once, and which.
func (m *model) events() {
	told := map[string]End{}
	for _, e := range m.h.Ends {
		before, again := told[e.ID]
		if again && before.Event != e.Event {
			m.fault(EndedTwice, "%s ended as %s and again as %s", e.ID, before.Status, e.Status)
		}
		if f, ok := m.finals[e.ID]; ok && f.Status != e.Status {
			m.fault(EndedTwice, "%s was told to be %s and is %s", e.ID, e.Status, f.Status)
		}
		told[e.ID] = e
	}
}

// sights checks that nobody saw a job go back.
func (m *model) sights() {
	type who struct{ observer, id string }
	last := map[who]Sight{}
	for _, s := range m.h.Sights {
		before, again := last[who{s.Observer, s.ID}]
		switch {
		case again && s.Revision < before.Revision:
			m.fault(Regressed, "%s saw %s at revision %d and then at %d", s.Observer, s.ID, before.Revision, s.Revision)
		case again && before.Status.Terminal() && s.Status != before.Status:
			m.fault(Regressed, "%s saw %s %s and then %s", s.Observer, s.ID, before.Status, s.Status)
		}
		last[who{s.Observer, s.ID}] = s
	}
}
