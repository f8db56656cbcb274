package ring

import (
	"errors"
	"fmt"
)

// Validate says what is wrong with a table that was read.
func (t *Table) Validate() error {
	if err := checkPartitions(t.Partitions); err != nil {
		return err
	}
	if len(t.Owners) != t.Partitions {
		return fmt.Errorf("owners are %d of %d partitions", len(t.Owners), t.Partitions)
	}
	if err := checkMembers(t.Members); err != nil {
		return err
	}
	for p, o := range t.Owners {
		if o < None || o >= len(t.Members) {
			return fmt.Errorf("the owner of partition %d is none of the members", p)
		}
	}
	return t.checkMoves()
}

func checkMembers(members []Member) error {
	if len(members) > MaxMembers {
		return fmt.Errorf("members are %d: use at most %d", len(members), MaxMembers)
	}
	for i, m := range members {
		switch {
		case m.ID == "":
			return fmt.Errorf("member %d has no ID", i)
		case len(m.ID) > MaxNameBytes || len(m.Zone) > MaxNameBytes:
			return fmt.Errorf("the ID or the zone of member %d is longer than %d bytes", i, MaxNameBytes)
		case m.Weight < 0 || m.Weight > MaxWeight:
			return fmt.Errorf("the weight of member %q is %d: use 1 to %d", m.ID, m.Weight, MaxWeight)
		case i > 0 && members[i-1].ID >= m.ID:
			return fmt.Errorf("member %q is there twice, or not in the order of the IDs", m.ID)
		}
	}
	return nil
}

func (t *Table) checkMoves() error {
	if len(t.Moves) > t.Partitions {
		return errors.New("there are more moves than partitions")
	}
	moving := make(map[int]bool, len(t.Moves))
	for _, m := range t.Moves {
		switch {
		case m.Partition < 0 || m.Partition >= t.Partitions:
			return fmt.Errorf("a move is of partition %d of %d", m.Partition, t.Partitions)
		case moving[m.Partition]:
			return fmt.Errorf("partition %d moves twice", m.Partition)
		case len(m.From) > MaxNameBytes || len(m.To) > MaxNameBytes:
			return fmt.Errorf("partition %d moves from or to a name that is longer than %d bytes", m.Partition, MaxNameBytes)
		}
		moving[m.Partition] = true
	}
	return nil
}
