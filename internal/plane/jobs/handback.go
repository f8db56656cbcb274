package jobs

import "context"

// maxBack bounds the answers whose jobs wait to be handed back.
const maxBack = 256

// giveBack has jobs be released whose worker is gone before it heard of them. It waits for nothing: what the engine is too slow for
// waits for the end of its lease.
func (d *desk) giveBack(leased []Leased) {
	if len(leased) == 0 {
		return
	}
	select {
	case d.back <- leased:
	default:
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
		}
	}
}

func (q *Queue) releaseAll(ctx context.Context, leased []Leased) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	for _, l := range leased {
		if err := q.store.Release(ctx, q.now(), Claim{ID: l.Job.ID, Token: l.Token}); err != nil {
			q.log.Warn("a job whose worker is gone was not handed back; it waits for the end of its lease", "job", l.Job.ID, "error", err)
		}
	}
}
