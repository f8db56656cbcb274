package member

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/plane/shards/wire"
)

// ownership is what a member knows of the table, and what it has in flight. That a request is admitted and counted, and
// that a newer table is learned, each happen in one step: so what is not counted when a table was learned is decided
// by that table.
type ownership struct {
	self    string
	metrics *metrics
	// incarnation is the UID of this pod; empty where it was not told.
	incarnation string
	// superseded is true, and stays so, once a table names another pod of this name that came after this one.
	superseded atomic.Bool

	mu sync.Mutex
	// state is the newest one; its table has no partitions before the first is known.
	state table.State
	// term is the highest heard of, by the table or by a mover's word.
	term uint64
	// settled is false while what a former process passed on may be under way in the container.
	settled bool
	// changed is closed, and replaced, when any of this changes or a partition becomes idle.
	changed chan struct{}
	flights map[int]*flight
	// imported has the epoch of the last import of a partition that began.
	imported map[int]uint64
}

// flight is what is under way of a partition.
type flight struct {
	requests int
	// hooked is true while something is done to the partition as a whole.
	hooked bool
	// open are the sockets and streams, which last until they are told to leave.
	open map[leaver]struct{}
	// turns are those of the requests that can be cut.
	turns []*turn
}

type leaver interface{ leave() }

func newOwnership(self, incarnation string, m *metrics) *ownership {
	return &ownership{self: self, incarnation: incarnation, metrics: m, changed: make(chan struct{}), flights: map[int]*flight{}, imported: map[int]uint64{}}
}

// learn a state, unless a newer one is known. An empty one says that the published table was lost: the one that is known
// stays in use, and this member is who remembers it.
func (o *ownership) learn(s table.State) {
	if !o.adopt(s) {
		return
	}
	for _, s := range o.open(-1) {
		s.leave()
	}
}

// adopt a state. It reports true where this pod is superseded by it.
func (o *ownership) adopt(s table.State) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.Table.Partitions == 0 || s.Table.Epoch < o.state.Table.Epoch {
		return false
	}
	o.state = s
	superseded := slices.Index(s.Incarnations[o.self], o.incarnation) > 0
	if superseded {
		o.superseded.Store(true)
	}
	o.term = max(o.term, s.Term)
	o.metrics.epoch.Set(float64(s.Table.Epoch))
	o.metrics.serving.Set(float64(len(o.serving())))
	o.notify()
	return superseded
}

// notify needs o.mu, as all that follows and is not exported to other files does.
func (o *ownership) notify() {
	close(o.changed)
	o.changed = make(chan struct{})
}

func (o *ownership) serves(p int) bool { return o.assigned(p) && o.named() }

// assigned reports whether the pod of this name serves p, be it this one or another.
func (o *ownership) assigned(p int) bool {
	m, ok := o.state.Table.Serving(p)
	return ok && m.ID == o.self
}

func (o *ownership) serving() []int {
	out := []int{}
	for p := range o.state.Table.Owners {
		if o.serves(p) {
			out = append(out, p)
		}
	}
	return out
}

func (o *ownership) flight(p int) *flight {
	f := o.flights[p]
	if f == nil {
		f = &flight{open: map[leaver]struct{}{}}
		o.flights[p] = f
	}
	return f
}

// tidy forgets a partition of which nothing is under way, and tells those who wait for that.
func (o *ownership) tidy(p int) {
	if f := o.flights[p]; f != nil && f.requests == 0 {
		if !f.hooked {
			delete(o.flights, p)
		}
		o.notify()
	}
}

// settle says that nothing of a former process is under way any more.
func (o *ownership) settle() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.settled = true
	o.notify()
}

// known reports whether there is a table.
func (o *ownership) known() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.state.Table.Partitions > 0
}

// word is what is told to a mover.
func (o *ownership) word() wire.Word {
	o.mu.Lock()
	defer o.mu.Unlock()
	return wire.Word{Member: o.self, Settled: o.settled, Term: o.term, Table: o.state.Table.Clone(), Serving: o.serving()}
}

// until waits for ok, which is asked under the lock each time that something changes. It reports false where ctx ended first.
func (o *ownership) until(ctx context.Context, ok func() bool) bool {
	for {
		o.mu.Lock()
		done, changed := ok(), o.changed
		o.mu.Unlock()
		if done {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
}

// admit a request, whose sender had a table of the epoch. Where the member serves its partition it counts from then on. The
// epoch is that of the member's table.
//
// What it serves by its own table it serves at once, however new the sender's is: nobody else may, before this member has
// given its word. What it does not serve yet it waits for, where the sender knows more.
func (o *ownership) admit(ctx context.Context, t *turn, epoch uint64) (admitted bool, own uint64) {
	p := t.partition
	if admitted, own, sure := o.tryAdmit(t, epoch); sure {
		return admitted, own
	}
	ctx, cancel := context.WithTimeout(ctx, tableWait)
	defer cancel()
	o.until(ctx, func() bool {
		sure := o.sure(p, epoch)
		if sure {
			admitted, own = o.count(t)
		}
		return sure
	})
	if !admitted {
		o.mu.Lock()
		defer o.mu.Unlock()
		own = o.state.Table.Epoch
	}
	return admitted, own
}

// tryAdmit is admit without waiting; it is sure where there was nothing to wait for.
func (o *ownership) tryAdmit(t *turn, epoch uint64) (admitted bool, own uint64, sure bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.sure(t.partition, epoch) {
		return false, 0, false
	}
	admitted, own = o.count(t)
	return admitted, own, true
}

func (o *ownership) sure(p int, epoch uint64) bool {
	switch {
	case o.superseded.Load():
		return true
	case o.assigned(p) && !o.named():
		return false
	case o.serves(p):
		// What is done to the partition as a whole is to be over.
		return !o.hooked(p)
	}
	return o.state.Table.Epoch >= epoch
}

func (o *ownership) hooked(p int) bool { return o.flights[p] != nil && o.flights[p].hooked }

func (o *ownership) count(t *turn) (bool, uint64) {
	epoch := o.state.Table.Epoch
	if !o.serves(t.partition) {
		return false, epoch
	}
	f := o.flight(t.partition)
	f.requests++
	t.at = len(f.turns)
	f.turns = append(f.turns, t)
	return true, epoch
}

// countOff takes o.mu itself.
func (o *ownership) countOff(t *turn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.flights[t.partition]
	last := f.turns[len(f.turns)-1]
	f.turns[t.at], last.at = last, t.at
	f.turns[len(f.turns)-1] = nil
	f.turns = f.turns[:len(f.turns)-1]
	f.requests--
	o.tidy(t.partition)
}

// cut all that is under way of p, and say how much that is.
func (o *ownership) cut(p int) int {
	o.mu.Lock()
	var turns []*turn
	if f := o.flights[p]; f != nil {
		turns = append(turns, f.turns...)
	}
	o.mu.Unlock()
	n := 0
	for _, t := range turns {
		if t.leave() {
			n++
		}
	}
	o.metrics.cut.Add(float64(n))
	return n
}

// hold open a socket or stream of p, whose request is counted. It reports false where the partition is served here no longer.
func (o *ownership) hold(p int, s leaver) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.serves(p) {
		return false
	}
	o.flight(p).open[s] = struct{}{}
	return true
}

func (o *ownership) unhold(p int, s leaver) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f := o.flights[p]; f != nil {
		delete(f.open, s)
	}
}

// open sockets and streams of p, or of all partitions where p is negative.
func (o *ownership) open(p int) []leaver {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []leaver
	for q, f := range o.flights {
		if p < 0 || p == q {
			for s := range f.open {
				out = append(out, s)
			}
		}
	}
	return out
}

// drain ends all sockets and streams, and waits until nothing is in flight, or ctx ends.
func (o *ownership) drain(ctx context.Context) {
	for _, s := range o.open(-1) {
		s.leave()
	}
	o.until(ctx, func() bool {
		for _, f := range o.flights {
			if f.requests > 0 {
				return false
			}
		}
		return true
	})
}
