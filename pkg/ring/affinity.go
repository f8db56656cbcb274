package ring

import (
	"cmp"
	"math"
	"slices"
)

// affinity of a partition for a member, by the hash of its ID: the finalizer of SplitMix64 (Steele, Lea, Flood 2014).
// Of two members, the one with the greater affinity is preferred.
func affinity(id uint64, partition int) uint64 {
	x := id + (uint64(partition)+1)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// cost of a partition for a member, by weighted rendezvous: the least is preferred, and a member of twice the weight is
// so twice as often.
func cost(m Member, partition int) float64 {
	u := (float64(affinity(Hash(m.ID), partition)>>11) + 0.5) / (1 << 53)
	return -math.Log(u) / float64(m.weight())
}

// together says whether two members fail together.
func together(a, b Member) bool { return a.Zone != "" && a.Zone == b.Zone }

// Successors are up to n members to try next where the owner of a partition can not be reached: for what any of them
// may do, such as the read of a copy. Each is of a zone of which neither the owner nor an earlier one is, as long as
// there is one; then come others that are not of the owner's zone, then the rest. Within that they come in the order of
// weighted rendezvous, so that the load of an owner that fails spreads over all others by weight, and a member that
// comes or goes changes nothing in the order of the rest of its zone.
func (t *Table) Successors(partition, n int) []Member {
	owner, owned := t.Owner(partition)
	type choice struct {
		Member
		cost float64
	}
	var left []choice
	for _, m := range t.Members {
		if !owned || m.ID != owner.ID {
			left = append(left, choice{m, cost(m, partition)})
		}
	}
	slices.SortFunc(left, func(a, b choice) int { return cmp.Or(cmp.Compare(a.cost, b.cost), cmp.Compare(a.ID, b.ID)) })
	out := make([]Member, 0, max(0, min(n, len(left))))
	for len(out) < cap(out) {
		best := slices.IndexFunc(left, func(c choice) bool {
			return !together(c.Member, owner) && !slices.ContainsFunc(out, func(m Member) bool { return together(c.Member, m) })
		})
		if best < 0 {
			best = max(0, slices.IndexFunc(left, func(c choice) bool { return !together(c.Member, owner) }))
		}
		out = append(out, left[best].Member)
		left = slices.Delete(left, best, best+1)
	}
	return out
}

// Bounded chooses a member for a partition where each of them may do what is asked: the owner or, where that is busy,
// the one next in the order of weighted rendezvous that is not (consistent hashing with bounded loads; Mirrokni, Thorup,
// Zadimoghaddam 2016). loads are what each member has in hand, in the order of Members; one is busy that would have more
// than 1+slack times its share by weight of all that is in hand and the new one, rounded up. Someone never is. It
// returns the index of the member; false where there are no members, or loads are not one a member.
func (t *Table) Bounded(partition int, loads []int, slack float64) (int, bool) {
	if len(t.Members) == 0 || len(loads) != len(t.Members) {
		return None, false
	}
	total, weights := 1, 0
	for i, m := range t.Members {
		total += max(loads[i], 0)
		weights += m.weight()
	}
	each := (1 + max(slack, 0)) * float64(total) / float64(weights)
	busy := func(i int) bool { return float64(loads[i]+1) > math.Ceil(each*float64(t.Members[i].weight())) }
	if uint(partition) < uint(len(t.Owners)) && t.Owners[partition] != None && !busy(t.Owners[partition]) {
		return t.Owners[partition], true
	}
	best, least := None, math.Inf(1)
	for i, m := range t.Members {
		if busy(i) {
			continue
		}
		if c := cost(m, partition); c < least {
			best, least = i, c
		}
	}
	return best, best != None
}
