package ring_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/trellis-dev/trellis/pkg/ring"
)

func TestLookUpAllocatesNothing(t *testing.T) {
	tb := table(t, 1024, members(10))
	loads := make([]int, 10)
	own, _ := tb.Owner(tb.Partition("key"))
	i := slices.Index(tb.Members, own)
	loads[i] = 100
	ranges := ring.Placement{Strategy: ring.ByRange, Partitions: 1024, Splits: []string{"a", "k", "z"}}
	directory := ring.Placement{Strategy: ring.ByDirectory, Partitions: 1024, Directory: map[string]int{"key": 3}, Fallback: ring.FallbackRefuse}
	moving := tb.Clone()
	moving.Moves = []ring.Move{{Partition: 1}}
	for name, look := range map[string]func(){
		"serving":   func() { _, _ = tb.Serving(tb.Partition("key-0123456789")) },
		"moving":    func() { _, _ = moving.Serving(2) },
		"range":     func() { _, _ = ranges.Partition("key") },
		"directory": func() { _, _ = directory.Partition("key") },
		"refused":   func() { _, _ = directory.Partition("other") },
		"bounded":   func() { _, _ = tb.Bounded(tb.Partition("key"), loads, 0.25) },
	} {
		if n := testing.AllocsPerRun(100, look); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestServing(t *testing.T) {
	t.Parallel()
	tb := table(t, 4, members(2))
	tb.Owners[3] = ring.None
	tb.Moves = []ring.Move{{Partition: 1, From: "orders-shs-0", To: "orders-shs-1"}}
	for p, want := range map[int]bool{-1: false, 0: true, 1: false, 2: true, 3: false, 4: false, math.MaxInt: false} {
		if _, got := tb.Serving(p); got != want {
			t.Errorf("partition %d is served: %v, want %v", p, got, want)
		}
	}
	if m, ok := tb.Moving(1); !ok || m.To != "orders-shs-1" {
		t.Errorf("partition 1 moves by %+v, %v", m, ok)
	}
	if _, owned := tb.Owner(1); !owned {
		t.Error("a partition on the way has no owner")
	}
}

func TestSuccessors(t *testing.T) {
	t.Parallel()
	all := members(9)
	for i := range all {
		all[i].Zone = string(rune('a' + i%3))
	}
	tb := table(t, 256, all)
	next := ring.Rebalance(tb, all[:8])
	for p := range tb.Partitions {
		owner, _ := tb.Owner(p)
		got := tb.Successors(p, 100)
		zones := map[string]bool{owner.Zone: true, got[0].Zone: true, got[1].Zone: true}
		if len(got) != 8 || len(zones) != 3 || slices.Contains(got, owner) {
			t.Fatalf("partition %d of %+v has the successors %+v", p, owner, got)
		}
		if own := slices.IndexFunc(got, func(m ring.Member) bool { return m.Zone == owner.Zone }); own != 6 {
			t.Fatalf("partition %d of %+v: its own zone is the %d. of %+v", p, owner, own, got)
		}
		if diff := cmp.Diff(got[:2], tb.Successors(p, 2)); diff != "" {
			t.Fatalf("the first two are others (-of all +of two):\n%s", diff)
		}
		if after, _ := next.Owner(p); after == owner && got[0] != all[8] {
			if next.Successors(p, 1)[0] != got[0] {
				t.Fatalf("partition %d: another one that left changed the first successor %+v", p, got[0])
			}
		}
	}
	if got := tb.Successors(0, 0); len(got) != 0 {
		t.Errorf("no successors were asked for: %+v", got)
	}
}

func TestSuccessorsByWeight(t *testing.T) {
	t.Parallel()
	all := members(4)
	all[3].Weight = 3
	tb := table(t, 4096, all)
	first, owned := map[string]int{}, 0
	for p := range tb.Partitions {
		if o, _ := tb.Owner(p); o.ID == all[0].ID {
			first[tb.Successors(p, 1)[0].ID]++
			owned++
		}
	}
	if share := float64(first[all[3].ID]) / float64(owned); math.Abs(share-0.6) > 0.06 {
		t.Errorf("one of weight 3 beside two of 1 is first for %.2f of the partitions, want 0.6", share)
	}
}

func TestBoundedLoads(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := memberships(t, rapid.Bool().Draw(t, "weighted"))
		tb := table(t, 64, draw("members"))
		slack := rapid.SampledFrom([]float64{0, 0.25, 1}).Draw(t, "slack")
		hot := rapid.IntRange(1, 64).Draw(t, "hot partitions")
		loads, weights := make([]int, len(tb.Members)), 0
		for _, m := range tb.Members {
			weights += weight(m)
		}
		for total := 1; total <= 200; total++ {
			i, ok := tb.Bounded(total%hot, loads, slack)
			if !ok {
				t.Fatal("nobody is chosen")
			}
			loads[i]++
			if most := math.Ceil((1 + slack) * float64(total) * float64(weight(tb.Members[i])) / float64(weights)); float64(loads[i]) > most {
				t.Fatalf("%+v has %d of %d, more than %v", tb.Members[i], loads[i], total, most)
			}
		}
	})
}

func TestBoundedPrefersTheOwner(t *testing.T) {
	t.Parallel()
	tb := table(t, 64, members(5))
	loads := []int{2, 2, 2, 2, 2}
	for p := range tb.Partitions {
		if i, _ := tb.Bounded(p, loads, 0.5); i != tb.Owners[p] {
			t.Errorf("partition %d goes to %d, and its owner %d has room", p, i, tb.Owners[p])
		}
	}
	// The others of a busy one share its load.
	second := map[int]int{}
	loads = []int{9, 0, 0, 0, 0}
	for p := range tb.Partitions {
		if tb.Owners[p] == 0 {
			i, _ := tb.Bounded(p, loads, 0.5)
			second[i]++
		}
	}
	if second[0] > 0 || len(second) < 4 {
		t.Errorf("who is chosen instead of a busy one: %v", second)
	}
	if _, ok := tb.Bounded(0, nil, 1); ok {
		t.Error("one was chosen without loads")
	}
}

func TestReplayWantsItsOrder(t *testing.T) {
	t.Parallel()
	_, err := ring.Replay(8, []ring.Membership{{Epoch: 2, Members: members(1)}, {Epoch: 2, Members: members(2)}})
	if want := "membership 1 has the epoch 2, after 2: put the history in the order of its epochs"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if _, err := ring.Replay(7, nil); err == nil {
		t.Error("7 partitions were taken")
	}
}

func TestReplayIsTheFold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := memberships(t, true)
		want, _ := ring.New(128)
		var history []ring.Membership
		for i := range rapid.IntRange(0, 6).Draw(t, "changes") {
			m := draw(fmt.Sprint("members ", i))
			want = ring.Rebalance(want, m)
			// Epochs of a table grow by its moves too.
			want.Epoch += uint64(rapid.IntRange(0, 100).Draw(t, "epochs"))
			history = append(history, ring.Membership{Epoch: want.Epoch, Members: m})
		}
		got, err := ring.Replay(128, history)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("table (-folded +replayed):\n%s", diff)
		}
	})
}

func BenchmarkServing(b *testing.B) {
	tb := table(b, 1024, members(10))
	for b.Loop() {
		tb.Serving(tb.Partition("customer-0123456"))
	}
}

func BenchmarkRebalance(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		tb := table(b, ring.MaxPartitions, members(n))
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				ring.Rebalance(tb, members(n+1))
			}
		})
	}
}
