package jobs

import "slices"

// handAtOnce is the most requests for jobs that one call of the store serves besides accepting jobs.
const handAtOnce = 16

// takeFor chooses who of those that wait is served by the call that accepts a batch: the first ones, as many as there are jobs for.
func (d *desk) takeFor(batch []NewJob) (group []*asking, news int) {
	due := 0
	for i := range batch {
		if batch[i].RunAt.IsZero() {
			due++
		}
	}
	largest := max(1, d.queue.live.Load().cfg.Limits.PayloadBytes)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.waiting {
		bytes := int64(a.query.Max) * largest
		// Nobody is served before one that the store is asked for.
		if due <= 0 || a.called || len(group) == handAtOnce || d.answers > 0 && d.answers+bytes > d.atMost {
			break
		}
		if !a.waits || !a.wants(batch) {
			continue
		}
		a.tried, a.called, a.bytes = true, true, bytes
		d.answers += bytes
		due -= a.query.Max
		group = append(group, a)
	}
	return group, d.news
}

// wants reports whether a request is for a job of a batch.
func (a *asking) wants(batch []NewJob) bool {
	return len(a.query.Types) == 0 || slices.ContainsFunc(batch, func(j NewJob) bool { return slices.Contains(a.query.Types, j.Type) })
}

func queriesOf(group []*asking) []LeaseQuery {
	queries := make([]LeaseQuery, len(group))
	for i, a := range group {
		queries[i] = a.query
	}
	return queries
}
