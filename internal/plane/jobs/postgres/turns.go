package postgres

import (
	"maps"
	"slices"
	"sync"
)

// turns has priorities share by weight, by stride scheduling (Waldspurger, 1995): each start moves its priority
// on by 1/weight, and the one that is least far goes next. A replica keeps its own: shares add up.
type turns struct {
	mu    sync.Mutex
	lanes map[string]*turn
	// at is how far the priority was that went last, before it went.
	at float64
}

type turn struct {
	name string
	step float64
	at   float64
}

// quota is the most that a priority gets before the others have had theirs.
type quota struct {
	priority string
	jobs     int
}

// weigh sets the weights by name. A priority that others know keeps its place.
func (t *turns) weigh(weights map[string]int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lanes == nil {
		t.lanes = map[string]*turn{}
	}
	for name := range t.lanes {
		if _, ok := weights[name]; !ok {
			t.lanes[name].step = 1
		}
	}
	for name, weight := range weights {
		t.lane(name).step = 1 / float64(max(weight, 1))
	}
}

// meet makes priorities known that no setting names, and of which there are jobs still; they have weight 1.
func (t *turns) meet(names []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range names {
		t.lane(name)
	}
}

func (t *turns) lane(name string) *turn {
	l := t.lanes[name]
	if l == nil {
		l = &turn{name: name, step: 1, at: t.at}
		t.lanes[name] = l
	}
	return l
}

// plan says how n starts are to be shared, if all priorities wait, in the order in which their turns come.
func (t *turns) plan(n int) []quota {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := make(map[string]float64, len(t.lanes))
	jobs := make(map[string]int, len(t.lanes))
	for name, l := range t.lanes {
		at[name] = max(l.at, t.at)
	}
	var order []string
	for range n {
		next := t.first(at)
		if jobs[next]++; jobs[next] == 1 {
			order = append(order, next)
		}
		at[next] += t.lanes[next].step
	}
	for _, name := range slices.Sorted(maps.Keys(t.lanes)) {
		if jobs[name] == 0 {
			order = append(order, name)
		}
	}
	out := make([]quota, len(order))
	for i, name := range order {
		out[i] = quota{priority: name, jobs: jobs[name]}
	}
	return out
}

// first is the priority that is least far; of equals the heavier, then the one first in the alphabet.
func (t *turns) first(at map[string]float64) string {
	var best *turn
	for name, where := range at {
		l := t.lanes[name]
		switch {
		case best == nil || where < at[best.name]:
		case where > at[best.name]:
			continue
		case l.step > best.step || l.step == best.step && name > best.name:
			continue
		}
		best = l
	}
	return best.name
}

// started notes how many of each priority were started. One that had nothing to do meanwhile saved nothing up.
func (t *turns) started(jobs map[string]int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	reached := t.at
	for name, n := range jobs {
		l := t.lane(name)
		l.at = max(l.at, t.at) + l.step*float64(n)
		reached = max(reached, l.at-l.step)
	}
	t.at = reached
}
