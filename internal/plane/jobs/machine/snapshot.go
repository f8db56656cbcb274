package machine

import (
	"fmt"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// Snapshot is the whole state as bytes, for Restore.
func (s *State) Snapshot() []byte { return s.Freeze().Encode() }

// Restore is the opposite of Snapshot. The error wraps ErrNewer.
func Restore(b []byte) (*State, error) {
	if len(b) == 0 || b[0] != Version {
		return nil, fmt.Errorf("a snapshot of another version than %d: %w", Version, ErrNewer)
	}
	s := New()
	x := &codec{bytes: b, reading: true, at: 1}
	x.head(s)
	var n uint64
	for x.uint(&n); n > 0 && !x.broken; n-- {
		var name string
		x.string(&name)
		j := &job{class: s.classOf(name)}
		if x.job(j); x.broken || j.status >= statusCount {
			x.fail()
			break
		}
		s.adopt(j)
	}
	x.tail(s)
	return s, x.end("a snapshot")
}

// adopt takes up a job of a snapshot.
func (s *State) adopt(j *job) {
	s.jobs[j.id] = j
	if j.idempotency != "" {
		s.idempotency[j.idempotency] = j.id
	}
	s.order.add(j)
	s.count(j, 1)
	s.move(j, j.status)
}

// head is what has to be known before the jobs.
func (x *codec) head(s *State) {
	x.settings(&s.settings)
	x.int(&s.paid)
	x.bool(&s.paused)
	x.int(&s.free)
	x.uint(&s.seq)
	n := uint64(len(s.classes))
	x.uint(&n)
	for i := uint64(0); i < n && !x.broken; i++ {
		var name string
		if !x.reading {
			name = s.classes[i].name
		}
		x.string(&name)
		x.int(&s.classOf(name).paid)
	}
}

func (x *codec) job(j *job) {
	for _, p := range []*string{&j.id, &j.kind, &j.key, &j.idempotency, &j.traceParent, &j.failure} {
		x.string(p)
	}
	x.data(&j.digest)
	x.metadata(&j.metadata)
	optional(x, &j.progress, x.progress)
	optional(x, &j.result, x.content)
	list(x, &j.attempts, x.attempt)
	x.content(&j.payload)
	x.uint(&j.seq)
	for _, p := range []*int64{&j.accepted, &j.runAt, &j.started, &j.finished, &j.timeout, &j.expires, &j.deadline, &j.token, &j.revision} {
		x.int(p)
	}
	x.int32(&j.attempt)
	x.int32(&j.maxAttempts)
	st := uint64(j.status)
	if x.uint(&st); x.reading {
		j.status = status(min(st, uint64(statusCount)))
	}
	x.bool(&j.cancelRequested)
	x.bool(&j.due)
}

func (x *codec) attempt(a *attempt) {
	x.int32(&a.number)
	x.int(&a.token)
	x.string(&a.worker)
	x.int(&a.started)
	x.int(&a.ended)
	x.string((*string)(&a.outcome))
	x.string(&a.failure)
	x.bool(&a.swept)
}

// tail is what follows the jobs.
func (x *codec) tail(s *State) {
	table(x, &s.schedules, func(f *schedule) {
		x.int(&f.fired)
		x.string(&f.job)
	})
	if x.reading && s.schedules == nil {
		s.schedules = map[string]schedule{}
	}
	table(x, (*map[string]*letters)(&s.outbox), x.letters)
	if x.reading && s.outbox == nil {
		s.outbox = outbox{}
	}
	for i := range s.rates.counts {
		x.int(&s.rates.seconds[i])
		for what := range s.rates.counts[i] {
			x.int(&s.rates.counts[i][what])
		}
	}
}

func (x *codec) letters(p **letters) {
	if x.reading {
		*p = &letters{byID: map[string]int{}}
	}
	l := *p
	all := l.types == nil
	x.bool(&all)
	if x.strings(&l.types); x.reading && !all && l.types == nil {
		l.types = []string{}
	}
	list(x, &l.list, func(m **letter) {
		if x.reading {
			*m = &letter{}
		}
		x.letter(*m)
	})
	for i := 0; x.reading && i < len(l.list); i++ {
		l.byID[l.list[i].event.ID] = i
	}
}

func (x *codec) letter(m *letter) {
	x.int(&m.until)
	x.event(&m.event)
}

func (x *codec) event(e *plane.Event) {
	x.string(&e.ID)
	x.string(&e.Type)
	x.time(&e.Time)
	x.string(&e.TraceParent)
	x.view(&e.Job)
}

// view codes a job as an event shows it: it is of the moment of the event, not of the job.
func (x *codec) view(v *jobs.Job) {
	for _, p := range []*string{&v.ID, &v.Type, (*string)(&v.Status), &v.Priority, &v.OrderingKey, &v.Timeout, &v.Error} {
		x.string(p)
	}
	x.metadata(&v.Metadata)
	x.time(&v.AcceptedAt)
	optional(x, &v.RunAt, x.time)
	optional(x, &v.StartedAt, x.time)
	optional(x, &v.FinishedAt, x.time)
	x.count(&v.Attempt)
	x.count(&v.MaxAttempts)
	x.bool(&v.CancelRequested)
	optional(x, &v.Progress, x.progress)
	x.int(&v.Revision)
	list(x, &v.Attempts, func(a *jobs.Attempt) {
		x.count(&a.Number)
		x.string(&a.Worker)
		x.time(&a.StartedAt)
		optional(x, &a.EndedAt, x.time)
		x.string((*string)(&a.Outcome))
		x.string(&a.Error)
	})
}
