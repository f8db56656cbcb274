package mover

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// memberships that come one after the other, the last one with a weight of its own.
func memberships(n int) [][]ring.Member {
	var out [][]ring.Member
	for i := range n {
		out = append(out, of("a", "b", "c")[:2+i%2])
	}
	out[n-1] = []ring.Member{{ID: "a", Weight: 3}, {ID: "b"}, {ID: "c"}}
	return out
}

// TestMoreMembershipsThanAreKept leave what they lead to as it is, and what is pinned goes back to where they have it.
func TestMoreMembershipsThanAreKept(t *testing.T) {
	t.Parallel()
	all := memberships(table.MaxHistory + 30)
	v := viewOf(eight("a", "b"), "a", "b")
	v.wanted.Paused = true
	whole := v.state.History
	for i, m := range all {
		v.wanted.Members, v.wanted.Pins = m, nil
		if i%5 == 3 {
			v.wanted.Pins = map[int]string{i % 8: "a", (i + 1) % 8: "b"}
		}
		for {
			s := next(v)
			if s.write == nil {
				break
			}
			v.state = *s.write
		}
		if n := len(v.state.History); n > table.MaxHistory {
			t.Fatalf("%d memberships are published", n)
		}
		if last := v.state.History[len(v.state.History)-1]; last.Epoch > whole[len(whole)-1].Epoch {
			whole = append(whole, last)
		}
		want, err := ring.Replay(8, whole)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(ring.Pin(want, v.wanted.Pins), v.state.Target); diff != "" {
			t.Fatalf("after %d memberships the target is (-want +got):\n%s", len(whole), diff)
		}
		// Another mover knows nothing but what is published.
		v.bases = &bases{}
	}
	if len(whole) < table.MaxHistory+25 {
		t.Fatalf("there were %d memberships", len(whole))
	}
}

// TestAnUnknownBeginning is that of a set whose table was lost once: what it is is what the next one is balanced from.
func TestAnUnknownBeginning(t *testing.T) {
	t.Parallel()
	s := eight("a", "b")
	s.History[0].Epoch = 7
	for range table.MaxHistory {
		last := s.History[len(s.History)-1]
		s.History = append(s.History, table.Membership{Epoch: last.Epoch + 1, Members: last.Members})
	}
	base, history := shortened(s)
	if base.Partitions != 0 || len(history) != table.MaxHistory || history[0].Epoch != 8 {
		t.Errorf("%d memberships from %d on, and the base %v", len(history), history[0].Epoch, base)
	}
	if diff := cmp.Diff(s.Target, new(bases).of(s)); diff != "" {
		t.Errorf("the base is (-want +got):\n%s", diff)
	}
}
