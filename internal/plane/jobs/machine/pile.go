package machine

// Kinds of piles: a job is in at most one of each.
const (
	// byPlace are the piles of which a job is in exactly one.
	byPlace = iota
	// byType are those of the jobs of one type that can be leased.
	byType
	// byKey are those of the jobs of one ordering key that are not at their end.
	byKey
	slots
)

// pile is a heap of jobs that knows where each job is, so that one can be taken out of its middle.
type pile struct {
	slot int
	less func(a, b *job) bool
	jobs []*job
}

func newPile(slot int, less func(a, b *job) bool) *pile { return &pile{slot: slot, less: less} }

// The orders of piles. Each ends with the order of acceptance, so that all replicas agree.
func bySeq(a, b *job) bool      { return a.seq < b.seq }
func byDue(a, b *job) bool      { return before(a.dueAt(), b.dueAt(), a, b) }
func byFinished(a, b *job) bool { return before(a.finished, b.finished, a, b) }
func byOver(a, b *job) bool {
	return before(min(a.expires, a.deadline), min(b.expires, b.deadline), a, b)
}

func before(x, y int64, a, b *job) bool {
	if x != y {
		return x < y
	}
	return a.seq < b.seq
}

func (p *pile) len() int { return len(p.jobs) }

// top is the first job, nil of an empty pile.
func (p *pile) top() *job {
	if p == nil || len(p.jobs) == 0 {
		return nil
	}
	return p.jobs[0]
}

func (p *pile) push(j *job) {
	p.jobs = append(p.jobs, j)
	j.pos[p.slot] = int32(len(p.jobs) - 1)
	p.up(len(p.jobs) - 1)
}

func (p *pile) remove(j *job) {
	i, last := int(j.pos[p.slot]), len(p.jobs)-1
	p.swap(i, last)
	p.jobs[last] = nil
	p.jobs = p.jobs[:last]
	if i < last {
		p.fixAt(i)
	}
}

// fix is to be called after what the pile is ordered by has changed.
func (p *pile) fix(j *job) { p.fixAt(int(j.pos[p.slot])) }

func (p *pile) fixAt(i int) {
	if !p.down(i) {
		p.up(i)
	}
}

func (p *pile) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !p.less(p.jobs[i], p.jobs[parent]) {
			return
		}
		p.swap(i, parent)
		i = parent
	}
}

func (p *pile) down(i int) (moved bool) {
	for {
		child := 2*i + 1
		if child >= len(p.jobs) {
			return moved
		}
		if right := child + 1; right < len(p.jobs) && p.less(p.jobs[right], p.jobs[child]) {
			child = right
		}
		if !p.less(p.jobs[child], p.jobs[i]) {
			return moved
		}
		p.swap(i, child)
		i, moved = child, true
	}
}

func (p *pile) swap(i, k int) {
	p.jobs[i], p.jobs[k] = p.jobs[k], p.jobs[i]
	p.jobs[i].pos[p.slot], p.jobs[k].pos[p.slot] = int32(i), int32(k)
}

// countUntil counts the jobs for which in is true, where it is true of a job only if it is of its parent.
func (p *pile) countUntil(i int, in func(*job) bool) int64 {
	if i >= len(p.jobs) || !in(p.jobs[i]) {
		return 0
	}
	return 1 + p.countUntil(2*i+1, in) + p.countUntil(2*i+2, in)
}
