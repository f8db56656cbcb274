package scaling

import (
	"fmt"
	"time"
)

// Run is a pod for one piece of work, as it is now.
type Run struct {
	// Ended is when it ended; zero while it has not.
	Ended time.Time
	// Failed is true when it ended before it had said what became of its work.
	Failed bool
}

const (
	// countedWithin is how old a load may be that is told: work that ended within it may still be counted.
	countedWithin = 6 * time.Second
	// firstAway and longestAway bound the wait after runs that failed, which doubles with each in a row: a pod that can do
	// nothing is not to be started all the time.
	firstAway, longestAway = 5 * time.Second, time.Minute
)

// NextRuns decides how many more runs to start: one for each piece of work, and never more than spec.Max together. Nothing is
// remembered: a new operator comes to the same.
func NextRuns(now time.Time, spec Spec, load Load, runs []Run) (start int32, d Decision) {
	under, told := int32(0), int32(0)
	for _, r := range runs {
		switch {
		case r.Ended.IsZero():
			under++
		case !r.Failed && now.Sub(r.Ended) < countedWithin:
			told++
		}
	}
	d = Decision{Replicas: under, Limited: Verdict{Reason: ReasonWithin, Message: "there are as many as the load asks for"}}
	if load.Total == nil {
		d.Active = Verdict{Reason: ReasonUnknown, Message: fmt.Sprintf("no pod said how many %s there are: none is started until one does", spec.Unit)}
		return 0, d
	}
	d.Active = Verdict{OK: true, Reason: ReasonValid, Message: fmt.Sprintf("one for each of the %s", spec.Unit)}
	asked := ceil(*load.Total) - told
	if asked > spec.Max {
		d.Limited = Verdict{OK: true, Reason: ReasonTooMany, Message: fmt.Sprintf(
			"there are more %s than run at once, which is %d: raise it, or let them wait", spec.Unit, spec.Max)}
	}
	if now.Before(retryAt(runs)) {
		return 0, d
	}
	start = max(0, min(asked, spec.Max)-under)
	d.Replicas += start
	return start, d
}

// retryAt is until when nothing is started after runs that failed; zero where the last one did not.
func retryAt(runs []Run) time.Time {
	n := FailedInARow(runs)
	if n == 0 {
		return time.Time{}
	}
	wait := firstAway
	for ; n > 1 && wait < longestAway; n-- {
		wait *= 2
	}
	var last time.Time
	for _, r := range runs {
		if r.Failed && r.Ended.After(last) {
			last = r.Ended
		}
	}
	return last.Add(min(wait, longestAway))
}

// FailedInARow is how many runs failed since the last one that did not.
func FailedInARow(runs []Run) int {
	var good time.Time
	for _, r := range runs {
		if !r.Failed && r.Ended.After(good) {
			good = r.Ended
		}
	}
	n := 0
	for _, r := range runs {
		if r.Failed && r.Ended.After(good) {
			n++
		}
	}
	return n
}
