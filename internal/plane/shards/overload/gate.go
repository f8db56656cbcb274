package overload

import (
	"container/list"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
)

// standing is the part of the time that one may wait in a queue which has not been empty for that time: it is for bursts, and
// one that stands only makes all of them wait, longer maybe than their clients do.
const standing = 4

// What is known of a member's pace weighs as much as so many requests, and as what it would do in so long: of a quick one a moment in
// which nothing ends says little, as it may be the router itself that had no CPU.
const (
	knownRequests = 5
	knownFor      = 125 * time.Millisecond
)

// gate of one member: those who are under way, and those who wait.
type gate struct {
	member string
	clock  clock.Clock

	mu       sync.Mutex
	settings settings
	adaptive *adaptive
	inFlight int
	// queues by class; queued is how many wait in all of them. While one waits there is no room.
	queues []*list.List
	queued int
	// standing is since when one of a class or another has waited always; zero where none does.
	standing []time.Time
	// ended is when a request last did.
	ended time.Time
	// full is since when there was no room, zero while there is; done is how many ended in that time.
	full time.Time
	done float64
	// Requests that were let in by class, in the last window and in this one.
	lately, now []int
	// pace is that of the requests that end, and shed how many were, by class.
	pace pace
	shed []uint64

	metrics *metrics
	// admitted counts those that were let in, by class: it is looked up once.
	admitted []prometheus.Counter
}

// waiter is one who waits. Its verdict comes once, while mu is held.
type waiter struct {
	class   int
	verdict chan verdict
	place   *list.Element
}

// verdict is when one was let in, or why not.
type verdict struct {
	at  time.Time
	err error
}

func newGate(member string, s settings, c clock.Clock, m *metrics) *gate {
	g := &gate{member: member, clock: c, adaptive: newAdaptive(s), ended: c.Now(), metrics: m}
	g.configure(s)
	return g
}

// configure changes the settings. Who waits in a class that is no more does so in the last one.
func (g *gate) configure(s settings) {
	g.mu.Lock()
	defer g.mu.Unlock()
	same := slices.Equal(g.settings.classes, s.classes)
	g.settings = s
	g.adaptive.bound(s)
	if same {
		g.wake()
		return
	}
	queues := make([]*list.List, len(s.classes))
	for i := range queues {
		queues[i] = list.New()
	}
	for class, q := range g.queues {
		for e := q.Front(); e != nil; e = e.Next() {
			w := e.Value.(*waiter)
			w.class = s.class(class)
			w.place = queues[w.class].PushBack(w)
		}
	}
	g.queues, g.standing = queues, make([]time.Time, len(queues))
	g.lately, g.now = make([]int, len(s.classes)), make([]int, len(s.classes))
	g.shed = make([]uint64, len(s.classes))
	g.admitted = make([]prometheus.Counter, len(s.classes))
	g.wake()
}

// admit waits for the request's turn. It is given back by release.
func (g *gate) admit(ctx context.Context, class int) (began time.Time, err error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, fmt.Errorf("wait for shard %s: %w", g.member, err)
	}
	g.mu.Lock()
	class = g.settings.class(class)
	now := g.clock.Now()
	if g.inFlight < g.adaptive.room() {
		g.full, g.done = time.Time{}, 0
		g.enter(now, class)
		g.mu.Unlock()
		return now, nil
	}
	if g.full.IsZero() {
		g.full = now
	}
	g.adaptive.crowds()
	if err := g.refuse(ctx, now, class); err != nil {
		g.mu.Unlock()
		return time.Time{}, err
	}
	w := &waiter{class: class, verdict: make(chan verdict, 1)}
	w.place = g.queues[class].PushBack(w)
	g.queued++
	if g.standing[class].IsZero() {
		g.standing[class] = now
	}
	patience := g.settings.patience
	g.mu.Unlock()
	return g.wait(ctx, w, patience)
}

func (g *gate) wait(ctx context.Context, w *waiter, patience time.Duration) (time.Time, error) {
	timer := g.clock.NewTimer(patience)
	defer timer.Stop()
	select {
	case v := <-w.verdict:
		return v.at, v.err
	case <-ctx.Done():
		return g.leave(w, func(int) error { return fmt.Errorf("wait for shard %s: %w", g.member, ctx.Err()) })
	case <-timer.C():
		return g.leave(w, func(class int) error { return g.sheds(class, ReasonTimeout, g.settings.patience) })
	}
}

// leave takes one who waits out of the queue, unless its verdict came at the same moment.
func (g *gate) leave(w *waiter, why func(class int) error) (time.Time, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case v := <-w.verdict:
		return v.at, v.err
	default:
	}
	g.remove(w)
	return time.Time{}, why(w.class)
}

// remove takes one who waits out of its queue.
func (g *gate) remove(w *waiter) {
	q := g.queues[w.class]
	q.Remove(w.place)
	g.queued--
	if q.Len() == 0 {
		g.standing[w.class] = time.Time{}
	}
}

// refuse says at once what would wait in vain, and makes room for who is more important.
func (g *gate) refuse(ctx context.Context, now time.Time, class int) error {
	turn := g.turn(class)
	patience := g.settings.patience
	if since := g.standing[class]; !since.IsZero() && now.Sub(since) > patience {
		patience /= standing
	}
	if deadline, ok := ctx.Deadline(); ok {
		// It is to be answered by then.
		patience = min(patience, deadline.Sub(now)-time.Duration(g.adaptive.lately*float64(time.Second)))
	}
	switch {
	case now.Sub(g.ended) > g.settings.patience:
		return g.sheds(class, ReasonStalled, turn)
	case turn > patience:
		return g.sheds(class, ReasonDeadline, turn)
	case g.queued >= g.settings.queue && !g.displace(class):
		return g.sheds(class, ReasonQueue, turn)
	}
	return nil
}

// displace sheds the newest of the least important that wait, if that is less important than class.
func (g *gate) displace(class int) bool {
	for other := len(g.queues) - 1; other > class; other-- {
		if e := g.queues[other].Back(); e != nil {
			w := e.Value.(*waiter)
			g.remove(w)
			w.verdict <- verdict{err: g.sheds(other, ReasonDisplaced, g.turn(other))}
			return true
		}
	}
	return false
}

// perSecond is how many requests end while there is no room: as the last window had it, and as it is since then, which soon
// says more where the member became slow.
func (g *gate) perSecond() float64 {
	known := g.adaptive.limit / g.adaptive.lately
	weight := max(knownRequests, known*knownFor.Seconds())
	seconds := 0.0
	if !g.full.IsZero() {
		// None ends sooner than after the time that one takes.
		seconds = max(0, g.clock.Now().Sub(g.full).Seconds()-g.adaptive.lately)
	}
	return (g.done + weight) / (seconds + weight/known)
}

// turn is how long one of a class that comes now would wait: for all that wait and are as important, served at the member's
// pace but for what more important ones take of it. 0 where it is not known.
func (g *gate) turn(class int) time.Duration {
	if g.adaptive.lately == 0 {
		return 0
	}
	var before, above, all int
	for other, n := range g.lately {
		if other < class {
			above += n
		}
		all += n
	}
	for other := range class + 1 {
		before += g.queues[other].Len()
	}
	rate := g.perSecond()
	if all > 0 {
		rate *= 1 - float64(above)/float64(all)
	}
	// Little that is left is none: who would wait for it is told so.
	const most = time.Hour
	if seconds := float64(before+1) / rate; seconds < most.Seconds() {
		return time.Duration(seconds * float64(time.Second))
	}
	return most
}

// enter lets one in. mu is held.
func (g *gate) enter(now time.Time, class int) {
	if g.inFlight == 0 {
		g.ended = now
	}
	g.adaptive.moves(now, g.inFlight)
	g.inFlight++
	g.now[class]++
	if g.admitted[class] == nil {
		g.admitted[class] = g.metrics.admitted.WithLabelValues(g.settings.classes[class])
	}
	g.admitted[class].Inc()
}

// release ends what was let in.
func (g *gate) release(began time.Time, outcome Outcome) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.clock.Now()
	g.adaptive.moves(now, g.inFlight)
	g.inFlight--
	g.ended = now
	g.pace.count(now)
	g.counts(now)
	if g.adaptive.ended(began, now, outcome) {
		g.lately, g.now = g.now, make([]int, len(g.now))
	}
	g.wake()
}

// counts one that ended while there was no room. What is long ago counts for less.
func (g *gate) counts(now time.Time) {
	if g.full.IsZero() {
		return
	}
	g.done++
	since := now.Sub(g.full)
	if long := max(2*time.Second, time.Duration(4*g.adaptive.lately*float64(time.Second))); since > long {
		g.done /= 2
		g.full = now.Add(-since / 2)
	}
}

// wake lets in as many as there is room for, the most important first, each class in the order in which they came.
func (g *gate) wake() {
	now := g.clock.Now()
	for class, q := range g.queues {
		for q.Len() > 0 && g.inFlight < g.adaptive.room() {
			w := q.Front().Value.(*waiter)
			g.remove(w)
			g.enter(now, class)
			w.verdict <- verdict{at: now}
		}
	}
}

// sheds counts a request that is refused. mu is held.
func (g *gate) sheds(class int, reason Reason, turn time.Duration) error {
	g.shed[class]++
	name := g.settings.classes[class]
	g.metrics.shed.WithLabelValues(name, string(reason)).Inc()
	return &ShedError{Member: g.member, Class: name, Reason: reason, RetryAfter: retryAfter(class, turn)}
}

// retryAfter has the less important come back later.
func retryAfter(class int, turn time.Duration) time.Duration {
	const most = 10 * time.Second
	return min(most, max(turn, time.Second)+time.Duration(class)*time.Second)
}
