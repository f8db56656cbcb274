package jobs

import (
	"context"
	"errors"
	"time"
)

const (
	// maxBack bounds the answers whose jobs wait to be handed back.
	maxBack = 256
	// Pauses between attempts to hand back what the engine did not take.
	backLeast, backMost = 250 * time.Millisecond, 5 * time.Second
)

// giveBack has jobs be released whose worker is gone before it heard of them. It waits for nothing.
func (d *desk) giveBack(leased []Leased) {
	if len(leased) == 0 {
		return
	}
	d.backing.Add(1)
	select {
	case d.back <- leased:
	default:
		d.backing.Add(-1)
		d.queue.log.Warn("jobs whose workers are gone are not handed back, as too many are; they wait for the end of their leases", "jobs", len(leased))
	}
}

// handBack releases them until ctx ends.
func (d *desk) handBack(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case leased := <-d.back:
			d.queue.releaseAll(ctx, leased)
			d.backing.Add(-1)
			d.backed.tell()
		}
	}
}

// drain waits until all is handed back, or ctx ends.
func (d *desk) drain(ctx context.Context) {
	for {
		next := d.backed.next()
		if d.backing.Load() == 0 {
			return
		}
		select {
		case <-next:
		case <-ctx.Done():
			return
		}
	}
}

// releaseAll tries until each is handed back, or its lease is over, or ctx ends.
func (q *Queue) releaseAll(ctx context.Context, leased []Leased) {
	for wait := backLeast; ; wait = min(2*wait, backMost) {
		var err error
		if leased, err = q.releaseOnce(ctx, leased); len(leased) == 0 {
			return
		}
		timer := q.clock.NewTimer(wait)
		select {
		case <-timer.C():
			continue
		case <-ctx.Done():
		}
		timer.Stop()
		q.log.Warn("jobs whose workers are gone were not handed back; they wait for the end of their leases", "jobs", len(leased), "error", err)
		return
	}
}

// releaseOnce returns those that are to be tried again, and why.
func (q *Queue) releaseOnce(ctx context.Context, leased []Leased) (again []Leased, failed error) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	for _, l := range leased {
		now := q.now()
		err := q.store.Release(ctx, now, Claim{ID: l.Job.ID, Token: l.Token})
		switch {
		case err == nil, errors.Is(err, ErrNotFound), errors.Is(err, ErrFenced), errors.Is(err, ErrState):
		case !now.Before(l.Expires):
			q.log.Warn("a job whose worker is gone was not handed back before its lease ended", "job", l.Job.ID, "error", err)
		default:
			again, failed = append(again, l), err
		}
	}
	return again, failed
}
