package machine

import (
	"bytes"
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

func (s *State) submit(c Submit) []plane.SubmitResult {
	results := make([]plane.SubmitResult, len(c.Batch))
	for i := range c.Batch {
		results[i] = s.accept(c.Now, &c.Batch[i])
	}
	return results
}

func (s *State) accept(now time.Time, n *NewJob) plane.SubmitResult {
	if known := s.known(n); known != nil {
		if known.id != n.ID {
			s.drop(n.Content)
		}
		if !bytes.Equal(known.digest, n.Digest) {
			return plane.SubmitResult{Err: plane.ErrKeyReused}
		}
		return plane.SubmitResult{Accepted: jobs.Accepted{ID: known.id, Status: statuses[known.status], Existing: true}}
	}
	if s.settings.Waiting > 0 && s.waiting >= s.settings.Waiting {
		s.drop(n.Content)
		return plane.SubmitResult{Err: plane.ErrFull}
	}
	j := s.newJob(nanos(now), n)
	s.emit(j, j.accepted, jobs.EventAccepted)
	return plane.SubmitResult{Accepted: jobs.Accepted{ID: j.id, Status: statuses[j.status]}}
}

// known is the job that a submission made before.
func (s *State) known(n *NewJob) *job {
	if n.IdempotencyKey != "" {
		if id, ok := s.idempotency[n.IdempotencyKey]; ok {
			return s.jobs[id]
		}
	}
	return s.jobs[n.ID]
}

func (s *State) newJob(now int64, n *NewJob) *job {
	s.seq++
	j := &job{
		id: n.ID, kind: n.Type, key: n.OrderingKey, idempotency: n.IdempotencyKey, traceParent: n.TraceParent,
		digest: n.Digest, metadata: n.Metadata, class: s.classOf(n.Priority), payload: n.Content,
		seq: s.seq, accepted: now, runAt: nanos(n.RunAt), timeout: int64(n.Timeout), maxAttempts: int32(n.MaxAttempts),
	}
	s.jobs[j.id] = j
	if j.idempotency != "" {
		s.idempotency[j.idempotency] = j.id
	}
	s.order.add(j)
	s.rates.note(now, accepted, 1)
	to := queued
	if j.due = j.runAt <= now; !j.due {
		to = scheduled
	}
	j.status = to
	s.count(j, 1)
	s.move(j, to)
	s.changed(j, s.leasable(j))
	return j
}

// leasable reports whether a job may be handed out, the rate aside.
func (s *State) leasable(j *job) bool { return j.place == j.class.ready && !s.paused }
