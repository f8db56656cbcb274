package machine

import (
	"slices"
	"strconv"
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
)

// outbox holds what each sink has not got yet.
type outbox map[string]*letters

// letters are the events of one sink.
type letters struct {
	// types that are wanted, nil for all.
	types []string
	// list in the order in which they came to be; those that were sent are nil until the list is compacted.
	list []*letter
	byID map[string]int
	// first is the index before which all are sent.
	first int
}

// letter is an event, and until when somebody has it.
type letter struct {
	event plane.Event
	until int64
}

// keep has the outbox be for these sinks.
func (o outbox) keep(sinks map[string][]string) {
	for name := range o {
		if _, wanted := sinks[name]; !wanted {
			delete(o, name)
		}
	}
	for name, types := range sinks {
		if o[name] == nil {
			o[name] = &letters{byID: map[string]int{}}
		}
		o[name].types = types
	}
}

// emit puts an event of a job into the outboxes of the sinks that want it.
func (s *State) emit(j *job, at int64, kind string) {
	for _, l := range s.outbox {
		if l.types != nil && !slices.Contains(l.types, kind) {
			continue
		}
		l.add(&letter{event: plane.Event{
			ID: eventID(j, kind), Type: kind, Time: instant(at), Job: j.view(), TraceParent: j.traceParent,
		}})
	}
}

func (l *letters) add(m *letter) {
	l.byID[m.event.ID] = len(l.list)
	l.list = append(l.list, m)
}

// open calls yield with the events that can be handed out, until it returns false. One whose job has an earlier
// event with somebody is left out, so that no two replicas send the events of a job at once.
func (l *letters) open(now int64, yield func(*letter) bool) {
	held := map[string]bool{}
	for _, m := range l.list[l.first:] {
		switch {
		case m == nil || held[m.event.Job.ID]:
		case m.until > now:
			held[m.event.Job.ID] = true
		case !yield(m):
			return
		}
	}
}

func (s *State) take(c Take) []plane.Event {
	l := s.outbox[c.Sink]
	if l == nil || c.Max <= 0 {
		return nil
	}
	var out []plane.Event
	l.open(nanos(c.Now), func(m *letter) bool {
		m.until = nanos(c.Now.Add(c.TTL))
		out = append(out, m.event)
		return len(out) < c.Max
	})
	return out
}

// Deliverable reports whether a sink has events that nobody has.
func (s *State) Deliverable(now time.Time, sink string) bool {
	found := false
	if l := s.outbox[sink]; l != nil {
		l.open(nanos(now), func(*letter) bool { found = true; return false })
	}
	return found
}

// Letters is how many events a sink has not got yet.
func (s *State) Letters(sink string) int {
	if l := s.outbox[sink]; l != nil {
		return len(l.byID)
	}
	return 0
}

func (s *State) sent(c Sent) {
	l := s.outbox[c.Sink]
	if l == nil {
		return
	}
	for _, id := range c.IDs {
		if i, ok := l.byID[id]; ok {
			l.list[i] = nil
			delete(l.byID, id)
		}
	}
	for l.first < len(l.list) && l.list[l.first] == nil {
		l.first++
	}
	if gone := len(l.list) - len(l.byID); gone > 64 && gone > len(l.list)/2 {
		l.compact()
	}
}

func (l *letters) compact() {
	kept := slices.DeleteFunc(l.list, func(m *letter) bool { return m == nil })
	l.list, l.first, l.byID = nil, 0, make(map[string]int, len(kept))
	for _, m := range kept {
		l.add(m)
	}
}

// eventID is unique to what happened to a job, and the same for every sink.
func eventID(j *job, kind string) string {
	return j.id + "-" + strconv.FormatInt(j.revision, 10) + kind[len("dev.trellis.job"):]
}
