package ring

import (
	"errors"
	"fmt"
	"slices"
)

// Strategy of a Placement.
type Strategy string

// Strategies.
const (
	// ByHash has the hash of a key say its partition. It spreads keys evenly, and keeps no order.
	ByHash Strategy = "Hash"
	// ByRange has the order of keys, of their bytes, say it: keys beside each other are together.
	ByRange Strategy = "Range"
	// ByDirectory has a list of keys say it.
	ByDirectory Strategy = "Directory"
)

// Fallback says what is done with a key that is not in a directory.
type Fallback string

// Fallbacks.
const (
	// FallbackHash has its hash say the partition.
	FallbackHash Fallback = "Hash"
	// FallbackRefuse refuses it.
	FallbackRefuse Fallback = "Refuse"
)

// ErrRefused says that a key is not in the directory, which refuses others.
var ErrRefused = errors.New("the key is not in the directory")

// Placement says which partition a key is of. The zero value but for Partitions goes by the hash.
type Placement struct {
	// Strategy is ByHash where it is empty.
	Strategy Strategy `json:"strategy"`
	// Partitions of the table.
	Partitions int `json:"partitions"`
	// Splits are the keys at which ranges begin, in order: partition i has the keys from Splits[i-1] up to Splits[i], the
	// first those before Splits[0], the one after the last split all from there. Partitions beyond have no key. For
	// ByRange.
	Splits []string `json:"splits,omitempty"`
	// Directory has the partitions of keys, and Fallback says what becomes of others. For ByDirectory.
	Directory map[string]int `json:"directory,omitempty"`
	Fallback  Fallback       `json:"fallback,omitempty"`
}

// Validate says what to change in a placement that would not work.
func (p *Placement) Validate() error {
	if err := checkPartitions(p.Partitions); err != nil {
		return err
	}
	switch p.Strategy {
	case "", ByHash:
		return nil
	case ByRange:
		return p.validateSplits()
	case ByDirectory:
		return p.validateDirectory()
	}
	return fmt.Errorf("the strategy is %q: use %s, %s or %s", p.Strategy, ByHash, ByRange, ByDirectory)
}

func (p *Placement) validateSplits() error {
	if len(p.Splits) >= p.Partitions {
		return fmt.Errorf("there are %d splits for %d partitions: use at most %d splits", len(p.Splits), p.Partitions, p.Partitions-1)
	}
	for i := 1; i < len(p.Splits); i++ {
		if p.Splits[i-1] >= p.Splits[i] {
			return fmt.Errorf("split %d, %q, is not after the one before: put the splits in the order of their bytes, each once", i, p.Splits[i])
		}
	}
	return nil
}

func (p *Placement) validateDirectory() error {
	if p.Fallback != "" && p.Fallback != FallbackHash && p.Fallback != FallbackRefuse {
		return fmt.Errorf("the fallback is %q: use %s or %s", p.Fallback, FallbackHash, FallbackRefuse)
	}
	for key, partition := range p.Directory {
		if partition < 0 || partition >= p.Partitions {
			return fmt.Errorf("the directory has the key %q in partition %d: use 0 to %d", key, partition, p.Partitions-1)
		}
	}
	return nil
}

// Partition of a key. It fails, with ErrRefused, for a key that a directory refuses.
func (p *Placement) Partition(key string) (int, error) {
	switch p.Strategy {
	case ByRange:
		i, found := slices.BinarySearch(p.Splits, key)
		if found {
			i++
		}
		return i, nil
	case ByDirectory:
		if partition, ok := p.Directory[key]; ok {
			return partition, nil
		}
		if p.Fallback == FallbackRefuse {
			return 0, ErrRefused
		}
	}
	return PartitionOf(key, p.Partitions), nil
}
