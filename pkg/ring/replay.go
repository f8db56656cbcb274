package ring

import (
	"fmt"
	"slices"
)

// Membership says who the members were from an epoch on.
type Membership struct {
	Epoch   uint64   `json:"epoch"`
	Members []Member `json:"members"`
}

// Replay makes a table from the history of its memberships alone, the oldest first: what Rebalance led to each time, with
// the epoch of the last. It fails where the epochs do not grow.
func Replay(partitions int, history []Membership) (Table, error) {
	t, err := New(partitions)
	if err != nil {
		return Table{}, err
	}
	return ReplayFrom(t, history)
}

// ReplayFrom is Replay for a history whose beginning is left out: t is the table that led to, with the epoch of its last
// membership.
func ReplayFrom(t Table, history []Membership) (Table, error) {
	for i, m := range history {
		if m.Epoch <= t.Epoch {
			return Table{}, fmt.Errorf("membership %d has the epoch %d, after %d: put the history in the order of its epochs", i, m.Epoch, t.Epoch)
		}
		t = Rebalance(t, m.Members)
		t.Epoch = m.Epoch
	}
	return t, nil
}

// Pin is t with some partitions owned by who is asked to, whatever the balance: by partition, the member's ID. Those of
// an ID that is no member stay as they are. The next Rebalance is to be of the table without pins, so that the history
// tells of it, and what is no longer pinned goes back.
func Pin(t Table, pins map[int]string) Table {
	out := t.Clone()
	for p, id := range pins {
		i := slices.IndexFunc(out.Members, func(m Member) bool { return m.ID == id })
		if i >= 0 && p >= 0 && p < len(out.Owners) {
			out.Owners[p] = i
		}
	}
	return out
}
