package ring

import (
	"errors"
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
)

// None owns a partition that nobody owns.
const None = -1

// Member owns partitions.
type Member struct {
	// ID is unique in a table, e.g. the name of a pod.
	ID string `json:"id"`
	// Weight is its share among the others' weights, 1 where it is 0.
	Weight int `json:"weight,omitempty"`
	// Zone that it fails together with; empty for none.
	Zone string `json:"zone,omitempty"`
}

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
	if partitions < 1 || partitions > MaxPartitions || partitions&(partitions-1) != 0 {
		return Table{}, fmt.Errorf("partitions are %d: use a power of two of at most %d", partitions, MaxPartitions)
	}
	owners := make([]int, partitions)
	for i := range owners {
		owners[i] = None
	}
	return Table{Partitions: partitions, Owners: owners}, nil
}

// Hash of a key: xxHash64 with the seed 0.
func Hash(key string) uint64 { return xxhash.Sum64String(key) }

// PartitionOf a key among a number of partitions, a power of two: the low bits of its hash.
func PartitionOf(key string, partitions int) int { return int(Hash(key) & uint64(partitions-1)) }

// Partition of a key.
func (t *Table) Partition(key string) int { return PartitionOf(key, t.Partitions) }

// Serving is who serves a partition now: false while it is on the way, or is nobody's.
func (t *Table) Serving(partition int) (Member, bool) {
	if _, moving := t.Moving(partition); moving {
		return Member{}, false
	}
	return t.Owner(partition)
}

// Owner of a partition, even while it is on the way from it; false where it is nobody's.
func (t *Table) Owner(partition int) (Member, bool) {
	if partition < 0 || partition >= len(t.Owners) || t.Owners[partition] == None {
		return Member{}, false
	}
	return t.Members[t.Owners[partition]], true
}

// Moving is the move that a partition is in.
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

// Validate says what is wrong with a table that was read.
func (t *Table) Validate() error {
	if _, err := New(t.Partitions); err != nil {
		return err
	}
	if len(t.Owners) != t.Partitions {
		return fmt.Errorf("owners are %d of %d partitions", len(t.Owners), t.Partitions)
	}
	for p, o := range t.Owners {
		if o < None || o >= len(t.Members) {
			return fmt.Errorf("the owner of partition %d is none of the members", p)
		}
	}
	for _, m := range t.Moves {
		if m.Partition < 0 || m.Partition >= t.Partitions {
			return errors.New("a move is of no partition")
		}
	}
	return nil
}
