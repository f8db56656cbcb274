package router

import (
	"context"
	"net/http"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/shards/carry"
	"github.com/trellis-dev/trellis/internal/plane/shards/overload"
)

const (
	// writeStall is how long a client may take to read what was written for it.
	writeStall = 60 * time.Second
	// timedBody is the longest answer that is part of a shard's turn, in bytes.
	timedBody = 64 << 10
)

// pass hands an answer on to the client.
func (j *job) pass(ctx context.Context, y *carry.Reply) {
	endless := carry.Endless(y.Header)
	if endless && !j.stays() {
		j.turnAway(y)
		return
	}
	y.Unhurried(ctx)
	j.begun(y.StatusCode, endless)
	to := &carry.Client{W: j.w, Stall: writeStall, HTTP2: j.req.ProtoMajor == 2, Slow: endless}
	announced := to.Head(y)
	whole := false
	if endless {
		whole = j.follow(to, y)
	} else {
		whole = to.Body(y, y.ContentLength < 0, timedBody, j.long) == nil
		j.abort = !whole
	}
	to.Trailers(y, announced)
	y.Finish(whole)
	j.done(outcome(y, whole))
}

// long has an answer take no more of the shard's turn: how long it takes is up to its client. Where there is no place for one
// that is held open it keeps its turn, so that there are only so many of these, too.
func (j *job) long() {
	if j.stays() {
		j.done(overload.Ignored)
	}
}

// turnAway answers for a stream that the shard began and for which there is no place.
func (j *job) turnAway(y *carry.Reply) {
	y.Finish(false)
	problem := j.r.crowded()
	if !carry.Harmless(j.req) {
		problem = problemUnknown(problem)
	}
	j.fail(problem)
}

// outcome of a request that was answered.
func outcome(y *carry.Reply, whole bool) overload.Outcome {
	switch {
	case y.StatusCode == http.StatusTooManyRequests || y.StatusCode == http.StatusServiceUnavailable:
		return overload.Overloaded
	case !whole || y.StatusCode >= http.StatusBadRequest:
		return overload.Ignored
	}
	return overload.Success
}

// follow a stream of events to its end, or until the router drains. It ends in order then: the client opens it anew,
// elsewhere.
func (j *job) follow(to *carry.Client, y *carry.Reply) (whole bool) {
	j.r.metrics.streams.Inc()
	defer j.r.metrics.streams.Dec()
	drained, leave := j.r.open.enter(y.Cut)
	defer leave()
	err := to.Body(y, true, timedBody, func() {})
	j.abort = err != nil && !closed(drained)
	return err == nil
}
