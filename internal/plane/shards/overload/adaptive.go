package overload

import (
	"math"
	"time"
)

const (
	// start is the limit of a member of which nothing is known yet.
	start = 20
	// headroom is how much longer than alone a request takes at the limit that is looked for. The half more keeps the member
	// busy though each time that is measured is off by some.
	headroom = 1.5
	// crowded is how much longer from which it is asked whether it is the limit that is wrong, or what is known of the time alone.
	crowded = 2.0
	// inProportion to their number is how much less long requests take where it is the number that counts: 1 is all of it.
	inProportion = 0.7
	// alike are two times that differ by no more.
	alike = 1.25
	// checkEvery, and checkTimes that a request takes, is how often a member that is always busy is given fewer requests for a
	// moment, to see how long they take alone.
	checkEvery, checkTimes = 10 * time.Second, 50

	// A window has fewestSamples to mostSamples, two for each request at once, and lasts shortest at least. After patient half
	// the fewest do.
	fewestSamples, mostSamples = 20, 100
	shortest, patient          = 100 * time.Millisecond, 2 * time.Second
	// used is the share of the limit that is taken in a window of which something is learned about the limit.
	used = 0.7
	// refused is the share of requests from which a member is believed that it is overloaded.
	refused = 0.1
)

// adaptive finds how many requests a member serves at once without a queue of its own that grows: see docs/adr/0032. It has no
// clock and no lock.
type adaptive struct {
	least, most float64
	limit       float64
	// alone is how many seconds a request takes where the member is not busy, and lately how many it took in the last window.
	// 0 is not known.
	alone, lately float64
	// checked is when alone was last seen.
	checked time.Time
	// rising is true until requests were seen to take longer for their number.
	rising bool
	window window
	check  *check
}

// window is what happened since it began, or since the limit was last looked at.
type window struct {
	began, moved time.Time
	// Requests that began in it and were answered; those that were refused, and those that were given up after half the time
	// that one takes or more.
	answered, refused, left int
	// timed are those that say how long it takes, and seconds how long all of them did.
	timed   int
	seconds float64
	// full is true once a request found no room; area is the sum of seconds that requests were under way in it.
	full bool
	area float64
}

// check is a time in which the member has fewer requests: do they take less long?
type check struct {
	// limit and seconds before it, and of the step before this one.
	limit, seconds, lastLimit, lastSeconds float64
}

func newAdaptive(s settings) *adaptive {
	a := &adaptive{rising: true}
	a.bound(s)
	a.set(start)
	return a
}

func (a *adaptive) bound(s settings) {
	a.least, a.most = float64(s.least), float64(s.most)
	a.set(a.limit)
}

func (a *adaptive) set(limit float64) { a.limit = min(max(limit, a.least), a.most) }

// room is how many requests there may be.
func (a *adaptive) room() int { return int(a.limit + 0.5) }

// moves notes how many were under way until now, of which there will be one more or less.
func (a *adaptive) moves(now time.Time, inFlight int) {
	w := &a.window
	if w.began.IsZero() {
		w.began, a.checked = now, now
	} else {
		w.area += now.Sub(w.moved).Seconds() * float64(inFlight)
	}
	w.moved = now
}

// crowds notes that a request found no room.
func (a *adaptive) crowds() { a.window.full = true }

// ended notes a request that ended. It is true where the limit was looked at.
func (a *adaptive) ended(began, now time.Time, outcome Outcome) bool {
	w := &a.window
	seconds := now.Sub(began).Seconds()
	fresh := !began.Before(w.began)
	switch {
	case outcome == Overloaded:
		w.refused++
	case outcome == Ignored && 2*seconds > a.lately:
		w.left++
	case outcome == Success && fresh:
		w.answered++
	}
	// Who went away after longer than usual tells that it takes that long at least.
	if fresh && (outcome == Success || outcome == Ignored && seconds > a.lately) {
		w.timed++
		w.seconds += seconds
	}
	samples := min(max(int(2*a.limit), fewestSamples), mostSamples)
	long := now.Sub(w.began)
	if long > patient {
		samples = fewestSamples / 2
	}
	if w.ended() < samples || long < shortest {
		return false
	}
	closed := *w
	a.window = window{began: now, moved: now}
	a.learn(now, closed)
	return true
}

func (w *window) ended() int { return w.answered + w.refused + w.left }

// bad is the share of requests that say the member is overloaded. Who goes away may have reasons of their own, but not most.
func (w *window) bad() float64 {
	n := w.refused
	if 2*w.left > w.ended() {
		n += w.left
	}
	return float64(n) / float64(w.ended())
}

func (a *adaptive) learn(now time.Time, w window) {
	seconds := w.seconds / float64(max(w.timed, 1))
	before := a.lately
	if w.timed > 0 {
		a.lately = seconds
	}
	busy := w.full && w.area/now.Sub(w.began).Seconds() >= used*a.limit
	share := w.bad()
	every := max(checkEvery, time.Duration(checkTimes*seconds*float64(time.Second)))
	switch {
	case share >= refused:
		a.check, a.rising = nil, false
		a.set(a.limit * (1 - share/2))
	case seconds == 0:
		// Nobody waited for an answer that came.
	case a.check != nil:
		a.checks(now, seconds)
	case !busy:
		a.rests(now, seconds)
	case before == 0:
		// The member was not busy when it began.
	case a.alone == 0 || (seconds+before)/2 > crowded*a.alone || now.Sub(a.checked) > every:
		a.begin(now, seconds)
	default:
		a.follow(seconds)
	}
}

// follow has the limit be where a request takes headroom times as long as alone: up at once, down by halves. At first it
// doubles until one takes longer at all.
func (a *adaptive) follow(seconds float64) {
	if a.rising = a.rising && seconds <= alike*a.alone; a.rising {
		a.set(2 * a.limit)
		return
	}
	if seconds < a.alone {
		a.alone = (a.alone + seconds) / 2
	}
	next := a.limit * headroom * a.alone / seconds
	if next < a.limit {
		next = (a.limit + next) / 2
	}
	a.set(next)
}

// rests learns from a member that is not busy. It trusts what is shorter more than what is longer, which others may cause.
func (a *adaptive) rests(now time.Time, seconds float64) {
	const down, up = 0.2, 0.02
	a.checked = now
	switch {
	case a.alone == 0:
		a.alone = seconds
	case seconds < a.alone:
		a.alone += down * (seconds - a.alone)
	default:
		a.alone += up * (seconds - a.alone)
	}
}

// begin a check.
func (a *adaptive) begin(now time.Time, seconds float64) {
	if a.limit <= a.least {
		// It can not be less busy.
		a.alone, a.checked = seconds, now
		a.follow(seconds)
		return
	}
	a.check = &check{limit: a.limit, seconds: seconds, lastLimit: a.limit, lastSeconds: seconds}
	next := a.limit / 2
	if a.alone > 0 {
		next = min(next, a.limit*headroom*a.alone/seconds)
	}
	a.set(next)
}

// checks goes down until requests take no less time for it: then it was not for their number that they took so long.
func (a *adaptive) checks(now time.Time, seconds float64) {
	c := a.check
	// Where all waited, half of them take half as long.
	shorter := seconds < c.lastSeconds*math.Pow(a.limit/c.lastLimit, inProportion)
	switch {
	case shorter && a.limit > a.least:
		c.lastLimit, c.lastSeconds = a.limit, seconds
		a.set(a.limit / 2)
		return
	case a.alone > 0 && seconds <= alike*a.alone && seconds*alike >= a.alone:
		a.alone = (a.alone + seconds) / 2
	default:
		a.alone = seconds
	}
	a.check, a.checked = nil, now
	a.set(min(c.limit, c.limit*headroom*a.alone/c.seconds))
}
