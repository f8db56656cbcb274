package mover

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// eight partitions, all a's or b's by turns, which is what the history leads to.
func eight(members ...string) table.State {
	empty := ring.Table{Partitions: 8, Owners: slices.Repeat([]int{ring.None}, 8)}
	s := table.State{Term: 3, History: []table.Membership{{Epoch: 1, Members: of(members...)}}}
	s.Target = ring.Rebalance(empty, of(members...))
	s.Target.Epoch = 1
	s.Table = s.Target.Clone()
	s.Table.Epoch = 10
	return s
}

func of(ids ...string) []ring.Member {
	var out []ring.Member
	for _, id := range ids {
		out = append(out, ring.Member{ID: id})
	}
	return out
}

// joined is eight of a and b once c is to be a member too.
func joined() view {
	v := viewOf(eight("a", "b"), "a", "b", "c")
	v.wanted.Paused = true
	v.state = *next(v).write
	v.wanted.Paused = false
	return v
}

// viewOf a state in which all members answered.
func viewOf(s table.State, wanted ...string) view {
	v := view{
		state: s, wanted: Wanted{Partitions: 8, Members: of(wanted...), MaxMoving: 1},
		ended: map[int]ring.Move{}, failed: map[int]table.Failure{}, dropped: map[ring.Move]bool{},
		moving: map[int]ring.Move{}, dropping: map[ring.Move]bool{}, held: map[int]ring.Move{}, heldDrops: map[ring.Move]bool{},
		members: map[string]answer{}, pods: map[string]table.Member{}, met: map[string]string{}, bases: &bases{},
	}
	for _, id := range []string{"a", "b", "c"} {
		v.members[id] = settled
		v.pods[id] = table.Member{Address: id + ":1"}
	}
	return v
}

// said is a step in words.
func said(s step) []string {
	var out []string
	if s.write != nil {
		return append(out, s.why...)
	}
	for _, m := range s.move {
		out = append(out, fmt.Sprintf("move %d from %s to %s", m.Partition, m.From, m.To))
	}
	for _, m := range s.drop {
		out = append(out, fmt.Sprintf("drop %d at %s", m.Partition, m.From))
	}
	for _, id := range s.ask {
		out = append(out, "ask "+id)
	}
	for _, p := range s.cancel {
		out = append(out, fmt.Sprintf("cancel %d", p))
	}
	return out
}

func moving(moves ...ring.Move) func(*view) {
	return func(v *view) { v.state.Table.Moves = append(v.state.Table.Moves, moves...) }
}

func also(all ...func(*view)) func(*view) {
	return func(v *view) {
		for _, f := range all {
			f(v)
		}
	}
}

func answered(id string, a answer) func(*view) {
	return func(v *view) { v.members[id] = a }
}

// podOf a member, as the EndpointSlices have it, and the pods that the table knows.
func podOf(id, uid string, known ...string) func(*view) {
	return func(v *view) {
		v.pods[id] = table.Member{Address: id + ":1", Incarnation: uid}
		v.state.Incarnations = map[string][]string{id: known}
	}
}

func TestNext(t *testing.T) {
	diff := ring.Diff(joined().state.Table, joined().state.Target)
	if len(diff) < 2 {
		t.Fatalf("%v are to move", diff)
	}
	one, two := diff[0], diff[1]
	begins := func(m ring.Move) string {
		return fmt.Sprintf("partition %d leaves %s for %s", m.Partition, m.From, m.To)
	}
	moves := func(m ring.Move) string { return fmt.Sprintf("move %d from %s to %s", m.Partition, m.From, m.To) }
	paused := func(v *view) { v.wanted.Paused = true }
	back := ring.Move{Partition: one.Partition, From: one.To, To: one.From}
	failure := func(m ring.Move) func(*view) {
		return func(v *view) { v.failed[m.Partition] = table.Failure{Move: m, Reason: "no room"} }
	}
	dropping := func(all ...ring.Move) func(*view) {
		return func(v *view) { v.state.Dropping = append(v.state.Dropping, all...) }
	}
	// Neither of the two that joined's first moves are from is to give anything away.
	quiet := func(v *view) { v.wanted.Paused = true }
	for name, c := range map[string]struct {
		of     view
		change func(*view)
		want   []string
	}{
		"nothing is to be done":              {of: viewOf(eight("a", "b"), "a", "b")},
		"nobody is wanted":                   {of: viewOf(eight("a", "b"))},
		"a first membership":                 {of: viewOf(table.State{Table: ring.Table{Partitions: 8, Owners: slices.Repeat([]int{ring.None}, 8)}, Target: ring.Table{Partitions: 8, Owners: slices.Repeat([]int{ring.None}, 8)}}, "b", "a"), want: []string{"the members are to be 2", "8 partitions were nobody's"}},
		"a member joins":                     {of: viewOf(eight("a", "b"), "a", "b", "c"), change: answered("c", silent), want: []string{"the members are to be 3"}},
		"the order of members is nothing":    {of: viewOf(eight("a", "b"), "b", "a")},
		"a weight changes":                   {of: viewOf(eight("a", "b"), "a", "b"), change: func(v *view) { v.wanted.Members[0].Weight = 3; quiet(v) }, want: []string{"the members are to be 2"}},
		"members are asked first":            {of: joined(), change: also(answered("a", unknown), answered("b", unknown), answered("c", unknown)), want: []string{"ask b", "ask c", "ask a"}},
		"one that is asked is waited for":    {of: joined(), change: also(answered("a", asking), answered("b", asking)), want: nil},
		"who gives is silent":                {of: joined(), change: also(answered("a", silent), answered("b", silent))},
		"who takes is silent":                {of: joined(), change: answered("c", silent)},
		"who gives has just started":         {of: joined(), change: also(answered("a", starting), answered("b", starting))},
		"who takes has just started":         {of: joined(), change: answered("c", starting), want: []string{begins(one)}},
		"a move begins":                      {of: joined(), want: []string{begins(one)}},
		"two moves begin":                    {of: joined(), change: func(v *view) { v.wanted.MaxMoving = 2 }, want: []string{begins(one), begins(two)}},
		"one is allowed where none is said":  {of: joined(), change: func(v *view) { v.wanted.MaxMoving = 0 }, want: []string{begins(one)}},
		"none begins while it is paused":     {of: joined(), change: paused},
		"what failed is left alone":          {of: joined(), change: func(v *view) { v.held[one.Partition] = one }, want: []string{begins(two)}},
		"what is written is called":          {of: joined(), change: moving(one), want: []string{moves(one)}},
		"also while it is paused":            {of: joined(), change: also(moving(one), paused), want: []string{moves(one)}},
		"what is called is waited for":       {of: joined(), change: also(moving(one), func(v *view) { v.moving[one.Partition] = one })},
		"another one may move besides":       {of: joined(), change: also(moving(one), func(v *view) { v.moving[one.Partition] = one; v.wanted.MaxMoving = 2 }), want: []string{begins(two)}},
		"what is not to be is broken off":    {of: joined(), change: also(moving(ring.Move{Partition: one.Partition, From: one.From, To: "b"}), func(v *view) { v.moving[one.Partition] = one }), want: []string{fmt.Sprintf("cancel %d", one.Partition)}},
		"a move is done":                     {of: joined(), change: also(moving(one), paused, func(v *view) { v.ended[one.Partition] = one }), want: []string{fmt.Sprintf("partition %d is %s's now, and no longer %s's", one.Partition, one.To, one.From)}},
		"another move of it was done":        {of: joined(), change: also(moving(one), paused, func(v *view) { v.ended[one.Partition] = back; v.moving[one.Partition] = one })},
		"a move failed":                      {of: joined(), change: also(moving(one), paused, failure(one)), want: []string{fmt.Sprintf("partition %d stays %s's for now: no room", one.Partition, one.From)}},
		"another move of it failed":          {of: joined(), change: also(moving(one), paused, failure(back), func(v *view) { v.moving[one.Partition] = one })},
		"what is left is dropped":            {of: joined(), change: also(paused, dropping(back)), want: []string{fmt.Sprintf("drop %d at %s", back.Partition, back.From)}},
		"a drop that is called":              {of: joined(), change: also(paused, dropping(back), func(v *view) { v.dropping[back] = true })},
		"a drop that failed":                 {of: joined(), change: also(paused, dropping(back), func(v *view) { v.heldDrops[back] = true })},
		"a drop that is done":                {of: joined(), change: also(paused, dropping(back), func(v *view) { v.dropped[back] = true }), want: []string{fmt.Sprintf("%s has forgotten partition %d", back.From, back.Partition)}},
		"nothing comes to what is left":      {of: joined(), change: also(dropping(back), func(v *view) { v.heldDrops[back] = true }), want: []string{begins(two)}},
		"a pin":                              {of: viewOf(eight("a", "b"), "a", "b"), change: also(paused, func(v *view) { v.wanted.Pins = map[int]string{0: "b", 1: "b"} }), want: []string{"other partitions are pinned"}},
		"a pin to nobody":                    {of: viewOf(eight("a", "b"), "a", "b"), change: func(v *view) { v.wanted.Pins = map[int]string{0: "z"} }},
		"a new pod is asked":                 {of: viewOf(eight("a", "b"), "a", "b"), change: also(answered("a", unknown), podOf("a", "2", "1")), want: []string{"ask a"}},
		"a new pod that does not answer":     {of: viewOf(eight("a", "b"), "a", "b"), change: also(answered("a", silent), podOf("a", "2", "1"))},
		"another pod answered":               {of: viewOf(eight("a", "b"), "a", "b"), change: also(podOf("a", "2", "1"), func(v *view) { v.met["a"] = "1" })},
		"a new pod answered":                 {of: viewOf(eight("a", "b"), "a", "b"), change: also(podOf("a", "2", "1"), func(v *view) { v.met["a"] = "2" }), want: []string{"a is the pod 2 now"}},
		"a former pod is never named again":  {of: viewOf(eight("a", "b"), "a", "b"), change: also(podOf("a", "1", "2", "1"), func(v *view) { v.met["a"] = "1" })},
		"who takes is not named":             {of: joined(), change: podOf("c", "2", "1")},
		"who is not named drops nothing":     {of: joined(), change: also(paused, dropping(back), podOf(back.From, "2", "1"))},
		"who takes is named":                 {of: joined(), change: podOf("c", "1", "1"), want: []string{begins(one)}},
		"only so many are dropped at a time": {of: joined(), change: also(paused, func(v *view) { v.dropping = many(maxDropping) }, dropping(back))},
	} {
		t.Run(name, func(t *testing.T) {
			v := c.of
			if c.change != nil {
				c.change(&v)
			}
			before := v.state.Clone()
			got := next(v)
			if diff := cmp.Diff(c.want, said(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, v.state); diff != "" {
				t.Errorf("what was published is changed in place:\n%s", diff)
			}
			if got.write == nil {
				return
			}
			if got.write.Table.Epoch != before.Table.Epoch+1 {
				t.Errorf("the epoch is %d after %d", got.write.Table.Epoch, before.Table.Epoch)
			}
			if err := got.write.Table.Validate(); err != nil {
				t.Errorf("what is written is no table: %v", err)
			}
		})
	}
}

func many(n int) map[ring.Move]bool {
	out := map[ring.Move]bool{}
	for i := range n {
		out[ring.Move{Partition: 100 + i, From: "b", To: "a"}] = true
	}
	return out
}

// TestACommitLeavesWhatIsToBeForgotten at who had it, and who gave up leaves it at who was to get it.
func TestACommitLeavesWhatIsToBeForgotten(t *testing.T) {
	v := joined()
	m := ring.Diff(v.state.Table, v.state.Target)[0]
	v.wanted.Paused = true
	v.state.Table.Moves = []ring.Move{m}
	v.state.Failures = []table.Failure{{Move: m, Reason: "of before"}}
	v.ended[m.Partition] = m
	s := next(v).write
	if owner, _ := s.Table.Owner(m.Partition); owner.ID != m.To || len(s.Table.Moves) > 0 || len(s.Failures) > 0 {
		t.Errorf("after the commit it is %s's, the moves are %v and the failures %v", owner.ID, s.Table.Moves, s.Failures)
	}
	if diff := cmp.Diff([]ring.Move{m}, s.Dropping); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	clear(v.ended)
	v.failed[m.Partition] = table.Failure{Move: m, Reason: "no room"}
	s = next(v).write
	if owner, _ := s.Table.Owner(m.Partition); owner.ID != m.From || len(s.Table.Moves) > 0 {
		t.Errorf("after it was given up it is %s's, and the moves are %v", owner.ID, s.Table.Moves)
	}
	if diff := cmp.Diff([]ring.Move{{Partition: m.Partition, From: m.To, To: m.From}}, s.Dropping); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]table.Failure{{Move: m, Reason: "no room"}}, s.Failures); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestWhoHasNothingToDoWithTheTableLeavesIt, and nobody before that.
func TestWhoHasNothingToDoWithTheTableLeavesIt(t *testing.T) {
	v := viewOf(eight("a", "b"), "a")
	v.wanted.MaxMoving = 8
	var ids [][]string
	for range 6 {
		s := next(v)
		if s.write != nil {
			v.state = *s.write
			var have []string
			for _, m := range v.state.Table.Members {
				have = append(have, m.ID)
			}
			ids = append(ids, have)
		}
		clear(v.ended)
		for _, m := range s.move {
			v.ended[m.Partition] = m
		}
		for _, m := range s.drop {
			v.dropped[m] = true
		}
	}
	if diff := cmp.Diff([][]string{{"a", "b"}, {"a", "b"}, {"a"}}, ids); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSoManyPodsAreRemembered(t *testing.T) {
	v := viewOf(eight("a", "b"), "a", "b")
	for i := range table.MaxIncarnations + 2 {
		uid := fmt.Sprint(i)
		v.pods["a"], v.met["a"] = table.Member{Incarnation: uid}, uid
		v.state = *next(v).write
	}
	want := map[string][]string{"a": {"5", "4", "3", "2"}}
	if diff := cmp.Diff(want, v.state.Incarnations); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestIDs are those of all who had, have or are to have something.
func TestIDs(t *testing.T) {
	v := viewOf(eight("a"), "c")
	v.state.Target.Members = of("b")
	if diff := cmp.Diff([]string{"a", "b", "c"}, slices.Sorted(maps.Keys(v.ids()))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
