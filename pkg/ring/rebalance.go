package ring

import (
	"cmp"
	"slices"
)

// Rebalance is t with members instead of its own. Each gets its share by weight, rounded down or up; as few partitions
// move as that takes, and none between two that stay: see docs/ring.md for when an exchange between them is needed. What
// moves goes to the zone that it was in where one has room there. Its epoch is one more than t's. It ignores and drops t's
// moves. The order of members means nothing; of two with the same ID one is taken.
func Rebalance(t Table, members []Member) Table {
	b := newBalance(t, members)
	if len(b.seats) > 0 {
		b.share()
		b.spare()
		b.deal()
	}
	return b.out
}

// seat of a member at the table.
type seat struct {
	hash uint64 // of its ID
	// stays is true where it had a seat before, reweighted where that was of another weight.
	stays, reweighted bool
	// bereft is true where another one of its zone left partitions.
	bereft bool
	// held are its partitions, share those that it is to have.
	held, share int
	// floor is the quotient of the partitions by weight, and rest its remainder.
	floor, rest int
}

// most is the share rounded up.
func (s *seat) most() int { return s.floor + min(s.rest, 1) }

type balance struct {
	before Table
	out    Table
	seats  []seat // of out.Members
	even   bool   // before, each had its share or was one off
}

func newBalance(t Table, members []Member) *balance {
	b := &balance{before: t, out: Table{Epoch: t.Epoch + 1, Partitions: t.Partitions, Members: ordered(members), Owners: make([]int, len(t.Owners))}}
	b.seats = make([]seat, len(b.out.Members))
	index := make(map[string]int, len(b.seats))
	for i, m := range b.out.Members {
		b.seats[i].hash = Hash(m.ID)
		index[m.ID] = i
	}
	now := make([]int, len(t.Members))
	for o, m := range t.Members {
		i, stays := index[m.ID]
		if !stays {
			now[o] = None
			continue
		}
		now[o], b.seats[i].stays, b.seats[i].reweighted = i, true, b.out.Members[i].weight() != m.weight()
	}
	left := map[string]bool{}
	before := make([]seat, len(t.Members))
	for p, o := range t.Owners {
		b.out.Owners[p] = None
		if o == None {
			continue
		}
		before[o].held++
		if b.out.Owners[p] = now[o]; now[o] == None {
			left[t.Members[o].Zone] = true
		} else {
			b.seats[now[o]].held++
		}
	}
	for i, m := range b.out.Members {
		b.seats[i].bereft = m.Zone != "" && left[m.Zone]
	}
	quotas(before, t.Members, t.Partitions)
	b.even = !slices.ContainsFunc(before, func(s seat) bool { return s.held < s.floor-1 || s.held > s.most()+1 })
	return b
}

// ordered by ID, each once; which one of several is no matter of their order.
func ordered(members []Member) []Member {
	out := slices.Clone(members)
	slices.SortFunc(out, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.weight(), b.weight()), cmp.Compare(a.Weight, b.Weight), cmp.Compare(a.Zone, b.Zone))
	})
	return slices.CompactFunc(out, func(a, b Member) bool { return a.ID == b.ID })
}

// quotas sets floor and rest of each, and returns the partitions that rounding down leaves.
func quotas(seats []seat, members []Member, partitions int) int {
	total := 0
	for _, m := range members {
		total += m.weight()
	}
	left := partitions
	for i, m := range members {
		seats[i].floor, seats[i].rest = partitions*m.weight()/total, partitions*m.weight()%total
		left -= seats[i].floor
	}
	return left
}

// share gives each the quotient by weight, and one more to some of those with a remainder: first to who has it already,
// which spares a move; then to who is new, which spares a move between others; then to the zones of who left.
func (b *balance) share() {
	left := quotas(b.seats, b.out.Members, b.out.Partitions)
	var order []int
	for i := range b.seats {
		b.seats[i].share = b.seats[i].floor
		if b.seats[i].rest > 0 {
			order = append(order, i)
		}
	}
	rank := func(s *seat) int {
		switch {
		case s.held > s.floor:
			return 0
		case !s.stays:
			return 1
		case s.bereft:
			return 2
		}
		return 3
	}
	slices.SortStableFunc(order, func(i, j int) int {
		x, y := &b.seats[i], &b.seats[j]
		return cmp.Or(cmp.Compare(rank(x), rank(y)), cmp.Compare(y.rest, x.rest))
	})
	for _, i := range order[:left] {
		b.seats[i].share++
	}
}

// spare spares exchanges between those that stay: one keeps a partition more than its share rounded up, another goes
// without. Only members of different weights can need that, and only by one partition, and not where t was worse before.
func (b *balance) spare() {
	exchanges := 0
	for i := range b.seats {
		switch s := &b.seats[i]; {
		case s.reweighted || !b.even:
			return
		case s.stays:
			exchanges += max(0, s.held-s.share)
		default:
			exchanges -= s.share
		}
	}
	for ; exchanges > 0; exchanges-- {
		giver := b.best(func(s *seat) bool { return s.stays && s.held > s.share && s.share <= s.most() }, 1)
		taker := b.best(func(s *seat) bool { return s.stays && s.held < s.share && s.share >= s.floor }, -1)
		if giver == None || taker == None {
			return
		}
		b.seats[giver].share++
		b.seats[taker].share--
	}
}

// best of some is who has the least (sign 1) or the most (-1) for its weight.
func (b *balance) best(of func(*seat) bool, sign int) int {
	best := None
	for i := range b.seats {
		if !of(&b.seats[i]) {
			continue
		}
		if best == None || sign*(b.seats[i].share*b.out.Members[best].weight()-b.seats[best].share*b.out.Members[i].weight()) < 0 {
			best = i
		}
	}
	return best
}

// Diff are the moves that lead from the owners of a to those of b, in the order of the partitions. A partition that was
// nobody's moves from "".
func Diff(a, b Table) []Move {
	var out []Move
	for p := range b.Owners {
		from, _ := a.Owner(p)
		if to, ok := b.Owner(p); ok && to.ID != from.ID {
			out = append(out, Move{Partition: p, From: from.ID, To: to.ID})
		}
	}
	return out
}
