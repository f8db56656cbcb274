// Package jobhistory judges what became of the jobs of a queue: none lost, each at its end once, tokens that
// grow, one run at a time, ordering keys in the order of acceptance, and no run more than failures and kills
// explain. It is a model over recorded events: pure, with no network and no clock. It imports the standard
// library and pkg/jobs only.
//
// There is no search for an order here, as porcupine would do it: fencing tokens number the runs of a job, and
// the recorder orders all that workers do, so the one order that could explain a history is known, and each
// rule can be checked by itself and say which jobs broke it.
package jobhistory

import (
	"fmt"
	"time"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

// Place is a moment of the recorder, in microseconds; no two events share one.
type Place int64

// Accepted is a job that was acknowledged.
type Accepted struct {
	ID string
	// Key is the idempotency key; every job here has one of its own.
	Key         string
	OrderingKey string
	// Submitter sends one after the other: its jobs are accepted in the order in which they stand in the history.
	Submitter string
	// Sent and Acknowledged bound when it was accepted, by the submitters' common clock.
	Sent, Acknowledged time.Time
	// Failures is how many of its runs are made to fail. Doomed is true when all are.
	Failures int
	Doomed   bool
	// MaxAttempts that it was submitted with.
	MaxAttempts int
	// Cancel is true when its cancellation was asked for.
	Cancel bool
}

// Run is one run of a job, as its worker recorded it.
type Run struct {
	ID    string
	Key   string
	Token int64
	// Attempt is the number that the worker was told.
	Attempt int
	Worker  string
	Start   Place
	// End is 0 for a run that was cut off.
	End Place
}

// Final is what the queue says of a job when all is over.
type Final struct {
	ID       string
	Status   jobs.Status
	Attempt  int
	Attempts []jobs.Attempt
}

// End is an event that said that a job is at its end.
type End struct {
	ID string
	// Event is the event's own id: the same one may come again.
	Event  string
	Status jobs.Status
}

// Sight is what somebody who asked for a job saw.
type Sight struct {
	ID string
	// Observer asks one after the other.
	Observer string
	Status   jobs.Status
	Revision int64
}

// Disruption is something that was done to the queue's parts.
type Disruption struct {
	Name     string
	From, To Place
	// Worker, where it is set, is the only one that was hit.
	Worker string
}

// History is all of it.
type History struct {
	Accepted []Accepted
	// Unknown are idempotency keys of jobs that were sent and neither acknowledged nor refused: they may be there.
	Unknown     []string
	Runs        []Run
	Finals      []Final
	Ends        []End
	Sights      []Sight
	Disruptions []Disruption
	// Reach is how long before a disruption a run may have ended whose outcome was not recorded by the queue yet.
	Reach time.Duration
}

// Fault is a way in which a history breaks the contract.
type Fault string

const (
	// Lost was acknowledged, and the queue does not know it.
	Lost Fault = "lost"
	// Unfinished was acknowledged, and is not at its end.
	Unfinished Fault = "unfinished"
	// WrongEnd is an end that its runs do not explain.
	WrongEnd Fault = "wrong end"
	// EndedTwice came to its end more than once.
	EndedTwice Fault = "ended twice"
	// Regressed was seen to go back.
	Regressed Fault = "regressed"
	// Invented was never sent.
	Invented Fault = "invented"
	// Doubled are two jobs of one submission, or two submissions that became one job.
	Doubled Fault = "doubled"
	// StaleToken is a token that does not grow.
	StaleToken Fault = "stale token"
	// Overlap is a run that began while an earlier one of the job, which was not fenced, went on.
	Overlap Fault = "overlap"
	// KeyOverlap is the same for two jobs of one ordering key.
	KeyOverlap Fault = "overlap of a key"
	// KeyOrder is a job that ran after one of its ordering key that was accepted later.
	KeyOrder Fault = "order of a key"
	// Excess are more runs than failures and disruptions explain.
	Excess Fault = "excess"
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
	// Ends counts acknowledged jobs by their last status.
	Ends map[jobs.Status]int
	// Runs counts all, Again those beyond the first that no failure was asked for, and Fenced those that the queue
	// gave up on.
	Runs, Again, Fenced int
	// InFlight counts the runs that the disruptions hit.
	InFlight   int
	Violations []Violation
}

// String is for the output of tests.
func (r Report) String() string {
	return fmt.Sprintf("ends %v; %d runs, %d of them again with %d in flight at disruptions; %d fenced",
		r.Ends, r.Runs, r.Again, r.InFlight, r.Fenced)
}
