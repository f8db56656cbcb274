package router

import (
	"fmt"
	"net/http"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
)

// retryAfter is what clients are told to wait for what is to be over soon.
const retryAfter = time.Second

// crowdedAfter is what clients are told to wait for a place: those that have one keep it for long.
const crowdedAfter = 5 * time.Second

// noKey is the kind of problem of a request that has none.
const noKey = "no-key"

func (e *extractor) problemNone() *plane.Problem {
	return plane.NewProblem(http.StatusBadRequest, noKey, "The request has no key",
		"what it is about decides which shard serves it: send the key in "+e.where())
}

func (e *extractor) problemTwo() *plane.Problem {
	return plane.NewProblem(http.StatusBadRequest, "two-keys", "The request has more than one key",
		"a request goes to one shard: send one key in "+e.where()+", once")
}

func (e *extractor) problemLong() *plane.Problem {
	return plane.NewProblem(http.StatusBadRequest, "key-too-long", "The key is too long",
		fmt.Sprintf("a key may have at most %d bytes (spec.key.maxBytes): send a shorter one in %s", e.most, e.where()))
}

func (e *extractor) problemUnclear(why string) *plane.Problem {
	return plane.NewProblem(http.StatusBadRequest, "invalid-key", "The key can not be read", "the key is in "+e.where()+": "+why)
}

func (e *extractor) problemBody() *plane.Problem {
	return plane.NewProblem(http.StatusRequestEntityTooLarge, "too-large", "The request is too large",
		fmt.Sprintf("the key is in its body, of which at most %d bytes are read (spec.key.maxBody): send less, or have the key be in a header", e.mostBody)).
		Header("Connection", "close")
}

func (e *extractor) problemEncoded() *plane.Problem {
	return plane.NewProblem(http.StatusUnsupportedMediaType, "unsupported-media-type", "The request's body is of a type not understood here",
		"the key is in the body: send it without Content-Encoding, or have the key be in a header")
}

func problemDotted() *plane.Problem {
	return plane.NewProblem(http.StatusBadRequest, "invalid-path", "The path is not valid",
		"the path decides where the request goes: send it without the segments . and ..")
}

func problemReserved() *plane.Problem {
	return plane.NewProblem(http.StatusNotFound, "not-found", "There is nothing at this path",
		"paths with "+ownPrefix+" in them are the router's own: see "+ownPrefix+"docs for those that there are")
}

func problemUnplaced() *plane.Problem {
	return plane.NewProblem(http.StatusNotFound, "unknown-key", "The key is of no partition",
		"the directory does not name it: add it to spec.directory.entries, or set spec.directory.fallback to Hash")
}

func problemFull(held int) *plane.Problem {
	return plane.NewProblem(http.StatusServiceUnavailable, "held-full", "Too many requests wait for their shard",
		fmt.Sprintf("the request's shard can not be reached just now and %d wait for that already (spec.resharding.heldRequests); nothing was done: try again", held)).After(retryAfter)
}

func problemHeld() *plane.Problem {
	return plane.NewProblem(http.StatusServiceUnavailable, "partition-unavailable", "No shard serves this key just now",
		"its partition is on the way to another shard, and was not there within spec.resharding.pauseLimit; nothing was done: try again").After(retryAfter)
}

func problemAbsent() *plane.Problem {
	return plane.NewProblem(http.StatusServiceUnavailable, "shard-unavailable", "The key's shard can not be reached",
		"the shard that owns the key is not running, or not to be reached; nothing was done: try again").After(retryAfter)
}

func problemNoTable() *plane.Problem {
	return plane.NewProblem(http.StatusServiceUnavailable, "no-table", "It is not known yet which shard serves what",
		"this router has not read the table yet; nothing was done: try again").After(retryAfter)
}

func problemUnreplayable() *plane.Problem {
	return plane.NewProblem(http.StatusServiceUnavailable, "partition-moved", "The key's shard changed while the request was sent",
		"its body was sent already, and was too long to be kept; nothing was done: try again").After(retryAfter)
}

// problemUnknown is of a request that may have been done or not.
func problemUnknown(err error) *plane.Problem {
	return plane.NewProblem(http.StatusBadGateway, "outcome-unknown", "The connection to the shard broke",
		"the request may have been done: look before you send it again, or send an Idempotency-Key, with which it is sent again by itself").Because(err)
}

func problemTimeout(after time.Duration, safe bool) *plane.Problem {
	detail := "the request may have been done: look before you send it again"
	if safe {
		detail = "try again"
	}
	return plane.NewProblem(http.StatusGatewayTimeout, "shard-timeout", "The shard did not answer in time",
		fmt.Sprintf("its answer did not begin within %s (spec.router.timeouts.request); %s", after, detail))
}

func problemDomain(err error) *plane.Problem {
	return plane.NewProblem(http.StatusBadGateway, "domain-unavailable", "The shards of this path can not be reached",
		"the request may have been done by the other ShardSet's shards: look before you send it again").Because(err)
}

func problemLoop() *plane.Problem {
	return plane.NewProblem(http.StatusLoopDetected, "loop", "The request comes back to where it was",
		"the domains of ShardSets lead in a circle: have spec.domains name one that serves the path itself")
}

func problemMethod() *plane.Problem {
	return plane.NewProblem(http.StatusMethodNotAllowed, "method-not-allowed", "This path has no such method",
		"a router passes on requests, and makes no tunnels: use another method than CONNECT").Header("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
}

func problemSink() *plane.Problem {
	return plane.NewProblem(http.StatusForbidden, "not-allowed", "The token does not allow this",
		"it is that of another namespace's sinks, and a ShardSet takes no events: send the binding's token, or a client token")
}

// problemBodies is of a body that would be more than the memory for bodies.
func problemBodies() *plane.Problem {
	return plane.NewProblem(http.StatusServiceUnavailable, "overloaded", "Too many requests at once",
		"this router reads as many bytes at once as it may, as the key is in the body; nothing was done: try again").After(retryAfter).Header("Connection", "close")
}

func problemBusy() *plane.Problem {
	return plane.NewProblem(http.StatusServiceUnavailable, "overloaded", "Too many requests at once", "nothing was done: try again").After(retryAfter)
}

// problemOpen is of what would be held open and finds no place.
func problemOpen(most int64) *plane.Problem {
	return plane.NewProblem(http.StatusServiceUnavailable, "too-many-connections", "This router holds as many connections as it may",
		fmt.Sprintf("%d WebSockets, streams of events and long answers are open, which is what fits into its memory; nothing was done: try again, or run more routers or give them more memory (spec.router)", most)).
		After(crowdedAfter)
}

func problemUpgrade() *plane.Problem {
	return plane.NewProblem(http.StatusNotImplemented, "no-upgrade", "The connection can not become a WebSocket",
		"open the WebSocket over HTTP/1.1")
}

func problemDomainAway() *plane.Problem {
	return plane.NewProblem(http.StatusServiceUnavailable, "domain-unavailable", "The shards of this path can not be reached",
		"they are those of another ShardSet, whose routers do not answer; nothing was done: try again").After(retryAfter)
}
