// Package history judges what a client of a room received: nothing lost,
// nothing twice, in order, and every gap announced. It is a model over recorded
// events: pure, with no network and no clock. It imports the standard library only.
package history

import (
	"fmt"
	"strconv"
	"strings"
)

// Position is a place in a room's order. To clients of the contract its token is
// opaque; the model takes it apart to know which messages lie between two.
type Position struct {
	Epoch  string
	Offset uint64
}

// ParsePosition reads a token of the contract, epoch:offset.
func ParsePosition(token string) (Position, error) {
	epoch, offset, ok := strings.Cut(token, ":")
	n, err := strconv.ParseUint(offset, 10, 64)
	if !ok || epoch == "" || err != nil {
		return Position{}, fmt.Errorf("%q is no position", token)
	}
	return Position{Epoch: epoch, Offset: n}, nil
}

// String is the token.
func (p Position) String() string { return fmt.Sprintf("%s:%d", p.Epoch, p.Offset) }

// Kind of an event.
type Kind int

const (
	// Message was received.
	Message Kind = iota
	// Gap was announced.
	Gap
)

// Event is one thing that a client received.
type Event struct {
	Kind Kind
	// At is the place of a message, or the place after which a gap lets it go on.
	At Position
	// Since is the position that a gap speaks of.
	Since Position
	// ID is what the publisher called the message.
	ID string
	// Reason of a gap.
	Reason string
}

// History is what one client received, in the order in which it did.
type History struct {
	// From is the offset after which the client asked to begin.
	From   uint64
	Events []Event
}

// Acknowledged is a message that the gateway said it had stored, and where.
type Acknowledged struct {
	ID string
	At Position
}

// Ledger is what a room's publishers did.
type Ledger struct {
	Acknowledged []Acknowledged
	// Unknown messages were sent and neither acknowledged nor refused: they may have been stored.
	Unknown []string
}

// Join adds up what several publishers did.
func Join(ledgers ...Ledger) Ledger {
	var out Ledger
	for _, l := range ledgers {
		out.Acknowledged = append(out.Acknowledged, l.Acknowledged...)
		out.Unknown = append(out.Unknown, l.Unknown...)
	}
	return out
}

// Fault is a way in which a history breaks the contract.
type Fault string

const (
	// Lost was acknowledged and not received, and no gap was announced there.
	Lost Fault = "lost"
	// Duplicate was received twice, or stored twice under one idempotency key.
	Duplicate Fault = "duplicate"
	// Reordered was received after a later one.
	Reordered Fault = "reordered"
	// Unannounced is a hole that nothing was said about.
	Unannounced Fault = "unannounced gap"
	// Disagreement is another message at a place than was acknowledged or others saw.
	Disagreement Fault = "disagreement"
	// Invented was never sent.
	Invented Fault = "invented"
)

// Violation is one broken promise.
type Violation struct {
	Fault  Fault
	Detail string
}

// String is for the output of tests.
func (v Violation) String() string { return string(v.Fault) + ": " + v.Detail }

// Report says how a history is.
type Report struct {
	// Received counts distinct messages.
	Received int
	// Gaps counts announced gaps.
	Gaps int
	// Missed are acknowledged messages that lie in announced gaps.
	Missed     []Acknowledged
	Violations []Violation
}

// Complete is true when every acknowledged message came, once and in order, and
// no gap had to be announced.
func (r Report) Complete() bool {
	return len(r.Violations) == 0 && len(r.Missed) == 0 && r.Gaps == 0
}
