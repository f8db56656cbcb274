package machine

import (
	"maps"
	"slices"
	"sync/atomic"
)

// Frozen is a state as it was at one moment. It shares with the state what nobody changes in place: texts, metadata,
// contents and progress. So to freeze is a fraction of what it takes to encode, and encoding holds nobody up.
type Frozen struct {
	// rest is all but the jobs, as far as it is encoded.
	rest *State
	jobs []job
	room *atomic.Int64
}

// Freeze copies the state as it is now.
func (s *State) Freeze() *Frozen {
	f := &Frozen{
		rest: &State{
			settings: s.settings, paid: s.paid, paused: s.paused, free: s.free, seq: s.seq,
			schedules: maps.Clone(s.schedules), outbox: make(outbox, len(s.outbox)), rates: s.rates,
		},
		jobs: make([]job, 0, len(s.jobs)), room: &s.room,
	}
	for _, k := range s.classes {
		f.rest.classes = append(f.rest.classes, &class{name: k.name, paid: k.paid})
	}
	for name, l := range s.outbox {
		f.rest.outbox[name] = l.freeze()
	}
	for _, j := range s.order.jobs {
		if j == nil {
			continue
		}
		f.jobs = append(f.jobs, *j)
		if len(j.attempts) > 0 {
			// The last one's end is noted in place.
			f.jobs[len(f.jobs)-1].attempts = slices.Clone(j.attempts)
		}
	}
	return f
}

// freeze copies the letters that are not sent: until when somebody has one changes in place.
func (l *letters) freeze() *letters {
	all := make([]letter, 0, len(l.byID))
	out := &letters{types: l.types, list: make([]*letter, 0, len(l.byID))}
	for _, m := range l.list[l.first:] {
		if m != nil {
			all = append(all, *m)
			out.list = append(out.list, &all[len(all)-1])
		}
	}
	return out
}

// Encode is the state as bytes, for Restore.
func (f *Frozen) Encode() []byte {
	room := int(f.room.Load())
	x := &codec{bytes: append(make([]byte, 0, room+room/8+1024), Version)}
	x.head(f.rest)
	n := uint64(len(f.jobs))
	x.uint(&n)
	for i := range f.jobs {
		class := f.jobs[i].class.name
		x.string(&class)
		x.job(&f.jobs[i])
	}
	x.tail(f.rest)
	f.room.Store(int64(len(x.bytes)))
	return x.bytes
}
