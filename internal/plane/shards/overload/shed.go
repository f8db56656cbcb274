package overload

import (
	"fmt"
	"net/http"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
)

// Outcome is what became of a request that was admitted.
type Outcome int

const (
	// Success is an answer of the member. How long it took says how busy the member is.
	Success Outcome = iota
	// Ignored says nothing about the member: the client went away, or sent what could not be served; the answer was an
	// error that came at once; the connection is held open and no longer counts.
	Ignored
	// Overloaded is a member that said so (503, 429) or did not answer in time.
	Overloaded
)

// Reason says why a request was shed. It is a label of metrics.
type Reason string

const (
	// ReasonQueue is a queue that is full, of requests that are as important or more.
	ReasonQueue Reason = "queue"
	// ReasonDisplaced is a request that waited and made room for a more important one.
	ReasonDisplaced Reason = "displaced"
	// ReasonDeadline is a request whose turn would come too late: it was not made to wait.
	ReasonDeadline Reason = "deadline"
	// ReasonTimeout is a request whose turn did not come in time.
	ReasonTimeout Reason = "timeout"
	// ReasonStalled is a member that has ended nothing for longer than a request may wait.
	ReasonStalled Reason = "stalled"
)

// ShedError is a request that was not sent on. It was processed by nobody, so it may be sent again, even where it is not
// idempotent.
type ShedError struct {
	Member string
	// Class is the name of the request's class.
	Class  string
	Reason Reason
	// Hot is true where the request's own partition takes more than its share: sending less of it helps.
	Hot bool
	// RetryAfter is when it may be sent again.
	RetryAfter time.Duration
}

// Error implements error.
func (e *ShedError) Error() string {
	return fmt.Sprintf("shard %s is overloaded: a request of the class %s was shed (%s)", e.Member, e.Class, e.Reason)
}

// Problem tells the client: 429 where its key's partition is what is too much, 503 else.
func (e *ShedError) Problem() *plane.Problem {
	if e.Hot {
		return plane.NewProblem(http.StatusTooManyRequests, "hot-partition", "The key's partition takes more than its share",
			"the shard of this key has more requests than it can serve, and the key's partition takes most of them: nothing was done; "+
				"send fewer requests for this key at once, spread what it holds over several keys, or try again after the time in Retry-After").
			Because(e).After(e.RetryAfter)
	}
	return plane.NewProblem(http.StatusServiceUnavailable, "overloaded", "Too many requests at once",
		"the shard of this key has more requests than it can serve, and those of more important classes go first: nothing was done; "+
			"try again after the time in Retry-After, waiting longer each time").
		Because(e).After(e.RetryAfter)
}
