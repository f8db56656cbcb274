// Package shardhistory judges what clients of sharded counters were answered: no increment lost, none carried out twice,
// each counter as if there were one of it (linearizable), and of each partition one owner at a time, the one that the
// table names. It is a model over recorded answers: pure, with no network and no clock. It imports pkg/ring and porcupine.
package shardhistory

import (
	"fmt"
	"time"

	"github.com/trellis-dev/trellis/pkg/ring"
)

// Operation is an increment or a read as its client saw it, from the first time that it was sent to the answer.
type Operation struct {
	// Client sends one after the other.
	Client int
	Key    string
	// ID is the idempotency key of an increment, which every attempt had; empty for a read.
	ID string
	// Sent and Answered are by the clients' common clock. Answered is 0 for an increment that may have been carried out.
	Sent, Answered time.Duration
	// What was answered: the value, and which member says so of which partition, under which epoch.
	Value     int64
	Partition int
	Member    string
	Epoch     uint64
}

// Read is true for one that changes nothing.
func (o Operation) Read() bool { return o.ID == "" }

func (o Operation) unknown() bool { return o.Answered == 0 }

func (o Operation) String() string {
	what := "increment " + o.ID
	if o.Read() {
		what = "read"
	}
	return fmt.Sprintf("%s of %s (%s to %s): %d by %s in epoch %d", what, o.Key, o.Sent, o.Answered, o.Value, o.Member, o.Epoch)
}

// History is all that was seen.
type History struct {
	Operations []Operation
	// Finals are what the counters were when all was over.
	Finals map[string]int64
	// Tables that were published; some may be missing.
	Tables []ring.Table
}

// Fault is a way in which a history breaks the contract.
type Fault string

const (
	// Lost was acknowledged, and the counter does not have it.
	Lost Fault = "lost"
	// Doubled was carried out more than once.
	Doubled Fault = "doubled"
	// Strayed is a key of more than one partition, or of another than its own.
	Strayed Fault = "strayed"
	// TwoOwners served one partition at the same time, or the former one after the new one.
	TwoOwners Fault = "two owners"
	// Usurped was served by a member that does not own the partition in the table of that epoch.
	Usurped Fault = "usurped"
	// NotLinear can not be explained by one counter that does one thing after the other.
	NotLinear Fault = "not linearizable"
	// Undecided took too long to check.
	Undecided Fault = "undecided"
)

// Violation is a fault, and of what.
type Violation struct {
	Fault  Fault
	Detail string
}

func (v Violation) String() string { return string(v.Fault) + ": " + v.Detail }

// Report is what a history comes to.
type Report struct {
	Violations []Violation
	// Increments and Reads that were answered, Unknown increments that may have been carried out.
	Increments, Reads, Unknown int
	// Keys and Members that took part, and Handovers of a partition from one member to another that clients saw.
	Keys, Members, Handovers int
}

func (r Report) String() string {
	return fmt.Sprintf("%d increments and %d reads of %d counters by %d members, %d handovers seen, %d unknown, %d violations",
		r.Increments, r.Reads, r.Keys, r.Members, r.Handovers, r.Unknown, len(r.Violations))
}

func (r *Report) fault(f Fault, format string, args ...any) {
	r.Violations = append(r.Violations, Violation{f, fmt.Sprintf(format, args...)})
}
