package ring

import (
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Bounds of a table.
const (
	// DefaultPartitions of a table.
	DefaultPartitions = 1024
	// MaxPartitions of a table.
	MaxPartitions = 1 << 14
	// MaxMembers of a table.
	MaxMembers = 1000
	// MaxWeight of a member. A greater one counts as this one.
	MaxWeight = 1 << 20
	// MaxNameBytes of a member's ID and of its zone: a name in DNS is not longer.
	MaxNameBytes = 253
)

// None owns a partition that nobody owns.
const None = -1

// Member owns partitions.
type Member struct {
	// ID is unique in a table, e.g. the name of a pod.
	ID string `json:"id"`
	// Weight is its share among the others' weights, 1 where it is 0.
	Weight int `json:"weight,omitempty"`
	// Zone that it fails together with; empty for none, which is no other's either.
	Zone string `json:"zone,omitempty"`
}

// weight is what the member's Weight counts as.
func (m Member) weight() int { return min(max(m.Weight, 1), MaxWeight) }

// Table says who owns which partition. It is a value: what changes it returns another one.
type Table struct {
	// Epoch grows by each change.
	Epoch uint64 `json:"epoch"`
	// Partitions is their number, a power of two.
	Partitions int `json:"partitions"`
	// Members in the order of their IDs.
	Members []Member `json:"members"`
	// Owners has for each partition the index of its member, or None.
	Owners []int `json:"owners"`
	// Moves are the partitions that nobody serves now, because they are on the way to another member. Until a move is
	// over, Owners has the member that it leaves.
	Moves []Move `json:"moves,omitempty"`
}

// Move of a partition from one member to another.
type Move struct {
	Partition int    `json:"partition"`
	From      string `json:"from"`
	To        string `json:"to"`
}

// New is a table of nobody. It fails where partitions is no power of two, or out of bounds.
func New(partitions int) (Table, error) {
	if err := checkPartitions(partitions); err != nil {
		return Table{}, err
	}
	owners := make([]int, partitions)
	for i := range owners {
		owners[i] = None
	}
	return Table{Partitions: partitions, Owners: owners}, nil
}

func checkPartitions(n int) error {
	if n < 1 || n > MaxPartitions || n&(n-1) != 0 {
		return fmt.Errorf("partitions are %d: use a power of two of at most %d", n, MaxPartitions)
	}
	return nil
}

// Hash of a key: xxHash64 with the seed 0.
func Hash(key string) uint64 { return xxhash.Sum64String(key) }

// PartitionOf a key among a number of partitions, a power of two: the low bits of its hash.
func PartitionOf(key string, partitions int) int { return int(Hash(key) & uint64(partitions-1)) }

// Partition of a key.
func (t *Table) Partition(key string) int { return PartitionOf(key, t.Partitions) }

// Serving is who serves a partition now: false while it is on the way, or is nobody's.
func (t *Table) Serving(partition int) (Member, bool) {
	if len(t.Moves) > 0 {
		if _, moving := t.Moving(partition); moving {
			return Member{}, false
		}
	}
	return t.Owner(partition)
}

// Owner of a partition, even while it is on the way from it; false where it is nobody's.
func (t *Table) Owner(partition int) (Member, bool) {
	if uint(partition) >= uint(len(t.Owners)) || t.Owners[partition] == None {
		return Member{}, false
	}
	return t.Members[t.Owners[partition]], true
}

// Moving is the move that a partition is in. It looks at each of the table's moves, of which there are few.
func (t *Table) Moving(partition int) (Move, bool) {
	for _, m := range t.Moves {
		if m.Partition == partition {
			return m, true
		}
	}
	return Move{}, false
}

// Clone shares nothing with t.
func (t *Table) Clone() Table {
	out := *t
	out.Members, out.Owners, out.Moves = slices.Clone(t.Members), slices.Clone(t.Owners), slices.Clone(t.Moves)
	return out
}
