package member

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/shards/wire"
)

// hear the order of a mover, or of a member in the name of one. It refuses one whose mover another has taken over from.
func (o *ownership) hear(order wire.Order) *plane.Problem {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stale(order)
}

func (o *ownership) stale(order wire.Order) *plane.Problem {
	if order.Term < o.term {
		return problemStaleTerm(order.Term, o.term)
	}
	o.term = order.Term
	return nil
}

// reach waits until the member's table is as new as the order's.
func (o *ownership) reach(ctx context.Context, order wire.Order) *plane.Problem {
	if o.until(ctx, func() bool { return o.state.Table.Epoch >= order.Epoch }) {
		return nil
	}
	return problemTimeout(fmt.Sprintf("the member %s had not seen the table of epoch %d in time: its way to the API server is slow or cut", o.self, order.Epoch))
}

// fence gives the member's word: its table is at least as new as the order's, by that table it does not serve p, and
// nothing of p is under way any more. It serves p again only by a still newer table. cut is how much it ended for that.
func (o *ownership) fence(ctx context.Context, p int, order wire.Order) (cut int, problem *plane.Problem) {
	if problem := o.hear(order); problem != nil {
		return 0, problem
	}
	if problem := o.reach(ctx, order); problem != nil {
		return 0, problem
	}
	o.mu.Lock()
	serves, settled := o.serves(p), o.settled
	o.mu.Unlock()
	switch {
	case serves:
		return 0, problemNotMoving(o.self, p, "it serves the partition by a newer table")
	case !settled:
		return 0, problemUnsettled(o.self)
	}
	for _, s := range o.open(p) {
		s.leave()
	}
	if order.Insist {
		half, cancel := halfOf(ctx)
		left := o.ended(half, p)
		cancel()
		if left > 0 && ctx.Err() == nil {
			cut = o.cut(p)
		}
	}
	switch left := o.ended(ctx, p); {
	case left > 0 && order.Insist:
		return cut, problemTimeout(fmt.Sprintf("the container of %s had not ended %d requests of partition %d, though nobody listens to them any more: "+
			"have it notice that its client went, or make drainTimeout shorter than half of resharding.pauseLimit", o.self, left, p))
	case left > 0:
		return cut, problemTimeout(fmt.Sprintf("the container of %s had not ended %d requests of partition %d in time; what lasts longer than half of resharding.pauseLimit is ended at the next try", o.self, left, p))
	}
	return cut, nil
}

// ended waits until nothing is under way of p, or it is served here again. Otherwise it returns how much there is.
func (o *ownership) ended(ctx context.Context, p int) (left int) {
	o.until(ctx, func() bool {
		left = 0
		if f := o.flights[p]; f != nil && !o.serves(p) {
			left = f.requests
		}
		return left == 0
	})
	return left
}

// halfOf the time that is left of a context.
func halfOf(ctx context.Context) (context.Context, context.CancelFunc) {
	until, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(until)/2)
}

// take p for what is done to it as a whole: one such thing after the other. check says, under the lock, whether it may
// still be done. Where problem is nil, release is to be called.
func (o *ownership) take(ctx context.Context, p int, check func() *plane.Problem) (release func(), problem *plane.Problem) {
	took := o.until(ctx, func() bool {
		if problem = check(); problem != nil {
			return true
		}
		if o.hooked(p) {
			return false
		}
		o.flight(p).hooked = true
		return true
	})
	if problem != nil {
		return nil, problem
	}
	if !took {
		return nil, problemTimeout(fmt.Sprintf("something else was done to partition %d of %s all the time", p, o.self))
	}
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.flight(p).hooked = false
		o.notify()
		o.tidy(p)
	}, nil
}

// drop has the container forget p, which another member owns now, or which came here in vain.
func (m *Member) drop(ctx context.Context, p int, order wire.Order) *plane.Problem {
	if problem := m.own.hear(order); problem != nil {
		return problem
	}
	if problem := m.own.reach(ctx, order); problem != nil {
		return problem
	}
	release, problem := m.own.take(ctx, p, func() *plane.Problem {
		if problem := m.own.stale(order); problem != nil {
			return problem
		}
		return m.own.foreign(p)
	})
	if problem != nil {
		return problem
	}
	defer release()
	if err := m.hooks.drop(ctx, p, order.Epoch); err != nil {
		return problemContainer(err)
	}
	m.metrics.moved.WithLabelValues(wire.Drop).Inc()
	return nil
}

// foreign refuses where p is this member's, or on its way from or to it: its data is not to be forgotten then.
func (o *ownership) foreign(p int) *plane.Problem {
	if owner, ok := o.state.Table.Owner(p); ok && owner.ID == o.self {
		return problemNotMoving(o.self, p, "it owns the partition by its table")
	}
	if move, ok := o.state.Table.Moving(p); ok && move.To == o.self {
		return problemNotMoving(o.self, p, "the partition is on its way to it by its table")
	}
	return nil
}

func (m *Member) inTable(p int) bool {
	m.own.mu.Lock()
	defer m.own.mu.Unlock()
	n := m.own.state.Table.Partitions
	return n == 0 || p < n
}

func problemStaleTerm(got, known uint64) *plane.Problem {
	return plane.NewProblem(http.StatusConflict, "stale-mover", "Another mover has taken over",
		fmt.Sprintf("the order is of term %d, and this member has heard of term %d", got, known))
}

func problemNotMoving(self string, p int, why string) *plane.Problem {
	return plane.NewProblem(http.StatusConflict, "not-moving", "The partition is not on such a way",
		fmt.Sprintf("%s, asked about partition %d: %s", self, p, why))
}

func problemUnsettled(self string) *plane.Problem {
	return plane.NewProblem(http.StatusServiceUnavailable, "unsettled", "The member started a short while ago",
		fmt.Sprintf("%s was started a short while ago: what it passed on before that may be under way in its container", self)).After(readAgain)
}

func problemTimeout(detail string) *plane.Problem {
	return plane.NewProblem(http.StatusGatewayTimeout, "not-in-time", "It did not come about in time", detail)
}

func problemContainer(err error) *plane.Problem {
	return plane.NewProblem(http.StatusBadGateway, "container-failed", "The shard's container did not do its part", err.Error())
}
