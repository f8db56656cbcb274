package ring

import (
	"cmp"
	"slices"
)

// deal takes from each what it has above its share, and gives that and what is nobody's to those below theirs.
func (b *balance) deal() {
	orphans := b.loose()
	given := b.excess()
	// What one gives that stays goes to new ones as long as they have room, so that nothing is exchanged between those
	// that stay; and all to the zone it was in, as long as that has room.
	given = b.place(given, func(s *seat, near bool) bool { return !s.stays && near })
	given = b.place(given, func(s *seat, _ bool) bool { return !s.stays })
	rest := slices.Concat(given, orphans)
	rest = b.place(rest, func(_ *seat, near bool) bool { return near })
	b.place(rest, func(*seat, bool) bool { return true })
}

// loose are the partitions that are nobody's.
func (b *balance) loose() []int {
	var out []int
	for p, o := range b.out.Owners {
		if o == None {
			out = append(out, p)
		}
	}
	return out
}

// excess takes partitions from those that have more than their share: those of the least affinity.
func (b *balance) excess() []int {
	held := make([][]int, len(b.seats))
	for p, o := range b.out.Owners {
		if o != None && b.seats[o].held > b.seats[o].share {
			held[o] = append(held[o], p)
		}
	}
	var out []int
	for i, partitions := range held {
		s := &b.seats[i]
		slices.SortFunc(partitions, func(p, q int) int { return cmp.Compare(affinity(s.hash, p), affinity(s.hash, q)) })
		for _, p := range partitions[:max(0, s.held-s.share)] {
			b.out.Owners[p] = None
			s.held--
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// place gives each partition to the one, of those that may take it, that lacks the most for its share and, of several,
// for which it has the greatest affinity. It returns what nobody took.
func (b *balance) place(partitions []int, may func(s *seat, near bool) bool) []int {
	var rest []int
	for _, p := range partitions {
		zone, best := "", None
		if o := b.before.Owners[p]; o != None {
			zone = b.before.Members[o].Zone
		}
		for i := range b.seats {
			s := &b.seats[i]
			if s.held >= s.share || !may(s, zone != "" && zone == b.out.Members[i].Zone) {
				continue
			}
			if best == None || b.prefers(p, s, &b.seats[best]) {
				best = i
			}
		}
		if best == None {
			rest = append(rest, p)
			continue
		}
		b.out.Owners[p] = best
		b.seats[best].held++
	}
	return rest
}

func (b *balance) prefers(partition int, s, than *seat) bool {
	lacks, other := (s.share-s.held)*than.share, (than.share-than.held)*s.share
	if lacks != other {
		return lacks > other
	}
	return affinity(s.hash, partition) > affinity(than.hash, partition)
}
