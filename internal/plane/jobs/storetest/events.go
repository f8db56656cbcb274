package storetest

import (
	"testing"
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

func sinking(sinks map[string][]string) plane.Settings {
	s := Settings()
	s.Sinks = sinks
	return s
}

func (q queue) events(now time.Time, sink string, most int) []plane.Event {
	q.t.Helper()
	return must[[]plane.Event](q.t)(q.Events(q.ctx, now, sink, most, time.Minute))
}

func (q queue) sent(sink string, events ...plane.Event) {
	q.t.Helper()
	var ids []string
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	q.is(q.Sent(q.ctx, sink, ids), nil)
}

func kinds(of []plane.Event) (out []string) {
	for _, e := range of {
		out = append(out, e.Type[len("dev.trellis.job."):]+" "+string(e.Job.Status))
	}
	return out
}

func events(t *testing.T, connect Connect) {
	q := with(t, connect(sinking(map[string][]string{"all": nil, "ends": {jobs.EventSucceeded, jobs.EventDead}})))
	n := NewJob(labelled("who", "a"))
	n.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	id := q.submit(Epoch, n)[0]
	l := q.leaseOne(Epoch)
	if _, _, err := q.Extend(q.ctx, Epoch, claim(l), &jobs.Progress{Percent: 7, Message: "on it"}); err != nil {
		t.Fatal(err)
	}
	q.fail(Epoch, l, plane.Failure{Error: "no paper"})
	now := Epoch.Add(retryIn)
	q.complete(now, q.leaseOne(now))

	got := q.events(now, "all", 100)
	same(t, kinds(got), []string{"accepted queued", "started running", "progress running", "failed retrying", "started running", "succeeded succeeded"})
	seen := map[string]bool{}
	for _, e := range got {
		if seen[e.ID] || e.ID == "" || e.Job.ID != id || e.TraceParent != n.TraceParent || e.Job.Metadata["who"] != "a" {
			t.Errorf("event %+v", e)
		}
		seen[e.ID] = true
	}
	same(t, []any{got[0].Time, got[5].Time, got[2].Job.Progress.Message, got[3].Job.Error}, []any{Epoch, now, "on it", "no paper"})
	same(t, []int{must[int](t)(q.Waiting(q.ctx, "all", 100)), must[int](t)(q.Waiting(q.ctx, "none", 100))}, []int{6, 0})
	// They are somebody's for a minute, and then the same again.
	same(t, len(q.events(now.Add(time.Minute-time.Millisecond), "all", 100)), 0)
	again := q.events(now.Add(time.Minute), "all", 2)
	same(t, again, got[:2])
	q.sent("all", got...)
	q.sent("all", got...)
	same(t, len(q.events(now.Add(time.Hour), "all", 100)), 0)
	same(t, kinds(q.events(now, "ends", 100)), []string{"succeeded succeeded"})
	same(t, len(q.events(now, "none", 100)), 0)

	id = q.submit(now, NewJob())[0]
	q.fail(now, q.leaseOne(now), plane.Failure{Permanent: true})
	q.is(q.Delete(q.ctx, id), nil)
	same(t, kinds(q.events(now, "all", 100)), []string{"accepted queued", "started running", "failed dead", "dead dead"})
}

func eventsInOrder(t *testing.T, connect Connect) {
	s := sinking(map[string][]string{"all": nil})
	one, other := with(t, connect(s)), with(t, connect(s))
	ids := one.submit(Epoch, NewJob(), NewJob())
	first := one.events(Epoch, "all", 1)
	same(t, first[0].Job.ID, ids[0])
	for _, l := range one.lease(Epoch, 2) {
		one.complete(Epoch, l)
	}
	// Those of a job whose first event is somebody's wait for it.
	got := other.events(Epoch, "all", 100)
	same(t, kinds(got), []string{"accepted queued", "started running", "succeeded succeeded"})
	for _, e := range got {
		same(t, e.Job.ID, ids[1])
	}
	one.sent("all", first...)
	same(t, kinds(one.events(Epoch, "all", 100)), []string{"started running", "succeeded succeeded"})
}

// eventsOfNobody: a sink that is taken away and comes back a day later does not get what was for the one before.
func eventsOfNobody(t *testing.T, connect Connect) {
	kept, both := sinking(map[string][]string{"kept": nil}), sinking(map[string][]string{"kept": nil, "gone": nil})
	q := with(t, connect(both))
	q.submit(Epoch, NewJob())
	q.Reconfigure(kept)
	later := Epoch.Add(25 * time.Hour)
	must[time.Time](t)(q.Sweep(q.ctx, later))
	q.Reconfigure(both)
	same(t, len(q.events(later, "gone", 100)), 0)
	same(t, kinds(q.events(later, "kept", 100)), []string{"accepted queued"})
}
