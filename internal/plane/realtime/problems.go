package realtime

import (
	"fmt"
	"net/http"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
)

// engineRetry is what clients are told to wait while the engine does not answer.
const engineRetry = 2 * time.Second

func problemEngine(cause error) *plane.Problem {
	return plane.NewProblem(http.StatusServiceUnavailable, "engine-unavailable", "The engine does not answer",
		"nothing was acknowledged; try again, with the same Idempotency-Key where something is published").After(engineRetry).Because(cause)
}

func problemOwner(cause error) *plane.Problem {
	return plane.NewProblem(http.StatusServiceUnavailable, "room-moving", "The room is moving to another replica",
		"nothing was acknowledged; try again, with the same Idempotency-Key where something is published").After(time.Second).Because(cause)
}

func problemRooms(limit int) *plane.Problem {
	return plane.NewProblem(http.StatusUnprocessableEntity, "too-many-rooms", "Too many rooms on one connection",
		fmt.Sprintf("a connection may follow %d rooms (limits.roomsPerConnection); leave some, or open another connection", limit))
}

func problemForbidden(right, room string) *plane.Problem {
	return plane.NewProblem(http.StatusForbidden, "not-allowed", "The token does not allow this",
		fmt.Sprintf("the right to %s in room %q is needed; ask for a token that has it", right, room))
}

func problemProtocol(name string) *plane.Problem {
	return plane.NewProblem(http.StatusForbidden, "protocol-disabled", "This gateway does not offer this protocol",
		fmt.Sprintf("add %s to spec.protocols, or use one of the protocols that are there", name))
}

func problemNoPresence() *plane.Problem {
	return plane.NewProblem(http.StatusForbidden, "presence-disabled", "This gateway does not keep who is in a room",
		"set spec.presence to Enabled; see the pattern's documentation for what it costs")
}

func problemMessageSize(location string, size int, limit int64) *plane.Problem {
	p := plane.NewProblem(http.StatusRequestEntityTooLarge, "message-too-large", "The message is too large",
		fmt.Sprintf("a message's data may have at most %d bytes (limits.messageBytes); put what is larger elsewhere, and publish where it is", limit))
	p.Errors = []plane.ProblemError{{Location: location, Message: fmt.Sprintf("has %d bytes", size)}}
	return p
}

func problemRate(limit int, wait time.Duration) *plane.Problem {
	return plane.NewProblem(http.StatusTooManyRequests, "too-many-messages", "Too many messages",
		fmt.Sprintf("a client may publish %d messages a second (limits.publishPerSecond)", limit)).After(wait)
}

func problemConnections(limit int) *plane.Problem {
	return plane.NewProblem(http.StatusServiceUnavailable, "too-many-connections", "This replica holds as many connections as it may",
		fmt.Sprintf("the limit is %d (limits.connections); try again, or add replicas", limit)).After(5 * time.Second)
}

func problemClientConnections(limit int) *plane.Problem {
	return plane.NewProblem(http.StatusTooManyRequests, "too-many-client-connections", "This client holds as many connections as it may",
		fmt.Sprintf("the limit is %d a client and replica (limits.connectionsPerClient); close one first", limit)).After(5 * time.Second)
}

func problemInvalid(detail string, errs ...plane.ProblemError) *plane.Problem {
	return plane.Invalid(detail, errs...)
}

func problemTakenBack() *plane.Problem {
	return plane.NewProblem(http.StatusConflict, "not-subscribed", "The room is not subscribed", "it was unsubscribed before the subscription began")
}
