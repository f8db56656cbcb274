package storetest

import (
	"testing"
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

func life(t *testing.T, connect Connect) {
	q := with(t, connect(Settings()))
	n := NewJob(typed("mail"), labelled("who", "a"))
	n.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	id := q.submit(Epoch, n)[0]
	if id != n.ID {
		t.Fatalf("id %s, want %s", id, n.ID)
	}
	q.stands(id, jobs.StatusQueued)

	l := q.leaseOne(Epoch.Add(time.Second))
	same(t, l.Payload, n.Payload)
	same(t, []any{l.TraceParent, l.Expires, l.Deadline, l.Job.Attempt, l.Job.Status},
		[]any{n.TraceParent, Epoch.Add(31 * time.Second), Epoch.Add(61 * time.Second), 1, jobs.StatusRunning})
	q.none(Epoch.Add(time.Second))

	progress := &jobs.Progress{Percent: 40, Message: "half", At: Epoch.Add(2 * time.Second)}
	expires, cancelled, err := q.Extend(q.ctx, Epoch.Add(2*time.Second), claim(l), progress)
	same(t, []any{expires, cancelled, err}, []any{Epoch.Add(32 * time.Second), false, nil})
	same(t, q.get(id).Progress, progress)

	q.complete(Epoch.Add(3*time.Second), l)
	revision := q.get(id).Revision
	if j := q.complete(Epoch.Add(4*time.Second), l); j.Revision != revision {
		t.Errorf("completing again changed the job")
	}
	got := q.get(id)
	started, finished := Epoch.Add(time.Second), Epoch.Add(3*time.Second)
	same(t, got, jobs.Job{
		ID: id, Type: "mail", Status: jobs.StatusSucceeded, Priority: "low", Metadata: map[string]string{"who": "a"},
		AcceptedAt: Epoch, StartedAt: &started, FinishedAt: &finished, Attempt: 1, MaxAttempts: 2, Timeout: "1m0s", Revision: got.Revision,
		Attempts: []jobs.Attempt{{Number: 1, Worker: "w", StartedAt: started, EndedAt: &finished, Outcome: jobs.OutcomeSucceeded}},
		Result:   &jobs.Result{ContentType: "application/json", Bytes: 1, Value: []byte("1")},
	})
	_, err = q.Get(q.ctx, NewJob().ID)
	q.is(err, plane.ErrNotFound)
	_, err = q.Get(q.ctx, "none")
	q.is(err, plane.ErrNotFound)
}

func fences(t *testing.T, connect Connect) {
	q := with(t, connect(Settings()))
	id := q.submit(Epoch, NewJob())[0]
	old := q.leaseOne(Epoch)
	q.sweep(Epoch.Add(31 * time.Second))
	now := Epoch.Add(31*time.Second + retryIn)
	l := q.leaseOne(now)
	if l.Token <= old.Token {
		t.Fatalf("token %d after %d", l.Token, old.Token)
	}
	_, _, err := q.Extend(q.ctx, now, claim(old), nil)
	q.is(err, plane.ErrFenced)
	_, err = q.Complete(q.ctx, now, claim(old), plane.Body{})
	q.is(err, plane.ErrFenced)
	_, err = q.Fail(q.ctx, now, claim(old), plane.Failure{Outcome: jobs.OutcomeFailed})
	q.is(err, plane.ErrFenced)
	q.is(q.Release(q.ctx, now, claim(old)), plane.ErrFenced)
	q.complete(now, l)
	_, err = q.Complete(q.ctx, now, claim(old), plane.Body{})
	q.is(err, plane.ErrFenced)
	_, err = q.Fail(q.ctx, now, claim(l), plane.Failure{Outcome: jobs.OutcomeFailed})
	q.is(err, plane.ErrFenced)
	q.stands(id, jobs.StatusSucceeded)

	none := plane.Claim{ID: NewJob().ID, Token: 1}
	_, err = q.Complete(q.ctx, now, none, plane.Body{})
	q.is(err, plane.ErrNotFound)
	_, _, err = q.Extend(q.ctx, now, none, nil)
	q.is(err, plane.ErrNotFound)
}

func retries(t *testing.T, connect Connect) {
	q := with(t, connect(Settings()))
	id := q.submit(Epoch, NewJob())[0]
	l := q.leaseOne(Epoch)
	j := q.fail(Epoch, l, plane.Failure{Error: "no paper"})
	same(t, []any{j.Status, *j.RunAt, j.Error}, []any{jobs.StatusRetrying, Epoch.Add(retryIn), "no paper"})
	if again := q.fail(Epoch.Add(time.Second), l, plane.Failure{Error: "no paper"}); again.Revision != j.Revision {
		t.Error("failing again changed the job")
	}
	q.none(Epoch.Add(retryIn - time.Millisecond))
	l = q.leaseOne(Epoch.Add(retryIn))
	j = q.fail(Epoch.Add(retryIn), l, plane.Failure{Error: "no ink"})
	same(t, []any{j.Status, j.Attempt, j.RunAt == nil}, []any{jobs.StatusDead, 2, true})
	q.none(Epoch.Add(time.Hour / 2))

	var outcomes []string
	for _, a := range q.get(id).Attempts {
		outcomes = append(outcomes, string(a.Outcome)+": "+a.Error)
	}
	same(t, outcomes, []string{"failed: no paper", "failed: no ink"})

	id = q.submit(Epoch, NewJob())[0]
	q.fail(Epoch, q.leaseOne(Epoch), plane.Failure{Permanent: true})
	q.stands(id, jobs.StatusDead)
}

func releases(t *testing.T, connect Connect) {
	q := with(t, connect(Settings()))
	id := q.submit(Epoch, NewJob())[0]
	for range 3 {
		l := q.leaseOne(Epoch)
		q.is(q.Release(q.ctx, Epoch, claim(l)), nil)
		q.is(q.Release(q.ctx, Epoch, claim(l)), nil)
		_, err := q.Complete(q.ctx, Epoch, claim(l), plane.Body{})
		q.is(err, plane.ErrFenced)
		if j := q.stands(id, jobs.StatusQueued); j.Attempt != 0 {
			t.Fatalf("attempt %d, want 0", j.Attempt)
		}
	}
	q.complete(Epoch, q.leaseOne(Epoch))
	if got := q.get(id); got.Attempt != 1 || len(got.Attempts) != 4 {
		t.Errorf("attempts: %+v", got.Attempts)
	}
}

func lost(t *testing.T, connect Connect) {
	q := with(t, connect(Settings()))
	id := q.submit(Epoch, NewJob())[0]
	l := q.leaseOne(Epoch)
	if _, _, err := q.Extend(q.ctx, Epoch.Add(20*time.Second), claim(l), nil); err != nil {
		t.Fatal(err)
	}
	q.sweep(Epoch.Add(49 * time.Second))
	q.stands(id, jobs.StatusRunning)
	next := must[time.Time](t)(q.Sweep(q.ctx, Epoch.Add(49*time.Second)))
	if next.After(Epoch.Add(50 * time.Second)) {
		t.Errorf("the next sweep is at %s, after the lease ends", next)
	}
	q.sweep(Epoch.Add(50 * time.Second))
	j := q.stands(id, jobs.StatusRetrying)
	same(t, j.Attempts[0].Outcome, jobs.OutcomeLost)
	_, err := q.Fail(q.ctx, Epoch.Add(51*time.Second), claim(l), plane.Failure{Outcome: jobs.OutcomeFailed})
	q.is(err, plane.ErrFenced)

	now := Epoch.Add(time.Hour)
	l = q.leaseOne(now)
	for i := range 3 {
		if _, _, err := q.Extend(q.ctx, now.Add(time.Duration(i)*20*time.Second), claim(l), nil); err != nil {
			t.Fatal(err)
		}
	}
	q.sweep(now.Add(59 * time.Second))
	q.stands(id, jobs.StatusRunning)
	q.sweep(now.Add(60 * time.Second))
	j = q.stands(id, jobs.StatusDead)
	same(t, j.Attempts[1].Outcome, jobs.OutcomeTimeout)
}

func expiry(t *testing.T, connect Connect) {
	s := Settings()
	q := with(t, connect(s))
	done, gone := q.submit(Epoch, NewJob(idempotent("k", "c")))[0], ""
	q.complete(Epoch, q.leaseOne(Epoch))
	gone = q.submit(Epoch, NewJob(labelled("a", "b")))[0]
	q.fail(Epoch, q.leaseOne(Epoch), plane.Failure{Permanent: true})
	q.sweep(Epoch.Add(s.ResultTTL - time.Second))
	q.stands(done, jobs.StatusSucceeded)
	q.sweep(Epoch.Add(s.ResultTTL))
	_, err := q.Get(q.ctx, done)
	q.is(err, plane.ErrNotFound)
	q.stands(gone, jobs.StatusDead)
	if id := q.submit(Epoch.Add(s.ResultTTL), NewJob(idempotent("k", "d")))[0]; id == done {
		t.Error("an idempotency key outlived its job")
	}
	q.sweep(Epoch.Add(s.DeadRetention))
	_, err = q.Get(q.ctx, gone)
	q.is(err, plane.ErrNotFound)
}
