package ring_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/trellis-dev/trellis/pkg/ring"
)

// members with the IDs of pods.
func members(n int) []ring.Member {
	out := make([]ring.Member, n)
	for i := range out {
		out[i] = ring.Member{ID: fmt.Sprintf("orders-shs-%d", i)}
	}
	return out
}

func table(t interface{ Fatal(...any) }, partitions int, history ...[]ring.Member) ring.Table {
	var memberships []ring.Membership
	for i, m := range history {
		memberships = append(memberships, ring.Membership{Epoch: uint64(i + 1), Members: m})
	}
	out, err := ring.Replay(partitions, memberships)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func weight(m ring.Member) int { return max(m.Weight, 1) }

// held is how many partitions each member has, and how far that is from its share by weight.
func held(tb ring.Table) (n map[string]int, off map[string]float64) {
	n, off = map[string]int{}, map[string]float64{}
	total := 0
	for _, m := range tb.Members {
		total += weight(m)
	}
	for p := range tb.Partitions {
		if m, ok := tb.Owner(p); ok {
			n[m.ID]++
		}
	}
	for _, m := range tb.Members {
		off[m.ID] = float64(n[m.ID]) - float64(tb.Partitions*weight(m))/float64(total)
	}
	return n, off
}

// within fails where a member is off its share by slack or more, or a partition is nobody's.
func within(t *rapid.T, tb ring.Table, slack float64) {
	if err := tb.Validate(); err != nil {
		t.Fatal(err)
	}
	n, off := held(tb)
	total := 0
	for _, m := range tb.Members {
		total += n[m.ID]
		if d := off[m.ID]; d <= -slack || d >= slack {
			t.Fatalf("%s of weight %d has %d partitions, which is %+.3f off its share", m.ID, m.Weight, n[m.ID], d)
		}
	}
	if len(tb.Members) > 0 && total != tb.Partitions {
		t.Fatalf("%d of %d partitions are someone's", total, tb.Partitions)
	}
}

// exchanged are the moves between members of both tables.
func exchanged(a, b ring.Table) []ring.Move {
	in := func(tb ring.Table, id string) bool {
		for _, m := range tb.Members {
			if m.ID == id {
				return true
			}
		}
		return false
	}
	var out []ring.Move
	for _, m := range ring.Diff(a, b) {
		if in(a, m.To) && in(b, m.From) {
			out = append(out, m)
		}
	}
	return out
}

var sizes = rapid.SampledFrom([]int{1, 2, 8, 64, 256, 1024})

// memberships are some of twelve members, of equal weights or not, each always of the same.
func memberships(t *rapid.T, weighted bool) func(label string) []ring.Member {
	all := members(12)
	zones := rapid.IntRange(0, 3).Draw(t, "zones")
	for i := range all {
		if weighted {
			all[i].Weight = rapid.OneOf(rapid.IntRange(0, 5), rapid.IntRange(1, 1000)).Draw(t, "weight")
		}
		if zones > 0 {
			all[i].Zone = fmt.Sprintf("zone-%d", i%zones)
		}
	}
	return func(label string) []ring.Member {
		var out []ring.Member
		for i, in := range rapid.SliceOfN(rapid.Bool(), len(all), len(all)).Draw(t, label) {
			if in {
				out = append(out, all[i])
			}
		}
		if len(out) == 0 {
			out = all[:1]
		}
		return out
	}
}

func TestEachHasItsShareAndNothingIsExchanged(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := memberships(t, false)
		tb := table(t, sizes.Draw(t, "partitions"))
		for range rapid.IntRange(1, 8).Draw(t, "changes") {
			before := tb
			tb = ring.Rebalance(tb, draw("members"))
			within(t, tb, 1)
			if moves := exchanged(before, tb); len(moves) > 0 {
				t.Fatalf("exchanged between members that stay: %v", moves)
			}
		}
	})
}

func TestWithWeightsToo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := memberships(t, true)
		tb := table(t, sizes.Draw(t, "partitions"), draw("members"))
		within(t, tb, 1)
		for range rapid.IntRange(1, 8).Draw(t, "changes") {
			before := tb
			tb = ring.Rebalance(tb, draw("members"))
			// A partition more or less than the share rounded is what an exchange would cost.
			within(t, tb, 2)
			if moves := exchanged(before, tb); len(moves) > 0 {
				_, off := held(before)
				t.Fatalf("exchanged between members that stay: %v, which were off by %v", moves, off)
			}
		}
	})
}

// fewest is how many must move: what nobody has, what who left had, and what is above a share rounded up.
func fewest(a, b ring.Table) int {
	staying, stayed := map[string]bool{}, 0
	for _, m := range b.Members {
		staying[m.ID] = true
	}
	n, _ := held(a)
	total, floors, above := 0, 0, 0
	for _, m := range b.Members {
		total += weight(m)
	}
	for _, m := range b.Members {
		floor := b.Partitions * weight(m) / total
		floors += floor
		if staying[m.ID] {
			stayed += min(n[m.ID], floor)
		}
		if n[m.ID] > floor && b.Partitions*weight(m)%total > 0 {
			above++
		}
	}
	return b.Partitions - stayed - min(above, b.Partitions-floors)
}

func TestAsFewMoveAsMust(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := memberships(t, rapid.Bool().Draw(t, "weighted"))
		tb := table(t, sizes.Draw(t, "partitions"), draw("members"), draw("members"))
		next := ring.Rebalance(tb, draw("members"))
		if moved, must := len(ring.Diff(tb, next)), fewest(tb, next); moved > must {
			t.Fatalf("%d partitions move, %d must", moved, must)
		}
	})
}

func TestAnyTableIsPutRight(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tb := table(t, 64, members(rapid.IntRange(1, 8).Draw(t, "members")))
		for p := range tb.Owners {
			tb.Owners[p] = rapid.IntRange(ring.None, len(tb.Members)-1).Draw(t, "owner")
		}
		next := ring.Rebalance(tb, members(rapid.IntRange(1, 8).Draw(t, "members")))
		within(t, next, 1)
		if moved, must := len(ring.Diff(tb, next)), fewest(tb, next); moved != must {
			t.Fatalf("%d partitions move, %d must", moved, must)
		}
	})
}

func TestTheOrderOfMembersMeansNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := memberships(t, true)
		tb := table(t, 256, draw("members"))
		next := draw("members")
		want := ring.Rebalance(tb, next)
		shuffled := append(rapid.Permutation(next).Draw(t, "order"), next[0])
		if diff := cmp.Diff(want, ring.Rebalance(tb, shuffled)); diff != "" {
			t.Fatalf("another order (-want +got):\n%s", diff)
		}
		again := ring.Rebalance(want, shuffled)
		if moves := ring.Diff(want, again); len(moves) > 0 {
			t.Fatalf("the same members again move %v", moves)
		}
	})
}

// TestJoinAndLeave holds for each number of members up to 200, and each number of partitions from 64 on.
func TestJoinAndLeave(t *testing.T) {
	t.Parallel()
	for partitions := 64; partitions <= 4096; partitions *= 2 {
		tb := table(t, partitions, members(1))
		for n := 1; n < 200; n++ {
			grown := ring.Rebalance(tb, members(n+1))
			moves := ring.Diff(tb, grown)
			if len(moves) != partitions/(n+1) {
				t.Errorf("%d partitions, %d → %d: %d move, not %d", partitions, n, n+1, len(moves), partitions/(n+1))
			}
			for _, m := range moves {
				if m.To != fmt.Sprintf("orders-shs-%d", n) {
					t.Fatalf("%d partitions, %d → %d: %+v is not to the new one", partitions, n, n+1, m)
				}
			}
			n0, _ := held(grown)
			leaves := fmt.Sprintf("orders-shs-%d", n)
			if back := ring.Diff(grown, ring.Rebalance(grown, members(n))); len(back) != n0[leaves] {
				t.Errorf("%d partitions, %d → %d: %d move, and %d were left", partitions, n+1, n, len(back), n0[leaves])
			}
			tb = grown
		}
	}
}

func TestAZoneKeepsWhatItHad(t *testing.T) {
	t.Parallel()
	all := members(6)
	for i := range all {
		all[i].Zone = string(rune('a' + i%3))
	}
	tb := table(t, 1024, all)
	stay := append(append([]ring.Member{}, all[:1]...), all[2:]...)
	next := ring.Rebalance(tb, stay)
	n, _ := held(next)
	had, _ := held(tb)
	// 1024 partitions of five members are 204 or 205: the other one of zone b has the greater share.
	if n[all[4].ID] != 205 {
		t.Errorf("the one that is left in the zone had %d partitions and has %d, want 205", had[all[4].ID], n[all[4].ID])
	}
	// One that comes as one leaves takes what was left in its zone, and nothing else moves.
	swapped := ring.Rebalance(tb, append(stay, ring.Member{ID: "orders-shs-9", Zone: "b"}))
	for _, m := range ring.Diff(tb, swapped) {
		if m.From != all[1].ID || m.To != "orders-shs-9" {
			t.Errorf("%+v; only the new one of zone b was to take what was left there", m)
		}
	}
}

func TestChangedWeightsAreFollowed(t *testing.T) {
	t.Parallel()
	tb := table(t, 1024, members(4))
	heavy := members(4)
	heavy[2].Weight = 5
	next := ring.Rebalance(tb, heavy)
	n, _ := held(next)
	if diff := cmp.Diff(map[string]int{"orders-shs-0": 128, "orders-shs-1": 128, "orders-shs-2": 640, "orders-shs-3": 128}, n); diff != "" {
		t.Errorf("partitions (-want +got):\n%s", diff)
	}
}

func TestOfNobodyAndBack(t *testing.T) {
	t.Parallel()
	tb := table(t, 64, members(3), nil)
	if _, ok := tb.Owner(7); ok || len(tb.Members) > 0 {
		t.Errorf("a table of no members has owners: %+v", tb)
	}
	n, _ := held(ring.Rebalance(tb, members(2)))
	if diff := cmp.Diff(map[string]int{"orders-shs-0": 32, "orders-shs-1": 32}, n); diff != "" {
		t.Errorf("partitions (-want +got):\n%s", diff)
	}
}

// TestTheFirstPartitionsAreDealt: ranges and directories use these.
func TestTheFirstPartitionsAreDealt(t *testing.T) {
	t.Parallel()
	tb := table(t, 1024, members(5))
	seen := map[string]int{}
	for p := range 10 {
		m, _ := tb.Owner(p)
		seen[m.ID]++
	}
	if diff := cmp.Diff(map[string]int{"orders-shs-0": 2, "orders-shs-1": 2, "orders-shs-2": 2, "orders-shs-3": 2, "orders-shs-4": 2}, seen); diff != "" {
		t.Errorf("of the first ten partitions (-want +got):\n%s", diff)
	}
}

// TestALongHistoryStaysWithinBounds has members of very different weights come and go.
func TestALongHistoryStaysWithinBounds(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	all := members(40)
	for i := range all {
		all[i].Weight = 1 + random.IntN(1+random.IntN(500))
	}
	tb := table(t, 1024, all)
	worst, exchanges := 0.0, 0
	for range 3000 {
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		next := ring.Rebalance(tb, all[:1+random.IntN(len(all)-1)])
		exchanges += len(exchanged(tb, next))
		_, off := held(next)
		for _, d := range off {
			worst = max(worst, d, -d)
		}
		tb = next
	}
	t.Logf("at most %.3f off a share, %d exchanges", worst, exchanges)
	if worst >= 2 || exchanges > 0 {
		t.Errorf("members are up to %.3f off their shares, with %d exchanges", worst, exchanges)
	}
}

// TestNoExchangeForARounding: 0 holds what the rounding of 2's share up would want, and keeps it.
func TestNoExchangeForARounding(t *testing.T) {
	t.Parallel()
	all := members(4)
	all[3].Weight = 2
	before := table(t, 2, all[:2], all)
	after := ring.Rebalance(before, []ring.Member{all[0], all[1], all[3]})
	if moves := ring.Diff(before, after); len(moves) > 0 {
		t.Errorf("moves %v, though only one left that had nothing", moves)
	}
	// Who is given another weight takes its share from whom it must.
	all[3].Weight = 4
	n, _ := held(ring.Rebalance(before, []ring.Member{all[0], all[1], all[3]}))
	if n[all[3].ID] == 0 {
		t.Errorf("partitions %v: the weights changed, and who is due one has none", n)
	}
}
