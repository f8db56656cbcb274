package jobs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
)

const (
	// engineRetry is what clients are told to wait while the engine does not answer.
	engineRetry = 2 * time.Second
	// fullRetry is what they are told while as many jobs wait as may.
	fullRetry = 10 * time.Second
)

// problem makes a problem of what a store answered. What is no answer is a fault of the engine.
func (q *Queue) problem(operation string, err error) *plane.Problem {
	var p *plane.Problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, ErrNotFound):
		return plane.NewProblem(http.StatusNotFound, "no-such-job", "There is no such job",
			"the id is wrong, or the job was deleted or kept no longer (deadLetter.retention, results.ttl)")
	case errors.Is(err, ErrFenced):
		return plane.NewProblem(http.StatusConflict, "lease-lost", "The lease is over",
			"another attempt may run by now, and the job is no longer this worker's: stop, and throw away what was done")
	case errors.Is(err, ErrState):
		return plane.NewProblem(http.StatusConflict, "wrong-status", "The job's status does not allow this",
			"look at the job's status: a job that waits or runs can be cancelled, one that waits or is dead or cancelled retried, one that does not run deleted")
	case errors.Is(err, ErrFull):
		return plane.NewProblem(http.StatusServiceUnavailable, "queue-full", "As many jobs wait as may",
			fmt.Sprintf("the limit is %d (limits.waiting); try again later, or add workers", q.live.Load().cfg.Limits.Waiting)).After(fullRetry)
	case errors.Is(err, ErrKeyReused):
		return plane.NewProblem(http.StatusUnprocessableEntity, "idempotency-key-reused", "The idempotency key was used for another job",
			"send the same content with the same key, or another key")
	case errors.Is(err, ErrCursor):
		return problemCursor()
	case errors.Is(err, errBusy):
		return plane.NewProblem(http.StatusServiceUnavailable, "overloaded", "Too many requests at once",
			"this replica has as much to do as it may; try again").After(time.Second)
	}
	if !errors.Is(err, context.Canceled) {
		// One whose client hung up says nothing of the engine.
		q.metrics.EngineErrors.WithLabelValues(operation).Inc()
		q.plane.Health.EngineFailed(err)
	}
	return plane.NewProblem(http.StatusServiceUnavailable, "engine-unavailable", "The engine does not answer",
		"nothing was acknowledged; try again, with the same Idempotency-Key where a job is submitted").After(engineRetry).Because(err)
}

func problemForbidden(rights string) *plane.Problem {
	return plane.NewProblem(http.StatusForbidden, "not-allowed", "The token does not allow this",
		"the right to "+rights+" is needed; ask for a token that has it")
}

func problemID() *plane.Problem {
	return plane.NewProblem(http.StatusBadRequest, "invalid-id", "The id is not one of a job",
		"an id is a UUID in lower case, as POST /v1/jobs answers it")
}

func problemPayload(location string, size int, limit int64) *plane.Problem {
	p := plane.NewProblem(http.StatusRequestEntityTooLarge, "payload-too-large", "The payload is too large",
		fmt.Sprintf("a payload may have at most %d bytes (limits.payloadBytes); put what is larger elsewhere, and send where it is", limit))
	p.Errors = []plane.ProblemError{{Location: location, Message: fmt.Sprintf("has %d bytes", size)}}
	return p
}

func problemResult(size int, limit int64) *plane.Problem {
	return plane.NewProblem(http.StatusRequestEntityTooLarge, "result-too-large", "The result is too large",
		fmt.Sprintf("it has %d bytes, and may have at most %d (results.maxBytes); the lease goes on: complete the job with less, "+
			"such as where the result is, or fail it with permanent and the reason result-too-large", size, limit))
}

func problemHeld() *plane.Problem {
	return plane.NewProblem(http.StatusServiceUnavailable, "too-many-connections", "This replica holds as many connections as it may",
		fmt.Sprintf("the limit is %d waiting requests and streams; try again, or add replicas", maxHeld)).After(5 * time.Second)
}

// passing reports whether err is a fault of the engine, which may be over in a moment.
func passing(err error) bool {
	for _, answer := range []error{ErrNotFound, ErrFenced, ErrState, ErrFull, ErrKeyReused, ErrCursor} {
		if errors.Is(err, answer) {
			return false
		}
	}
	return true
}

func problemCursor() *plane.Problem {
	return plane.NewProblem(http.StatusBadRequest, "invalid-cursor", "The cursor is not valid",
		"cursor is the member cursor of the page before; leave it out to begin anew")
}
