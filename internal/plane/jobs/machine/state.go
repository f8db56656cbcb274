package machine

import (
	"sort"
	"sync/atomic"
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// State is all that is known of one queue. It is not safe for concurrent use.
type State struct {
	settings Settings
	jobs     map[string]*job
	// idempotency is the id of the job by idempotency key, as long as the job is kept.
	idempotency map[string]string
	order       order
	classes     []*class
	// paid is what the class paid before its turn that went last.
	paid int64
	keys map[string]*keyed

	// Each job is in one of these, or in its class.
	delayed, blocked, running, done, dead *pile

	depth   [statusCount]int64
	waiting int64
	paused  bool
	// free is when the next start is allowed by the bucket of the rate, less the burst.
	free int64
	// seq is the last job's.
	seq       uint64
	schedules map[string]schedule
	outbox    outbox
	rates     rates

	effects Effects
	// unseen is true while nobody looks at results, which then are without jobs.
	unseen bool
	// room that the last snapshot took.
	room atomic.Int64
}

// schedule is when a schedule last fired, and what it made.
type schedule struct {
	fired int64
	job   string
}

// Effects are what applying a command did besides its result.
type Effects struct {
	Changes []plane.Change
	// Dropped are the references of contents that no job has any more.
	Dropped []string
}

// New is an empty queue.
func New() *State {
	return &State{
		settings:    Settings{Burst: 1},
		jobs:        map[string]*job{},
		idempotency: map[string]string{},
		keys:        map[string]*keyed{},
		delayed:     newPile(byPlace, byDue),
		blocked:     newPile(byPlace, byDue),
		running:     newPile(byPlace, byOver),
		done:        newPile(byPlace, byFinished),
		dead:        newPile(byPlace, byFinished),
		schedules:   map[string]schedule{},
		outbox:      outbox{},
	}
}

// Apply does what a command says, and returns its result: see the command.
func (s *State) Apply(c Command) (any, Effects) {
	s.effects = Effects{}
	result := c.apply(s)
	return result, s.effects
}

// show is a job for a result.
func (s *State) show(j *job) jobs.Job {
	if s.unseen {
		return jobs.Job{}
	}
	return j.view()
}

func (s *State) changed(j *job, due bool) {
	j.revision++
	s.effects.Changes = append(s.effects.Changes, plane.Change{ID: j.id, Due: due})
}

// wake tells whoever waits for a job to look for one.
func (s *State) wake() { s.effects.Changes = append(s.effects.Changes, plane.Change{Due: true}) }

func (s *State) drop(c Content) {
	if c.Ref != "" {
		s.effects.Dropped = append(s.effects.Dropped, c.Ref)
	}
}

// order lists the jobs in the order of acceptance.
type order struct {
	jobs []*job
	seqs []uint64
	gone int
}

func (o *order) add(j *job) {
	o.jobs, o.seqs = append(o.jobs, j), append(o.seqs, j.seq)
}

// from is the index of the first job that is not before seq.
func (o *order) from(seq uint64) int {
	return sort.Search(len(o.seqs), func(i int) bool { return o.seqs[i] >= seq })
}

func (o *order) remove(j *job) {
	o.jobs[o.from(j.seq)] = nil
	if o.gone++; o.gone > len(o.jobs)/2 {
		o.compact()
	}
}

func (o *order) compact() {
	kept := order{}
	for _, j := range o.jobs {
		if j != nil {
			kept.add(j)
		}
	}
	*o = kept
}

// Job is a job with its attempts, and the content of its result, nil for none.
func (s *State) Job(id string) (jobs.Job, *Content, bool) {
	j := s.jobs[id]
	if j == nil {
		return jobs.Job{}, nil, false
	}
	return j.view(), j.result, true
}

// Schedule is when a schedule last fired, and the id of the job that it made last.
func (s *State) Schedule(name string) (fired time.Time, job string) {
	f := s.schedules[name]
	return instant(f.fired), f.job
}

// Refs calls yield with each reference that a content of a job has.
func (s *State) Refs(yield func(ref string)) {
	for _, j := range s.jobs {
		if j.payload.Ref != "" {
			yield(j.payload.Ref)
		}
		if j.result != nil && j.result.Ref != "" {
			yield(j.result.Ref)
		}
	}
}

// Len is how many jobs there are.
func (s *State) Len() int { return len(s.jobs) }
