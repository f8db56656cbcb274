package jobs

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// heartbeats keep one lease, carry its progress, and end the job's context when it is to stop.
type heartbeats struct {
	client *Client
	lease  Lease
	every  time.Duration
	cancel context.CancelCauseFunc
	log    *slog.Logger

	news chan struct{}
	// end the loop, which closes done.
	end  context.CancelFunc
	done chan struct{}

	mu       sync.Mutex
	progress *Progress
	expires  time.Time
}

const (
	// leaseBeats is how many heartbeats a lease lasts.
	leaseBeats = 3
	// defaultBeat is for a queue that does not say how often.
	defaultBeat = 10 * time.Second
	// progressEvery is how often progress is sent at most.
	progressEvery = time.Second
)

func newHeartbeats(client *Client, lease Lease, received time.Time, cancel context.CancelCauseFunc, log *slog.Logger) *heartbeats {
	every, err := time.ParseDuration(lease.HeartbeatEvery)
	if err != nil || every <= 0 {
		every = defaultBeat
	}
	return &heartbeats{client: client, lease: lease, every: every, cancel: cancel, log: log,
		done: make(chan struct{}), news: make(chan struct{}, 1),
		// By lengths of time, as the queue's clock may be another than ours.
		expires: received.Add(leaseBeats * every)}
}

// say has progress be sent with the next heartbeat, within a second.
func (h *heartbeats) say(p Progress) {
	h.mu.Lock()
	h.progress = &p
	h.mu.Unlock()
	select {
	case h.news <- struct{}{}:
	default:
	}
}

// start sends heartbeats until stop. The values of parent are theirs, its end is not: a job that is told to stop keeps its lease meanwhile.
func (h *heartbeats) start(parent context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	h.end = cancel
	go func() {
		defer close(h.done)
		h.loop(ctx)
	}()
}

// stop ends the heartbeats, and returns when the lease will be over.
func (h *heartbeats) stop() time.Time {
	h.end()
	<-h.done
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.expires
}

func (h *heartbeats) loop(ctx context.Context) {
	timer := time.NewTimer(h.every)
	defer timer.Stop()
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.news:
			// At once, or when a second is over since the last one.
			timer.Reset(max(0, progressEvery-time.Since(last)))
			continue
		case <-timer.C:
		}
		last = time.Now()
		if !h.beat(ctx, timer) {
			return
		}
	}
}

// beat sends one, and sets the timer for the next. It is false when there is nothing left to keep.
func (h *heartbeats) beat(ctx context.Context, timer *time.Timer) bool {
	h.mu.Lock()
	progress, expires := h.progress, h.expires
	h.progress = nil
	h.mu.Unlock()
	sent := time.Now()
	// One that hangs leaves the time for another.
	call, cancel := context.WithDeadline(ctx, earlier(expires, sent.Add(h.every)))
	defer cancel()
	reply, err := h.client.Heartbeat(call, h.lease.Job.ID, HeartbeatRequest{Token: h.lease.Token, Progress: progress})
	switch {
	case ctx.Err() != nil:
		return false
	case IsConflict(err) || IsNotFound(err) || (err != nil && !time.Now().Before(expires)):
		h.log.Warn("the lease is lost", "error", err)
		h.cancel(ErrLost)
		return false
	case err != nil:
		h.log.Warn("a heartbeat failed; it is sent again until the lease is over", "error", err)
		h.again(progress)
		timer.Reset(min(h.every/4, time.Until(expires)))
		return true
	}
	h.mu.Lock()
	h.expires = sent.Add(leaseBeats * h.every)
	h.mu.Unlock()
	if reply.Cancelled {
		h.cancel(ErrCancelled)
	}
	timer.Reset(h.every)
	return true
}

// again has progress be sent that was not, unless there is newer.
func (h *heartbeats) again(p *Progress) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.progress == nil {
		h.progress = p
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
