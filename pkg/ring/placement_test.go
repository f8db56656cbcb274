package ring_test

import (
	"errors"
	"slices"
	"sort"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/trellis-dev/trellis/pkg/ring"
)

func TestPlacements(t *testing.T) {
	t.Parallel()
	ranges := ring.Placement{Strategy: ring.ByRange, Partitions: 8, Splits: []string{"g", "n", "t"}}
	directory := ring.Placement{Strategy: ring.ByDirectory, Partitions: 8, Directory: map[string]int{"acme": 5}, Fallback: ring.FallbackRefuse}
	hashed := directory
	hashed.Fallback = ring.FallbackHash
	for _, tc := range []struct {
		name      string
		placement ring.Placement
		key       string
		want      int
		err       error
	}{
		{"a hash", ring.Placement{Partitions: 8}, "acme", ring.PartitionOf("acme", 8), nil},
		{"before the first split", ranges, "", 0, nil},
		{"at a split", ranges, "g", 1, nil},
		{"between splits", ranges, "mz", 1, nil},
		{"after the last split", ranges, "\xff", 3, nil},
		{"in a directory", directory, "acme", 5, nil},
		{"refused by a directory", directory, "other", 0, ring.ErrRefused},
		{"not in a directory", hashed, "other", ring.PartitionOf("other", 8), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.placement.Validate(); err != nil {
				t.Fatal(err)
			}
			if got, err := tc.placement.Partition(tc.key); got != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("partition %d, %v, want %d, %v", got, err, tc.want, tc.err)
			}
		})
	}
}

func TestPlacementsThatWouldNotWork(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		placement ring.Placement
		want      string
	}{
		{"partitions", ring.Placement{Partitions: 6}, "partitions are 6: use a power of two of at most 16384"},
		{"strategy", ring.Placement{Partitions: 2, Strategy: "Modulo"}, `the strategy is "Modulo": use Hash, Range or Directory`},
		{"too many splits", ring.Placement{Partitions: 2, Strategy: ring.ByRange, Splits: []string{"a", "b"}}, "there are 2 splits for 2 partitions: use at most 1 splits"},
		{"splits in no order", ring.Placement{Partitions: 4, Strategy: ring.ByRange, Splits: []string{"b", "a"}}, `split 1, "a", is not after the one before: put the splits in the order of their bytes, each once`},
		{"the same split twice", ring.Placement{Partitions: 4, Strategy: ring.ByRange, Splits: []string{"b", "b"}}, `split 1, "b", is not after the one before: put the splits in the order of their bytes, each once`},
		{"fallback", ring.Placement{Partitions: 2, Strategy: ring.ByDirectory, Fallback: "Guess"}, `the fallback is "Guess": use Hash or Refuse`},
		{"directory", ring.Placement{Partitions: 2, Strategy: ring.ByDirectory, Directory: map[string]int{"a": 2}}, `the directory has the key "a" in partition 2: use 0 to 1`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.placement.Validate(); err == nil || err.Error() != tc.want {
				t.Errorf("error %v, want %s", err, tc.want)
			}
		})
	}
}

func TestRangesKeepTheOrderOfKeys(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		splits := rapid.SliceOfNDistinct(rapid.String(), 0, 15, rapid.ID).Draw(t, "splits")
		slices.Sort(splits)
		p := ring.Placement{Strategy: ring.ByRange, Partitions: 16, Splits: splits}
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		key := rapid.OneOf(rapid.String(), rapid.SampledFrom(append(splits, ""))).Draw(t, "key")
		got, _ := p.Partition(key)
		if want := sort.Search(len(splits), func(i int) bool { return splits[i] > key }); got != want {
			t.Fatalf("key %q is in %d, want %d", key, got, want)
		}
	})
}

func TestPins(t *testing.T) {
	t.Parallel()
	tb := table(t, 16, members(3))
	pinned := ring.Pin(tb, map[int]string{4: "orders-shs-1", 5: "orders-shs-1", 6: "nobody", 99: "orders-shs-0"})
	for p := range tb.Partitions {
		want, _ := tb.Owner(p)
		if p == 4 || p == 5 {
			want = tb.Members[1]
		}
		if got, _ := pinned.Owner(p); got != want {
			t.Errorf("partition %d is of %s, want %s", p, got.ID, want.ID)
		}
	}
	// What the balance was is not forgotten.
	if diff := cmp.Diff(table(t, 16, members(3)), tb); diff != "" {
		t.Errorf("the table without pins changed (-want +got):\n%s", diff)
	}
}
