package machine

import "slices"

// share is what a class of weight 1 pays for a job; it is divisible by the weights up to 20.
const share = 232792560

// class is the jobs of one priority that can be leased. Classes share the workers by start-time fair queueing
// (Goyal et al., 1996): a class pays share/weight for each job, and the one that paid least goes next. A class
// that had nothing to do saves nothing up.
type class struct {
	name   string
	weight int
	paid   int64
	ready  *pile
	types  map[string]*pile
	// waiting counts its jobs that wait, whether they can be leased or not.
	waiting int64
}

func newClass(name string) *class {
	return &class{name: name, weight: 1, ready: newPile(byPlace, byDue), types: map[string]*pile{}}
}

func (k *class) weigh(weight int) { k.weight = max(weight, 1) }

// next is the job of these types, or of all, that goes first.
func (k *class) next(types []string) *job {
	if len(types) == 0 {
		return k.ready.top()
	}
	var first *job
	for _, t := range types {
		if j := k.types[t].top(); j != nil && (first == nil || byDue(j, first)) {
			first = j
		}
	}
	return first
}

func (k *class) add(j *job) {
	k.ready.push(j)
	of := k.types[j.kind]
	if of == nil {
		of = newPile(byType, byDue)
		k.types[j.kind] = of
	}
	of.push(j)
}

func (k *class) remove(j *job) {
	k.ready.remove(j)
	of := k.types[j.kind]
	of.remove(j)
	if of.len() == 0 {
		delete(k.types, j.kind)
	}
}

// classOf is the class of a priority. Classes are kept in the order of their names, as all replicas have to agree.
func (s *State) classOf(name string) *class {
	at, found := slices.BinarySearchFunc(s.classes, name, func(k *class, name string) int {
		switch {
		case k.name < name:
			return -1
		case k.name > name:
			return 1
		}
		return 0
	})
	if !found {
		k := newClass(name)
		k.weigh(s.settings.Weights[name])
		s.classes = slices.Insert(s.classes, at, k)
	}
	return s.classes[at]
}

// pick is the job that goes next, and pays for it.
func (s *State) pick(types []string) *job {
	var first *job
	var least int64
	for _, k := range s.classes {
		j := k.next(types)
		if j == nil {
			continue
		}
		paid := max(k.paid, s.paid)
		if first == nil || paid < least || paid == least && k.weight > first.class.weight {
			first, least = j, paid
		}
	}
	if first != nil {
		s.paid = least
		first.class.paid = least + share/int64(first.class.weight)
	}
	return first
}
