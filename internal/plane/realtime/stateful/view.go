package stateful

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/trellis-dev/trellis/pkg/ring"
)

// Peer is a replica as others reach it.
type Peer struct {
	// Address is host:port of what it serves to its peers.
	Address string `json:"address"`
	// Replica is its name for people.
	Replica string `json:"replica"`
}

// state is what the engine holds of the table.
type state struct {
	// ID is made anew each time that the table is made from nothing.
	ID    string     `json:"id"`
	Table ring.Table `json:"table"`
	// Fences are by partition the epochs from which on its owner owns it.
	Fences []uint64 `json:"fences"`
	// Peers are by the members' IDs.
	Peers map[string]Peer `json:"peers"`
}

// view is the table as one knows it. It does not change.
type view struct {
	state
	// token stands for the whole of the table; empty where the engine has none.
	token string
}

func newView(partitions int) (*view, error) {
	table, err := ring.New(partitions)
	if err != nil {
		return nil, err
	}
	return &view{state: state{Table: table, Fences: make([]uint64, partitions)}}, nil
}

// parseView reads what the engine has. It must be of as many partitions as are configured.
func parseView(token, text string, partitions int) (*view, error) {
	v := &view{token: token}
	if err := json.Unmarshal([]byte(text), &v.state); err != nil {
		return nil, fmt.Errorf("read the table: %w", err)
	}
	if err := v.Table.Validate(); err != nil {
		return nil, fmt.Errorf("read the table: %w", err)
	}
	if v.Table.Partitions != partitions || len(v.Fences) != partitions {
		return nil, fmt.Errorf("the table in the engine has %d partitions, and %d are configured", v.Table.Partitions, partitions)
	}
	return v, nil
}

// ownership is who owns a room.
type ownership struct {
	partition int
	// member is empty while nobody owns it.
	member string
	peer   Peer
	// fence is what the engine wants to hear from the owner.
	fence string
}

func (v *view) owner(room string) ownership {
	o := ownership{partition: v.Table.Partition(room)}
	if m, ok := v.Table.Owner(o.partition); ok && v.token != "" {
		o.member, o.peer, o.fence = m.ID, v.Peers[m.ID], v.fence(o.partition)
	}
	return o
}

// fence of a partition. The table's ID is a part of it, as epochs begin anew with a new one.
func (v *view) fence(partition int) string {
	return v.ID + ":" + strconv.FormatUint(v.Fences[partition], 10)
}

// has reports whether a member owns anything, or would if there were enough partitions.
func (v *view) has(member string) bool {
	for _, m := range v.Table.Members {
		if m.ID == member {
			return v.token != ""
		}
	}
	return false
}

// next is the table with other members, and the partitions that change hands.
func (v *view) next(members []string, peers map[string]Peer, newID func() string) (n *view, moved []int) {
	list := make([]ring.Member, len(members))
	out := &view{state: state{ID: v.ID, Peers: map[string]Peer{}}}
	for i, id := range members {
		list[i], out.Peers[id] = ring.Member{ID: id}, peers[id]
	}
	out.Table = ring.Rebalance(v.Table, list)
	out.Fences = append([]uint64(nil), v.Fences...)
	if v.token == "" {
		out.ID = newID()
	}
	for p := range out.Fences {
		before, _ := v.Table.Owner(p)
		if now, _ := out.Table.Owner(p); v.token == "" || now.ID != before.ID {
			out.Fences[p] = out.Table.Epoch
			moved = append(moved, p)
		}
	}
	out.token = out.ID + ":" + strconv.FormatUint(out.Table.Epoch, 10)
	return out, moved
}

// moved reports by partition whether it has another owner than it had.
func (v *view) moved(before *view, partition int) bool {
	return v.token == "" || before.token == "" || v.fence(partition) != before.fence(partition)
}
