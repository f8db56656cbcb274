package mover

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// maxDropping is how many partitions are being forgotten at once.
const maxDropping = 8

// Wanted is what the configuration asks for.
type Wanted struct {
	Partitions int
	// Members that there are to be.
	Members []ring.Member
	// Pins are the IDs of members that are to own a partition whatever the balance.
	Pins map[int]string
	// Published is true where there was a table at any time. One that is not there is lost then.
	Published bool
	// Lost is what is known of it besides: as it was when it was seen last, without partitions where some were on their way then.
	Lost ring.Table
	// History of its memberships, of which the first ones may be missing; it may be empty.
	History []table.Membership
	// MaxMoving partitions at once, 1 at least.
	MaxMoving int
	// PauseLimit is how long a partition may be served by nobody before its move is given up.
	PauseLimit time.Duration
	// Paused has no further move begin.
	Paused bool
}

// answer of a member that was asked how it is.
type answer int

const (
	// unknown is to be asked.
	unknown answer = iota
	asking
	// silent did not answer; it is asked again later.
	silent
	// starting may take a partition, and gives none away yet.
	starting
	settled
)

// view is what a decision is made of: the state as it was written last, and what became of calls since.
type view struct {
	state  table.State
	wanted Wanted
	// ended are the moves that all was done for but the commit; failed are those that are to be given up, and why.
	ended  map[int]ring.Move
	failed map[int]table.Failure
	// dropped are the partitions that were forgotten.
	dropped map[ring.Move]bool
	// moving and dropping are being carried out.
	moving   map[int]ring.Move
	dropping map[ring.Move]bool
	// held are the partitions whose move failed a short while ago, and heldDrops the same.
	held      map[int]ring.Move
	heldDrops map[ring.Move]bool
	members   map[string]answer
	// pods are the members that have one, and met the incarnations of those that answered.
	pods  map[string]table.Member
	met   map[string]string
	bases *bases
}

// step is what is to be done: either a write, or calls.
type step struct {
	// write is nil where nothing is to be written.
	write *table.State
	// why, for the log.
	why []string
	// move, drop and ask are calls to begin; cancel are moves whose calls are to end.
	move   []ring.Move
	drop   []ring.Move
	ask    []string
	cancel []int
}

// next decides. What is to be called follows from a state that was written, never from one that is to be.
func next(v view) step {
	d := &decision{view: v, state: v.state.Clone(), leftAt: map[leftover]bool{}, asked: map[string]bool{}}
	d.finish()
	d.join()
	d.name()
	d.adopt()
	d.begin()
	if len(d.why) > 0 {
		d.settleMembers()
		d.state.Table.Epoch++
		return step{write: &d.state, why: d.why}
	}
	return d.calls()
}

// decision on its way.
type decision struct {
	view
	state table.State
	why   []string
	ask   []string
	asked map[string]bool
	// leftAt has what is to be forgotten still.
	leftAt map[leftover]bool
}

// leftover is a partition at a member that does not own it.
type leftover struct {
	partition int
	member    string
}

func (d *decision) note(format string, args ...any) {
	d.why = append(d.why, fmt.Sprintf(format, args...))
}

// finish commits what was carried over, gives up what failed, and forgets what was dropped.
func (d *decision) finish() {
	t := &d.state.Table
	t.Moves = slices.DeleteFunc(t.Moves, func(m ring.Move) bool {
		if d.ended[m.Partition] == m {
			t.Owners[m.Partition] = memberIndex(t, m.To)
			d.state.Dropping = append(d.state.Dropping, m)
			d.forgive(m.Partition)
			d.note("partition %d is %s's now, and no longer %s's", m.Partition, m.To, m.From)
			return true
		}
		if f, ok := d.failed[m.Partition]; ok && f.Move == m {
			// What came there is of no use: it is to be forgotten there.
			d.state.Dropping = append(d.state.Dropping, ring.Move{Partition: m.Partition, From: m.To, To: m.From})
			d.forgive(m.Partition)
			d.state.Failures = append(d.state.Failures, f)
			d.state.Failures = d.state.Failures[max(0, len(d.state.Failures)-table.MaxFailures):]
			d.note("partition %d stays %s's for now: %s", m.Partition, m.From, f.Reason)
			return true
		}
		return false
	})
	d.state.Dropping = slices.DeleteFunc(d.state.Dropping, func(m ring.Move) bool {
		if d.dropped[m] {
			d.note("%s has forgotten partition %d", m.From, m.Partition)
		}
		return d.dropped[m]
	})
}

func (d *decision) forgive(p int) {
	d.state.Failures = slices.DeleteFunc(d.state.Failures, func(f table.Failure) bool { return f.Partition == p })
}

// join takes up who the members are to be, and which partitions are pinned.
func (d *decision) join() {
	members := sorted(d.wanted.Members)
	last := len(d.state.History) - 1
	if len(members) > 0 && (last < 0 || !slices.Equal(sorted(d.state.History[last].Members), members)) {
		epoch := max(d.state.Target.Epoch, d.base().Epoch) + 1
		target := ring.Rebalance(d.base(), members)
		target.Epoch = epoch
		d.state.History = append(d.state.History, table.Membership{Epoch: epoch, Members: members})
		d.state.Base, d.state.History = shortened(d.state)
		d.state.Target = ring.Pin(target, d.wanted.Pins)
		d.addMembers(members)
		d.note("the members are to be %d", len(members))
		return
	}
	if pinned := ring.Pin(d.base(), d.wanted.Pins); !slices.Equal(pinned.Owners, d.state.Target.Owners) {
		pinned.Epoch = d.state.Target.Epoch
		d.state.Target = pinned
		d.note("other partitions are pinned")
	}
}

// adopt gives away what nobody ever owned.
func (d *decision) adopt() {
	t := &d.state.Table
	given := 0
	for p := range t.Owners {
		if t.Owners[p] != ring.None {
			continue
		}
		if to, ok := d.goal(p); ok {
			d.addMembers(d.state.Target.Members)
			t.Owners[p] = memberIndex(t, to)
			given++
		}
	}
	if given > 0 {
		d.note("%d partitions were nobody's", given)
	}
}

// goal is who is to own p in the end.
func (d *decision) goal(p int) (string, bool) {
	m, ok := d.state.Target.Owner(p)
	return m.ID, ok
}

// begin as many moves as there may be at once, each between the two members that are farthest from their shares.
func (d *decision) begin() {
	t := &d.state.Table
	room := max(d.wanted.MaxMoving, 1) - len(t.Moves)
	if d.wanted.Paused || room <= 0 {
		return
	}
	for _, drop := range d.state.Dropping {
		d.leftAt[leftover{drop.Partition, drop.From}] = true
	}
	surplus := d.surplus()
	for ; room > 0; room-- {
		best, found, by := ring.Move{}, false, 0
		for p := range t.Owners {
			m, ok := d.candidate(p)
			if !ok || !d.ready(m) {
				continue
			}
			if far := surplus[m.From] - surplus[m.To]; !found || far > by {
				best, found, by = m, true, far
			}
		}
		if !found {
			return
		}
		surplus[best.From]--
		surplus[best.To]++
		t.Moves = append(t.Moves, best)
		d.note("partition %d leaves %s for %s", best.Partition, best.From, best.To)
	}
}

// candidate is the move that p is to make, if it may begin.
func (d *decision) candidate(p int) (ring.Move, bool) {
	t := &d.state.Table
	from, owned := t.Owner(p)
	to, ok := d.goal(p)
	if !owned || !ok || from.ID == to {
		return ring.Move{}, false
	}
	if _, held := d.held[p]; held {
		return ring.Move{}, false
	}
	if _, moving := t.Moving(p); moving {
		return ring.Move{}, false
	}
	// What is to be forgotten there is not to meet what comes there.
	if d.leftAt[leftover{p, to}] {
		return ring.Move{}, false
	}
	return ring.Move{Partition: p, From: from.ID, To: to}, true
}

// ready reports whether both ends of a move answered. Those that were not asked yet are to be.
func (d *decision) ready(m ring.Move) bool {
	d.meet(m.From)
	d.meet(m.To)
	return d.members[m.From] == settled && d.members[m.To] >= starting && d.named(m.From) && d.named(m.To)
}

// meet has a member asked that was not yet.
func (d *decision) meet(id string) {
	if d.members[id] == unknown && !d.asked[id] {
		d.asked[id] = true
		d.ask = append(d.ask, id)
	}
}

// surplus is how many partitions each member owns above what it is to own, moves under way counted as over.
func (d *decision) surplus() map[string]int {
	out := map[string]int{}
	for p := range d.state.Table.Owners {
		owner, ok := d.state.Table.Owner(p)
		if move, moving := d.state.Table.Moving(p); moving {
			owner.ID = move.To
		}
		if ok {
			out[owner.ID]++
		}
		if to, ok := d.goal(p); ok {
			out[to]--
		}
	}
	return out
}

// calls that follow from what is written.
func (d *decision) calls() step {
	s := step{ask: d.ask}
	for _, m := range d.state.Table.Moves {
		to, ok := d.goal(m.Partition)
		_, calling := d.moving[m.Partition]
		switch {
		case !calling:
			s.move = append(s.move, m)
		case !ok || to != m.To:
			s.cancel = append(s.cancel, m.Partition)
		}
	}
	room := maxDropping - len(d.dropping)
	for _, m := range d.state.Dropping {
		if len(s.drop) < room && !d.dropping[m] && !d.heldDrops[m] && d.named(m.From) {
			s.drop = append(s.drop, m)
		}
	}
	return s
}

// addMembers to the table that is served by, which knows those that are to come and those that are to go.
func (d *decision) addMembers(members []ring.Member) {
	byID := map[string]ring.Member{}
	for _, m := range d.state.Table.Members {
		byID[m.ID] = m
	}
	for _, m := range members {
		byID[m.ID] = m
	}
	d.setMembers(byID)
}

// settleMembers leaves out of the table whoever has nothing to do with it any more.
func (d *decision) settleMembers() {
	t := &d.state.Table
	byID := map[string]ring.Member{}
	for _, m := range t.Members {
		byID[m.ID] = m
	}
	used := map[string]bool{}
	for _, m := range d.state.Target.Members {
		used[m.ID] = true
	}
	for p := range t.Owners {
		if m, ok := t.Owner(p); ok {
			used[m.ID] = true
		}
	}
	for _, m := range slices.Concat(t.Moves, d.state.Dropping) {
		used[m.From], used[m.To] = true, true
	}
	for id := range byID {
		if !used[id] {
			delete(byID, id)
		}
	}
	d.setMembers(byID)
}

func (d *decision) setMembers(byID map[string]ring.Member) {
	t := &d.state.Table
	owners := make([]string, len(t.Owners))
	for p := range t.Owners {
		if m, ok := t.Owner(p); ok {
			owners[p] = m.ID
		}
	}
	t.Members = t.Members[:0]
	for _, m := range byID {
		t.Members = append(t.Members, m)
	}
	t.Members = sorted(t.Members)
	for p, id := range owners {
		t.Owners[p] = memberIndex(t, id)
	}
}

func sorted(members []ring.Member) []ring.Member {
	return slices.SortedFunc(slices.Values(members), func(a, b ring.Member) int { return cmp.Compare(a.ID, b.ID) })
}

// memberIndex is None where there is no such member.
func memberIndex(t *ring.Table, id string) int {
	i, ok := slices.BinarySearchFunc(t.Members, id, func(m ring.Member, id string) int { return cmp.Compare(m.ID, id) })
	if !ok {
		return ring.None
	}
	return i
}
