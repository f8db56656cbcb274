package resharding

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// A move is one that was seen to begin and to end; one that its partition came back from was given up.
func TestMovesAreSeenInTheTables(t *testing.T) {
	t.Parallel()
	members := []ring.Member{{ID: "a"}, {ID: "b"}}
	first, second := ring.Move{Partition: 0, From: "a", To: "b"}, ring.Move{Partition: 1, From: "a", To: "b"}
	state := func(owners []int, moves ...ring.Move) table.State {
		return table.State{Table: ring.Table{Partitions: 2, Members: members, Owners: owners, Moves: moves}}
	}
	w := newWatcher()
	for _, s := range []table.State{
		state([]int{0, 0}), state([]int{0, 0}, first), state([]int{0, 0}, first, second), state([]int{1, 0}, second), state([]int{1, 0}),
	} {
		w.seen(s)
	}
	got := map[ring.Move]bool{}
	for _, m := range w.take() {
		if m.ended.Before(m.began) || m.began.IsZero() {
			t.Errorf("%v began at %s and ended at %s", m.Move, m.began, m.ended)
		}
		got[m.Move] = m.done
	}
	if diff := cmp.Diff(map[ring.Move]bool{first: true, second: false}, got); diff != "" {
		t.Errorf("moves and whether they were done (-want +got):\n%s", diff)
	}
	if again := w.take(); len(again) > 0 {
		t.Errorf("moves are told twice: %v", again)
	}
}
