package jobhistory

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

var began = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func second(n int) time.Time { return began.Add(time.Duration(n) * time.Second) }

// accepted is a job whose idempotency key is key-<id>, sent at a second and acknowledged at the next.
func accepted(id string, at int, change ...func(*Accepted)) Accepted {
	a := Accepted{ID: id, Key: "key-" + id, Submitter: "one", Sent: second(at), Acknowledged: second(at + 1), MaxAttempts: 5}
	for _, c := range change {
		c(&a)
	}
	return a
}

func ofKey(key string) func(*Accepted)         { return func(a *Accepted) { a.OrderingKey = key } }
func failing(n int) func(*Accepted)            { return func(a *Accepted) { a.Failures = n } }
func doomed(n int) func(*Accepted)             { return func(a *Accepted) { a.Doomed, a.MaxAttempts = true, n } }
func bySubmitter(name string) func(*Accepted)  { return func(a *Accepted) { a.Submitter = name } }
func cancelled(a *Accepted)                    { a.Cancel = true }
func run(id string, n int, from, to Place) Run { return runBy("w1", id, n, from, to) }

func runBy(worker, id string, n int, from, to Place) Run {
	return Run{ID: id, Key: "key-" + id, Token: int64(n), Attempt: n, Worker: worker, Start: from, End: to}
}

// final has an attempt for each outcome, all by the worker w1.
func final(id string, status jobs.Status, outcomes ...jobs.Outcome) Final {
	f := Final{ID: id, Status: status, Attempt: len(outcomes)}
	for i, o := range outcomes {
		f.Attempts = append(f.Attempts, jobs.Attempt{Number: i + 1, Worker: "w1", Outcome: o})
	}
	return f
}

func succeeded(id string) Final { return final(id, jobs.StatusSucceeded, jobs.OutcomeSucceeded) }

// quiet is a job without anything special, and all that is recorded of it.
func quiet() History {
	return History{
		Accepted: []Accepted{accepted("a", 0)}, Runs: []Run{run("a", 1, 10, 20)}, Finals: []Final{succeeded("a")},
		Ends:   []End{{"a", "e1", jobs.StatusSucceeded}},
		Sights: []Sight{{"a", "o", jobs.StatusQueued, 1}, {"a", "o", jobs.StatusRunning, 2}, {"a", "o", jobs.StatusSucceeded, 3}},
		Reach:  5 * time.Microsecond,
	}
}

// again is a job that ran twice, as the first run was lost in a disruption; its outcome is known to be outcome.
func again(outcome jobs.Outcome, end Place) History {
	h := quiet()
	h.Runs = []Run{run("a", 1, 10, end), run("a", 2, 40, 50)}
	h.Finals = []Final{final("a", jobs.StatusSucceeded, outcome, jobs.OutcomeSucceeded)}
	h.Disruptions = []Disruption{{Name: "a worker is killed", From: 15, To: 16, Worker: "w1"}}
	return h
}

// keyed are two jobs of one ordering key that ran at the places given.
func keyed(a, b Run) History {
	return History{
		Accepted: []Accepted{accepted("a", 0, ofKey("k")), accepted("b", 1, ofKey("k"))},
		Runs:     []Run{a, b}, Finals: []Final{succeeded("a"), succeeded("b")},
	}
}

func with(h History, change func(*History)) History {
	change(&h)
	return h
}

// Every case without faults is one that the rules have to allow; every other one breaks one rule.
func TestCheck(t *testing.T) {
	for name, tc := range map[string]struct {
		h    History
		want []Fault
	}{
		"nothing": {},
		"one job": {h: quiet()},
		"as many again as failures were asked for": {h: History{
			Accepted: []Accepted{accepted("a", 0, failing(1))}, Runs: []Run{run("a", 1, 10, 20), run("a", 2, 30, 40)},
			Finals: []Final{final("a", jobs.StatusSucceeded, jobs.OutcomeFailed, jobs.OutcomeSucceeded)},
		}},
		"dead, as was to be": {h: History{
			Accepted: []Accepted{accepted("a", 0, doomed(2))}, Runs: []Run{run("a", 1, 10, 20), run("a", 2, 30, 40)},
			Finals: []Final{final("a", jobs.StatusDead, jobs.OutcomeFailed, jobs.OutcomeFailed)},
		}},
		"cancelled before it ran": {h: History{
			Accepted: []Accepted{accepted("a", 0, cancelled)}, Finals: []Final{final("a", jobs.StatusCancelled)},
		}},
		"cancelled too late":                       {h: with(quiet(), func(h *History) { h.Accepted[0].Cancel = true })},
		"unknown, and ran":                         {h: with(quiet(), func(h *History) { h.Accepted, h.Unknown = nil, []string{"key-a"} })},
		"unknown, and not there":                   {h: History{Unknown: []string{"key-a"}}},
		"again after a kill":                       {h: again(jobs.OutcomeLost, 0)},
		"again, with its end recorded just before": {h: with(again(jobs.OutcomeLost, 14), func(h *History) { h.Disruptions[0].From = 18 })},
		"fenced, and went on meanwhile":            {h: again(jobs.OutcomeLost, 45)},
		"handed back":                              {h: with(again(jobs.OutcomeLost, 0), func(h *History) { h.Finals = []Final{succeeded("a")}; h.Runs[1].Attempt = 1 })},
		"an event that came twice":                 {h: with(quiet(), func(h *History) { h.Ends = append(h.Ends, h.Ends[0]) })},
		"one key, one after the other":             {h: keyed(run("a", 1, 10, 20), run("b", 1, 30, 40))},
		"one key, accepted at one time": {h: with(keyed(run("a", 1, 30, 40), run("b", 1, 10, 20)), func(h *History) {
			h.Accepted[1] = accepted("b", 0, ofKey("k"), bySubmitter("two"))
		})},
		"one key, the first was cancelled": {h: with(keyed(run("b", 1, 30, 40), run("b", 2, 50, 60)), func(h *History) {
			h.Accepted[0].Cancel, h.Accepted[1].Failures = true, 1
			h.Finals = []Final{final("a", jobs.StatusCancelled), final("b", jobs.StatusSucceeded, jobs.OutcomeFailed, jobs.OutcomeSucceeded)}
		})},
		"one key, the first was fenced and went on": {h: with(keyed(run("a", 1, 10, 60), run("b", 1, 40, 50)), func(h *History) {
			h.Accepted[0].MaxAttempts = 1
			h.Finals[0] = final("a", jobs.StatusDead, jobs.OutcomeTimeout)
		})},

		"lost":       {h: with(quiet(), func(h *History) { h.Finals = nil }), want: []Fault{Lost}},
		"unfinished": {h: with(quiet(), func(h *History) { h.Finals, h.Ends = []Final{final("a", jobs.StatusRunning, "")}, nil }), want: []Fault{Unfinished}},
		"dead too early": {h: with(quiet(), func(h *History) {
			h.Finals, h.Ends = []Final{final("a", jobs.StatusDead, jobs.OutcomeFailed)}, nil
		}), want: []Fault{WrongEnd}},
		"succeeded, and was to be dead": {h: with(quiet(), func(h *History) { h.Accepted[0].Doomed = true }), want: []Fault{WrongEnd}},
		"succeeded, and was to fail":    {h: with(quiet(), func(h *History) { h.Accepted[0].Failures = 1 }), want: []Fault{WrongEnd}},
		"succeeded, and never ran":      {h: with(quiet(), func(h *History) { h.Runs = nil }), want: []Fault{WrongEnd}},
		"cancelled by nobody": {h: History{
			Accepted: []Accepted{accepted("a", 0)}, Finals: []Final{final("a", jobs.StatusCancelled)},
		}, want: []Fault{WrongEnd}},
		"dead, and had succeeded": {h: with(again(jobs.OutcomeSucceeded, 20), func(h *History) {
			h.Accepted[0].MaxAttempts, h.Ends = 2, nil
			h.Finals = []Final{final("a", jobs.StatusDead, jobs.OutcomeSucceeded, jobs.OutcomeLost)}
		}), want: []Fault{WrongEnd}},
		"two attempts succeeded": {h: again(jobs.OutcomeSucceeded, 20), want: []Fault{EndedTwice}},
		"two ends were told":     {h: with(quiet(), func(h *History) { h.Ends = append(h.Ends, End{"a", "e2", jobs.StatusSucceeded}) }), want: []Fault{EndedTwice}},
		"another end was told":   {h: with(quiet(), func(h *History) { h.Ends[0].Status = jobs.StatusDead }), want: []Fault{EndedTwice}},
		"seen to go back":        {h: with(quiet(), func(h *History) { h.Sights[2].Status, h.Sights[2].Revision = jobs.StatusQueued, 1 }), want: []Fault{Regressed}},
		"seen after its end":     {h: with(quiet(), func(h *History) { h.Sights = append(h.Sights, Sight{"a", "o", jobs.StatusRunning, 4}) }), want: []Fault{Regressed}},
		"ran and was never sent": {h: with(quiet(), func(h *History) { h.Runs = append(h.Runs, run("x", 1, 30, 40)) }), want: []Fault{Invented}},
		"ran another's payload":  {h: with(quiet(), func(h *History) { h.Runs[0].Key = "key-b" }), want: []Fault{Doubled}},
		"one key, two jobs": {h: with(quiet(), func(h *History) {
			h.Accepted = append(h.Accepted, accepted("b", 2, func(a *Accepted) { a.Key = "key-a" }))
			h.Finals = append(h.Finals, succeeded("b"))
			h.Runs = append(h.Runs, Run{ID: "b", Key: "key-a", Token: 1, Attempt: 1, Worker: "w1", Start: 30, End: 40})
		}), want: []Fault{Doubled}},
		"two submissions, one job": {h: with(quiet(), func(h *History) {
			h.Accepted = slices.Insert(h.Accepted, 0, accepted("a", 2, func(a *Accepted) { a.Key = "key-b" }))
		}), want: []Fault{Doubled}},
		"unknown, and ran as two jobs": {h: History{Unknown: []string{"key-a"}, Runs: []Run{
			run("a", 1, 10, 20), {ID: "b", Key: "key-a", Token: 1, Attempt: 1, Worker: "w1", Start: 30, End: 40},
		}}, want: []Fault{Doubled}},
		"one token twice": {h: with(again(jobs.OutcomeLost, 0), func(h *History) { h.Runs[1].Token = 1 }), want: []Fault{StaleToken}},
		"a token that is not greater": {h: with(again(jobs.OutcomeFailed, 20), func(h *History) {
			h.Accepted[0].Failures = 1
			h.Runs[0].Token, h.Runs[1].Token = 2, 1
			h.Finals[0].Attempts = []jobs.Attempt{{Number: 2, Worker: "w1", Outcome: jobs.OutcomeSucceeded}, {Number: 1, Worker: "w1", Outcome: jobs.OutcomeFailed}}
		}), want: []Fault{StaleToken}},
		"killed, and its worker not":    {h: again(jobs.OutcomeFailed, 0)},
		"two at once":                   {h: with(again(jobs.OutcomeFailed, 45), func(h *History) { h.Accepted[0].Failures = 1 }), want: []Fault{Overlap}},
		"again for no reason":           {h: with(again(jobs.OutcomeLost, 14), func(h *History) { h.Disruptions = nil }), want: []Fault{Excess}},
		"again, and the kill was late":  {h: with(again(jobs.OutcomeLost, 14), func(h *History) { h.Disruptions[0] = Disruption{Name: "late", From: 30, To: 31} }), want: []Fault{Excess}},
		"again, and another was killed": {h: with(again(jobs.OutcomeLost, 0), func(h *History) { h.Disruptions[0].Worker = "w2" }), want: []Fault{Excess}},
		"again twice for one kill": {h: with(again(jobs.OutcomeLost, 0), func(h *History) {
			h.Runs = append(h.Runs, run("a", 3, 60, 70))
			h.Finals = []Final{final("a", jobs.StatusSucceeded, jobs.OutcomeLost, jobs.OutcomeLost, jobs.OutcomeSucceeded)}
		}), want: []Fault{Excess}},
		"one key, two at once":        {h: keyed(run("a", 1, 10, 35), run("b", 1, 30, 40)), want: []Fault{KeyOverlap}},
		"one key, in the wrong order": {h: keyed(run("a", 1, 30, 40), run("b", 1, 10, 20)), want: []Fault{KeyOrder}},
		"one key, a run of the first in the end": {h: with(keyed(run("a", 1, 10, 20), run("b", 1, 30, 40)), func(h *History) {
			h.Accepted[0].Failures = 1
			h.Runs = append(h.Runs, run("a", 2, 50, 60))
			h.Finals[0] = final("a", jobs.StatusSucceeded, jobs.OutcomeFailed, jobs.OutcomeSucceeded)
		}), want: []Fault{KeyOrder}},
		"one key, by two submitters in turn": {h: with(keyed(run("a", 1, 30, 40), run("b", 1, 10, 20)), func(h *History) {
			h.Accepted[1] = accepted("b", 2, ofKey("k"), bySubmitter("two"))
		}), want: []Fault{KeyOrder}},
	} {
		t.Run(name, func(t *testing.T) {
			var faults []Fault
			report := Check(tc.h)
			for _, v := range report.Violations {
				faults = append(faults, v.Fault)
			}
			if diff := cmp.Diff(tc.want, faults); diff != "" {
				t.Errorf("faults (-want +got):\n%s%v", diff, report.Violations)
			}
		})
	}
}

func TestReport(t *testing.T) {
	h := again(jobs.OutcomeLost, 0)
	h.Accepted = append(h.Accepted, accepted("b", 2, doomed(1)))
	h.Finals = append(h.Finals, final("b", jobs.StatusDead, jobs.OutcomeFailed))
	h.Runs = append(h.Runs, run("b", 1, 60, 70))
	want := Report{
		Ends: map[jobs.Status]int{jobs.StatusSucceeded: 1, jobs.StatusDead: 1},
		Runs: 3, Again: 1, Fenced: 1, InFlight: 1,
	}
	if diff := cmp.Diff(want, Check(h)); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}
