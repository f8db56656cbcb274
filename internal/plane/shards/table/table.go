// Package table is the published table of a ShardSet: what routers and members follow, and the one mover changes. It
// imports pkg/ring, and the API server's client in a package below it.
package table

import (
	"context"
	"errors"

	"github.com/trellis-dev/trellis/pkg/ring"
)

// ErrConflict says that the state was changed since it was read: read it again.
var ErrConflict = errors.New("the table was changed meanwhile")

// State is all that is published.
type State struct {
	// Table that is served by.
	Table ring.Table
	// Target owns what it is to, once all moves are over.
	Target ring.Table
	// Base is the table that the memberships led to which are no longer in History; without partitions where all are there, or
	// where it is not known.
	Base ring.Table
	// History of memberships, the oldest first, MaxHistory at most: with Base before them, they lead to Target without its pins.
	History []Membership
	// Dropping are partitions whose former owner has yet to forget them.
	Dropping []ring.Move
	// Failures are why moves were given up last, of the partitions that are to move still; MaxFailures at most.
	Failures []Failure
	// Incarnations are the pods that have had each member's name, the newest first; MaxIncarnations at most. The first one
	// alone may serve what is the member's.
	Incarnations map[string][]string
	// Term grows by each mover that takes over; a member refuses one of an older term.
	Term uint64
}

// MaxHistory is how many memberships are published. Those of the largest ShardSet and three tables take two thirds of what a
// ConfigMap holds.
const MaxHistory = 64

// MaxIncarnations is how many pods of each name are remembered: those that may run still.
const MaxIncarnations = 4

// MaxFailures is how many of them are published.
const MaxFailures = 8

// Failure of a move. It is tried again.
type Failure struct {
	ring.Move
	// Reason in words, for the one who runs the ShardSet.
	Reason string `json:"reason"`
}

// Membership says who the members were to be from an epoch of the target on.
type Membership = ring.Membership

// Version of a State as the store has it; its text means nothing else.
type Version string

// Store publishes a State. All that is read was written, and what is written is durable before Write returns.
type Store interface {
	// Read what was written last, by whomever. A State that was never written has a Table without partitions.
	Read(ctx context.Context) (State, Version, error)
	// Write s in the place of what had the version; ErrConflict where that is not the last one.
	Write(ctx context.Context, s State, version Version) (Version, error)
	// Watch calls seen with what there is, then with each later State, or with the last of several, until ctx ends.
	Watch(ctx context.Context, seen func(State)) error
}

// Member is where a member of the table is reached.
type Member struct {
	// Address as host:port.
	Address string
	// Incarnation is another one for each pod of the same name.
	Incarnation string
	// Ready is true where its pod is.
	Ready bool
}

// Members finds the members by their IDs.
type Members interface {
	// Member is false where there is no pod of it.
	Member(id string) (Member, bool)
}
