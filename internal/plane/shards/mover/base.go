package mover

import (
	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// base is the target without pins, as the history of memberships leads to it. Where its beginning is not known any more,
// it is the target as it is.
func (d *decision) base() ring.Table {
	return d.bases.of(d.state)
}

// bases remembers the last one.
type bases struct {
	history []table.Membership
	table   ring.Table
}

func (b *bases) of(s table.State) ring.Table {
	from, known := beginning(s)
	if !known {
		return s.Target
	}
	if n := len(s.History); n > 0 && len(b.history) == n && b.history[n-1].Epoch == s.History[n-1].Epoch {
		return b.table
	}
	t, err := ring.ReplayFrom(from, s.History)
	if err != nil {
		return s.Target
	}
	b.history, b.table = s.History, t
	return t
}

// beginning is what the history goes on from; false where it is not known.
func beginning(s table.State) (ring.Table, bool) {
	if s.Base.Partitions > 0 {
		return s.Base, true
	}
	if len(s.History) == 0 || s.History[0].Epoch != 1 {
		return ring.Table{}, false
	}
	t, err := ring.New(s.Target.Partitions)
	return t, err == nil
}

// shortened are the base and the history of a state with no more memberships than are published: what the oldest ones led to
// is the base of those that are left.
func shortened(s table.State) (ring.Table, []table.Membership) {
	drop := max(0, len(s.History)-table.MaxHistory)
	from, known := beginning(s)
	if drop == 0 || !known {
		return s.Base, s.History[drop:]
	}
	t, err := ring.ReplayFrom(from, s.History[:drop])
	if err != nil {
		return ring.Table{}, s.History[drop:]
	}
	return t, s.History[drop:]
}
