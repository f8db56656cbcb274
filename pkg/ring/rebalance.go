package ring

import (
	"cmp"
	"slices"
)

// Rebalance is t with members instead of its own: the fewest partitions move that keep each member within its share,
// none of them between two that stay unless their weights changed. Its epoch is one more than t's. It ignores and drops
// t's moves.
func Rebalance(t Table, members []Member) Table {
	out := t.Clone()
	out.Epoch++
	out.Moves = nil
	out.Members = slices.Clone(members)
	slices.SortFunc(out.Members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	index := map[string]int{}
	for i, m := range out.Members {
		index[m.ID] = i
	}
	held := make([]int, len(out.Members))
	for p, o := range t.Owners {
		out.Owners[p] = None
		if o == None {
			continue
		}
		if i, stays := index[t.Members[o].ID]; stays {
			out.Owners[p] = i
			held[i]++
		}
	}
	if len(out.Members) == 0 {
		return out
	}
	share := shares(out.Members, held, t.Partitions)
	for p, o := range out.Owners {
		if o != None && held[o] > share[o] {
			out.Owners[p] = None
			held[o]--
		}
	}
	next := 0
	for p, o := range out.Owners {
		if o != None {
			continue
		}
		for held[next] >= share[next] {
			next++
		}
		out.Owners[p] = next
		held[next]++
	}
	return out
}

// shares of the partitions by weight; what is left after rounding down goes to those who hold the most already.
func shares(members []Member, held []int, partitions int) []int {
	total := 0
	for _, m := range members {
		total += max(m.Weight, 1)
	}
	out, left := make([]int, len(members)), partitions
	for i, m := range members {
		out[i] = partitions * max(m.Weight, 1) / total
		left -= out[i]
	}
	order := make([]int, len(members))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(held[b]-out[b], held[a]-out[a]) })
	for _, i := range order[:left] {
		out[i]++
	}
	return out
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
