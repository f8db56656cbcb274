package harness

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Series are the figures of one side, a run each.
type Series []float64

// Median is the middle one, or the mean of the two in the middle.
func (s Series) Median() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// String is the median with the least and the most.
func (s Series) String() string {
	switch len(s) {
	case 0:
		return "–"
	case 1:
		return number(s[0])
	}
	return fmt.Sprintf("%s (%s–%s)", number(s.Median()), number(slices.Min(s)), number(slices.Max(s)))
}

// number has three significant digits, and no exponent.
func number(v float64) string {
	switch abs := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case abs >= 100 || v == math.Trunc(v):
		return grouped(strconv.FormatFloat(v, 'f', 0, 64))
	case abs >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

func grouped(digits string) string {
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Goal says when a row is as it should be.
type Goal struct {
	kind  goalKind
	limit float64
}

type goalKind uint8

const (
	none goalKind = iota
	ratioAtMost
	ratioAtLeast
	atMost
	exactly
)

// NoGoal only tells.
var NoGoal = Goal{}

// RatioAtMost wants ours/peer not above r.
func RatioAtMost(r float64) Goal { return Goal{ratioAtMost, r} }

// RatioAtLeast wants ours/peer not below r.
func RatioAtLeast(r float64) Goal { return Goal{ratioAtLeast, r} }

// AtMost wants ours not above v.
func AtMost(v float64) Goal { return Goal{atMost, v} }

// Exactly wants every run to be v: it is for counts, and what misses it fails
// the benchmark.
func Exactly(v float64) Goal { return Goal{exactly, v} }

func (g Goal) String() string {
	switch g.kind {
	case ratioAtMost:
		return fmt.Sprintf("≤ %g ×", g.limit)
	case ratioAtLeast:
		return fmt.Sprintf("≥ %g ×", g.limit)
	case atMost:
		return fmt.Sprintf("≤ %s", number(g.limit))
	case exactly:
		return number(g.limit)
	}
	return ""
}

// Row is one measure of one case.
type Row struct {
	Case, Measure, Unit string
	Ours, Peer          Series
	Goal                Goal
	// Why says what a miss comes from; it is shown with one.
	Why string
}

// Ratio is ours to peer, by the medians.
func (r Row) Ratio() float64 { return r.Ours.Median() / r.Peer.Median() }

// Verdict of a row.
type Verdict string

// Verdicts.
const (
	Told   Verdict = ""
	Met    Verdict = "met"
	Missed Verdict = "missed"
)

// Verdict says whether the goal is met.
func (r Row) Verdict() Verdict {
	met := true
	switch r.Goal.kind {
	case none:
		return Told
	case ratioAtMost:
		met = r.Ratio() <= r.Goal.limit
	case ratioAtLeast:
		met = r.Ratio() >= r.Goal.limit
	case atMost:
		met = r.Ours.Median() <= r.Goal.limit
	case exactly:
		met = len(r.Ours) > 0 && !slices.ContainsFunc(r.Ours, func(v float64) bool { return v != r.Goal.limit })
	}
	if met {
		return Met
	}
	return Missed
}

// Fails is true when a count is not what it has to be.
func (r Row) Fails() bool { return r.Goal.kind == exactly && r.Verdict() == Missed }
