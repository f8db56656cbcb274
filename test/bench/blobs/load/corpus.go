package load

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
)

// Corpus is what a store and a ledger are filled with. The same one is always made of the same items.
type Corpus struct {
	// Objects of the store, and as many files of the ledger.
	Objects int
	// Owners have as many objects each, but for the last one, and PerDay of them a day from firstDay on.
	Owners, PerDay int
	// OrphanEvery says that of so many objects one is not in the ledger. For each there is a pending file that has no object.
	OrphanEvery int
}

// Item is an object, a file of the ledger, or both.
type Item struct {
	ID         uuid.UUID
	Key, Owner string
	At         time.Time
	// Stored items are objects, and Known ones are in the ledger.
	Stored, Known bool
}

// firstDay is long before any grace.
var firstDay = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// Prefix that all keys of an owner begin with, and only theirs.
func (c Corpus) Prefix(owner int) string { return fmt.Sprintf("in/%s/", ownerOf(owner)) }

func ownerOf(n int) string { return fmt.Sprintf("owner-%03d", n) }

// Items in the order of the bytes of their keys, which are those of the template in/${owner}/${date}/${id}${ext}.
func (c Corpus) Items() iter.Seq[Item] {
	return func(yield func(Item) bool) {
		random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // names that are the same in every run
		for i := range c.Objects {
			orphan := i%c.OrphanEvery == c.OrphanEvery-1
			if !yield(c.item(random, i, 0, true, !orphan)) {
				return
			}
			if orphan && !yield(c.item(random, i, 1, false, true)) {
				return
			}
		}
	}
}

// item i, or what comes right after it.
func (c Corpus) item(random *rand.Rand, i, after int, stored, known bool) Item {
	each := (c.Objects + c.Owners - 1) / c.Owners
	owner, n := ownerOf(i/each), i%each
	// Two milliseconds or more lie between two items, so that their ids are in order.
	step := 24 * time.Hour / time.Duration(c.PerDay)
	at := firstDay.AddDate(0, 0, n/c.PerDay).Add(time.Duration(n%c.PerDay)*step + time.Duration(after)*time.Millisecond).Truncate(time.Millisecond)
	id := newID(random, at)
	return Item{
		ID: id, Owner: owner, At: at, Stored: stored, Known: known,
		Key: fmt.Sprintf("in/%s/%s/%s.bin", owner, at.Format("2006/01/02"), id),
	}
}

// newID is a UUIDv7 of a time.
func newID(random *rand.Rand, at time.Time) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:8], uint64(at.UnixMilli())<<16|random.Uint64()&0xfff|0x7000) //nolint:gosec // not before 1970
	binary.BigEndian.PutUint64(id[8:], random.Uint64()>>2|1<<63)
	return id
}

// Orphans are the objects that are not in the ledger.
func (c Corpus) Orphans() int { return c.Objects / c.OrphanEvery }
