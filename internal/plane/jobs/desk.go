package jobs

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// deskBatch is the most requests for jobs that one call of the store serves.
	deskBatch = 64
	// deskBytes bounds what the payloads of one call may come to at worst.
	deskBytes = 32 << 20
	// answerBytes bounds the payloads that one replica asks for or sends at once: workers that read their answers slowly have the
	// others wait.
	answerBytes = 64 << 20
	// deskLook is how often the store is asked for those that wait, though it told of nothing: should a word be lost.
	deskLook = 15 * time.Second
	// deskLate is how long after its time a request is held while the store is asked for it: an engine that hangs holds it no longer.
	deskLate = 2 * time.Second
)

// desk serves requests for jobs in the order in which they came. Those that wait cost nothing until the store tells
// that a job is due: then the first ones are served, and as many more as there are jobs for.
type desk struct {
	queue *Queue
	wake  chan struct{}

	mu      sync.Mutex
	waiting []*asking
	closed  bool
	// news counts the times that the store told of a job that is due; dry is, by the types that were asked for, the
	// count at which there was none left.
	news int
	dry  map[string]int
	// width is how many of those that were served nothing before are tried again in one call.
	width int

	// back are jobs to be handed back, backing counts those that are not yet, and backed is told when they are.
	back    chan []Leased
	backing atomic.Int64
	backed  broadcast
	// answers are the bytes of payloads that are asked for, at worst, or on their way to workers; atMost bounds them.
	answers, atMost int64
	// short is true when somebody waits for that.
	short bool

	// lookAt is when to ask the store though it told of nothing; only run has it.
	lookAt time.Time
}

// asking is a request for jobs.
type asking struct {
	query LeaseQuery
	types string
	// waits is false for one that is answered whatever there is.
	waits bool
	tried bool
	// called is true while the store is asked for it, and gone when nobody waits for the answer any more.
	called, gone bool
	// bytes is its part of the desk's answers.
	bytes  int64
	leased []Leased
	err    error
	done   chan struct{}
}

func newDesk(q *Queue) *desk {
	return &desk{queue: q, wake: make(chan struct{}, 1), dry: map[string]int{}, width: 1, back: make(chan []Leased, maxBack), atMost: answerBytes}
}

// due has those that wait tried again.
func (d *desk) due() {
	d.mu.Lock()
	d.news++
	idle := len(d.waiting) == 0
	d.mu.Unlock()
	if !idle {
		poke(d.wake)
	}
}

// lease returns the jobs for a request once there are some, or none when the time is over or the plane drains. sent is to be called
// once they are on their way.
func (d *desk) lease(ctx context.Context, query LeaseQuery, wait time.Duration) (leased []Leased, sent func(), err error) {
	a, err := d.await(ctx, query, wait)
	if a == nil {
		return nil, func() {}, err
	}
	return a.leased, func() { d.sent(a) }, a.err
}

// await returns a request that is answered, or nil.
func (d *desk) await(ctx context.Context, query LeaseQuery, wait time.Duration) (*asking, error) {
	types := slices.Clone(query.Types)
	slices.Sort(types)
	a := &asking{query: query, types: strings.Join(types, "\x00"), waits: wait > 0, done: make(chan struct{})}
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil, errBusy
	}
	d.waiting = append(d.waiting, a)
	d.mu.Unlock()
	poke(d.wake)
	if wait == 0 {
		wait = bound
	}
	timer := d.queue.clock.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-a.done:
		return a, nil
	case <-timer.C():
	case <-d.queue.held.draining:
	case <-ctx.Done():
		d.leave(a)
		return nil, ctx.Err()
	}
	if d.withdraw(a) {
		return nil, nil
	}
	// The store is asked right now, and may have given something. What it gives too late goes back.
	late := d.queue.clock.NewTimer(deskLate)
	defer late.Stop()
	select {
	case <-a.done:
		return a, nil
	case <-late.C():
		d.leave(a)
		return nil, nil
	case <-ctx.Done():
		d.leave(a)
		return nil, ctx.Err()
	}
}

// withdraw takes a request out, unless the store is asked for it, or it is answered.
func (d *desk) withdraw(a *asking) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a.called {
		a.waits = false
		return false
	}
	waits := slices.Contains(d.waiting, a)
	d.remove(a)
	return waits
}

// leave is for a request whose client is gone: what it is given goes back.
func (d *desk) leave(a *asking) {
	d.mu.Lock()
	a.gone = true
	d.remove(a)
	leased := a.leased
	d.mu.Unlock()
	select {
	case <-a.done:
		d.giveBack(leased)
		d.sent(a)
	default:
	}
}

// sent gives back the part of memory of an answer.
func (d *desk) sent(a *asking) {
	d.mu.Lock()
	d.answers -= a.bytes
	a.bytes = 0
	short := d.short
	d.mu.Unlock()
	if short {
		poke(d.wake)
	}
}

func (d *desk) remove(a *asking) {
	if i := slices.Index(d.waiting, a); i >= 0 {
		d.waiting = slices.Delete(d.waiting, i, i+1)
	}
}

// run serves until ctx ends.
func (d *desk) run(ctx context.Context) {
	var back sync.WaitGroup
	defer back.Wait()
	back.Go(func() { d.handBack(ctx) })
	look := d.queue.clock.NewTimer(deskLook)
	defer look.Stop()
	d.lookAt = d.queue.now().Add(deskLook)
	for ctx.Err() == nil {
		d.serve(ctx)
		// A clock that was set back puts no look off.
		look.Reset(min(deskLook, max(time.Millisecond, d.lookAt.Sub(d.queue.now()))))
		select {
		case <-ctx.Done():
		case <-d.wake:
		case <-look.C():
			d.lookAt = d.queue.now().Add(deskLook)
			d.due()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for _, a := range d.waiting {
		// Of one that a submission asks for, that tells.
		if !a.called {
			a.err = errBusy
			close(a.done)
		}
	}
	d.waiting = nil
}

// serve makes calls while there is somebody to be tried. What the store says of when there may be more is kept until
// then: a wake that finds nobody to be tried does not put it off.
func (d *desk) serve(ctx context.Context) {
	for ctx.Err() == nil {
		group, news := d.take()
		if len(group) == 0 {
			return
		}
		if again := d.call(ctx, d.queue.now(), group, news); !again.IsZero() && again.Before(d.lookAt) {
			d.lookAt = again
		}
	}
}

// take chooses whom the next call is for: those that were not tried yet, and the first of those that may have luck now.
func (d *desk) take() (group []*asking, news int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	again, room, largest := 0, int64(deskBytes), max(1, d.queue.live.Load().cfg.Limits.PayloadBytes)
	for _, a := range d.waiting {
		bytes := int64(a.query.Max) * largest
		if d.short = d.answers > 0 && d.answers+bytes > d.atMost; d.short || len(group) == deskBatch || len(group) > 0 && bytes > room {
			break
		}
		switch {
		case a.called:
			continue
		case !a.tried:
		case again < d.width && d.news > d.dry[""] && d.news > d.dry[a.types]:
			again++
		default:
			continue
		}
		a.tried, a.called = true, true
		a.bytes = bytes
		d.answers += bytes
		room -= bytes
		group = append(group, a)
	}
	if len(group) == 0 {
		d.width = 1
	}
	return group, d.news
}

func (d *desk) call(ctx context.Context, now time.Time, group []*asking, news int) (again time.Time) {
	leased, again, err := d.queue.leaseNow(ctx, now, queriesOf(group))
	d.giveBack(d.answer(group, news, leased, err))
	return again
}

// answer hands out what a call gave, and returns what nobody waits for any more.
func (d *desk) answer(group []*asking, news int, leased [][]Leased, err error) (back []Leased) {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := false
	for i, a := range group {
		a.called = false
		d.answers -= a.bytes
		a.bytes = 0
		if err == nil {
			a.leased = leased[i]
			found = found || len(a.leased) > 0
			if len(a.leased) < a.query.Max {
				d.dryAt(a.types, news)
			}
		}
		if a.err = err; a.gone {
			back = append(back, a.leased...)
			continue
		}
		if err != nil || len(a.leased) > 0 || !a.waits || d.closed {
			for _, l := range a.leased {
				a.bytes += int64(len(l.Payload.Data))
			}
			d.answers += a.bytes
			d.remove(a)
			close(a.done)
		}
	}
	if d.width = min(2*d.width, deskBatch); !found {
		d.width = 1
	}
	return back
}

// maxDry bounds how many sets of types are remembered.
const maxDry = 256

func (d *desk) dryAt(types string, news int) {
	if len(d.dry) > maxDry {
		clear(d.dry)
	}
	d.dry[types] = max(d.dry[types], news)
}
