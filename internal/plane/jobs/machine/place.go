package machine

import plane "github.com/trellis-dev/trellis/internal/plane/jobs"

// keyed is what is known of one ordering key: its jobs that are not at their end, the oldest on top.
type keyed struct {
	jobs    *pile
	running int
	// ready is its one job that can be leased, nil for none.
	ready *job
}

// move puts a job whose status or time changed where it now belongs.
func (s *State) move(j *job, to status) {
	s.leave(j)
	s.count(j, -1)
	was := j.status
	j.status = to
	s.count(j, 1)
	if s.settings.Ordered && j.key != "" {
		s.moveKeyed(j, was)
		return
	}
	s.put(j, true)
}

// count keeps the numbers of jobs by status and priority.
func (s *State) count(j *job, by int64) {
	s.depth[j.status] += by
	if j.status.waiting() {
		s.waiting += by
		j.class.waiting += by
	}
}

// leave takes a job from the pile that it is in.
func (s *State) leave(j *job) {
	switch {
	case j.place == nil:
	case j.place == j.class.ready:
		j.class.remove(j)
	default:
		j.place.remove(j)
	}
	j.place = nil
}

// put places a job; free is false for one that has to wait for another of its key.
func (s *State) put(j *job, free bool) {
	switch {
	case j.status == succeeded:
		j.place = s.done
	case j.status.terminal():
		j.place = s.dead
	case j.status == running:
		j.place = s.running
	case !j.due:
		j.place = s.delayed
	case !free:
		j.place = s.blocked
	default:
		j.place = j.class.ready
		j.class.add(j)
		return
	}
	j.place.push(j)
}

func (s *State) moveKeyed(j *job, was status) {
	k := s.keys[j.key]
	if k == nil {
		k = &keyed{jobs: newPile(byKey, bySeq)}
		s.keys[j.key] = k
	}
	if k.ready == j {
		k.ready = nil
	}
	if j.inKey && was == running {
		k.running--
	}
	if j.status == running {
		k.running++
	}
	switch {
	case j.status.terminal() && j.inKey:
		k.jobs.remove(j)
		j.inKey = false
	case !j.status.terminal() && !j.inKey:
		k.jobs.push(j)
		j.inKey = true
	}
	s.put(j, false)
	s.arrange(j.key, k)
}

// arrange has the oldest job of a key, and it alone, be leased once its time has come.
func (s *State) arrange(key string, k *keyed) {
	if k.jobs.len() == 0 {
		delete(s.keys, key)
		return
	}
	var next *job
	if head := k.jobs.top(); k.running == 0 && head.due && head.status.waiting() {
		next = head
	}
	if k.ready == next {
		return
	}
	if k.ready != nil {
		s.leave(k.ready)
		s.put(k.ready, false)
	}
	if k.ready = next; next != nil {
		s.leave(next)
		s.put(next, true)
		s.effects.Changes = append(s.effects.Changes, plane.Change{ID: next.id, Due: true})
	}
}

// promote has the jobs be due whose time has come.
func (s *State) promote(now int64) {
	for j := s.delayed.top(); j != nil && j.dueAt() <= now; j = s.delayed.top() {
		s.leave(j)
		j.due = true
		to := j.status
		if to == scheduled {
			to = queued
		}
		s.move(j, to)
	}
}

// rearrange places all jobs anew, after ordering by key was switched on or off.
func (s *State) rearrange() {
	s.keys = map[string]*keyed{}
	for _, j := range s.order.jobs {
		if j == nil {
			continue
		}
		j.inKey = false
		if !j.status.terminal() {
			s.move(j, j.status)
		}
	}
}

// forget removes a job that is not running.
func (s *State) forget(j *job) {
	if !j.status.terminal() {
		s.move(j, cancelled) // so that the next of its key can go
	}
	s.leave(j)
	s.count(j, -1)
	delete(s.jobs, j.id)
	if j.idempotency != "" {
		delete(s.idempotency, j.idempotency)
	}
	s.order.remove(j)
	s.drop(j.payload)
	if j.result != nil {
		s.drop(*j.result)
	}
	s.changed(j, false)
}
