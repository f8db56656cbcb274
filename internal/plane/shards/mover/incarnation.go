package mover

import (
	"maps"
	"slices"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// name the pods that have the members' names now. One is named once it has answered, and only where no pod before it has
// the name still by the EndpointSlices; one that was superseded is never named again, however old what is known of them.
func (d *decision) name() {
	for _, id := range slices.Sorted(maps.Keys(d.pods)) {
		uid := d.pods[id].Incarnation
		if uid == "" || slices.Contains(d.state.Incarnations[id], uid) {
			continue
		}
		if d.meet(id); d.met[id] != uid {
			continue
		}
		if d.state.Incarnations == nil {
			d.state.Incarnations = map[string][]string{}
		}
		d.state.Incarnations[id] = withNewest(d.state.Incarnations[id], uid)
		d.note("%s is the pod %s now", id, uid)
	}
}

// withNewest is the list of a member's pods with a new one.
func withNewest(before []string, uid string) []string {
	out := append([]string{uid}, before...)
	return out[:min(len(out), table.MaxIncarnations)]
}

// named reports whether the pod that has a member's name is the one that the table means. Where it is not, it obeys no
// order.
func (d *decision) named(id string) bool {
	uid := d.pods[id].Incarnation
	pods := d.state.Incarnations[id]
	return uid == "" || len(pods) > 0 && pods[0] == uid
}

// lookAround takes in which pods there are. Of a member whose pod is another one, or has become ready, nothing counts that
// was known of it; what failed with it is tried again.
func (r *run) lookAround() {
	ids := r.view.ids()
	maps.DeleteFunc(r.view.pods, func(id string, _ table.Member) bool { return !ids[id] })
	for id := range ids {
		now, there := r.opts.Members.Member(id)
		before, was := r.view.pods[id]
		if there == was && now == before {
			continue
		}
		if there {
			r.view.pods[id] = now
		} else {
			delete(r.view.pods, id)
		}
		r.forget(id)
	}
}

// forget what is known of a member, and that things failed with it.
func (r *run) forget(id string) {
	if r.view.members[id] != asking {
		delete(r.view.members, id)
	}
	delete(r.view.met, id)
	delete(r.tries, id)
	for p, m := range r.view.held {
		if m.From == id || m.To == id {
			delete(r.view.held, p)
			delete(r.tries, p)
		}
	}
	for m := range r.view.heldDrops {
		if m.From == id {
			delete(r.view.heldDrops, m)
			delete(r.tries, m)
		}
	}
}

// ids of all that are members, or are to be.
func (v *view) ids() map[string]bool {
	out := map[string]bool{}
	for _, members := range [][]ring.Member{v.state.Table.Members, v.state.Target.Members, v.wanted.Members} {
		for _, m := range members {
			out[m.ID] = true
		}
	}
	return out
}
