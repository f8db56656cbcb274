package planeconfig

import (
	"encoding/json"
	"fmt"

	"github.com/trellis-dev/trellis/pkg/ring"
)

// RingState is what a ShardSet's mover publishes, as who only looks at it reads it.
type RingState struct {
	// Table that is served by, without partitions where none was published yet.
	Table ring.Table `json:"-"`
	// Target is what the table is to be once all moves are over.
	Target ring.Table `json:"target"`
	// History of memberships, the oldest first.
	History []RingMembership `json:"history"`
	// Dropping are partitions whose former owner has yet to forget them.
	Dropping []ring.Move `json:"dropping,omitempty"`
	// Failures are why moves were given up last, of partitions that are to move still.
	Failures []RingFailure `json:"failures,omitempty"`
}

// RingMembership says who the members were to be from an epoch of the target on.
type RingMembership = ring.Membership

// RingFailure is why a move was given up. It is tried again.
type RingFailure struct {
	ring.Move
	Reason string `json:"reason"`
}

// Published is true where there is a table.
func (s RingState) Published() bool { return s.Table.Partitions > 0 }

// ParseRing reads the data of the ConfigMap in which a table is published, and refuses a table that is not valid. Without a table the
// state is empty.
func ParseRing(data map[string]string) (RingState, error) {
	var s RingState
	if data[RingTableKey] == "" {
		return s, nil
	}
	if err := json.Unmarshal([]byte(data[RingTableKey]), &s.Table); err != nil {
		return RingState{}, fmt.Errorf("read %s: %w", RingTableKey, err)
	}
	if data[RingStateKey] != "" {
		if err := json.Unmarshal([]byte(data[RingStateKey]), &s); err != nil {
			return RingState{}, fmt.Errorf("read %s: %w", RingStateKey, err)
		}
	}
	return s, nil
}

// Holders are the IDs of all who own a partition, are to own one, or have yet to forget one.
func (s RingState) Holders() map[string]bool {
	out := map[string]bool{}
	for _, t := range []ring.Table{s.Table, s.Target} {
		for p := range t.Owners {
			if m, ok := t.Owner(p); ok {
				out[m.ID] = true
			}
		}
		for _, m := range t.Moves {
			out[m.From], out[m.To] = true, true
		}
	}
	for _, m := range s.Dropping {
		out[m.From], out[m.To] = true, true
	}
	delete(out, "")
	return out
}

// Pending are the partitions that are not yet where they are to be.
func (s RingState) Pending() int {
	if s.Target.Partitions != s.Table.Partitions {
		return 0
	}
	return len(ring.Diff(s.Table, s.Target))
}
