package load

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// shape is what a corpus comes to.
type shape struct {
	Objects, Files, Orphans, Alone int
	Owners                         map[string]int
	// Days that have objects, and the most objects of one.
	Days, MostOfADay int
}

func TestCorpus(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		corpus Corpus
		want   shape
	}{
		"even": {
			Corpus{Objects: 1000, Owners: 10, PerDay: 40, OrphanEvery: 50},
			shape{Objects: 1000, Files: 1000, Orphans: 20, Alone: 20, Days: 30, MostOfADay: 40, Owners: map[string]int{
				"owner-000": 100, "owner-001": 100, "owner-002": 100, "owner-003": 100, "owner-004": 100,
				"owner-005": 100, "owner-006": 100, "owner-007": 100, "owner-008": 100, "owner-009": 100,
			}},
		},
		"uneven": {
			Corpus{Objects: 10, Owners: 3, PerDay: 3, OrphanEvery: 4},
			shape{Objects: 10, Files: 10, Orphans: 2, Alone: 2, Days: 5, MostOfADay: 3, Owners: map[string]int{"owner-000": 4, "owner-001": 4, "owner-002": 2}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := shape{Owners: map[string]int{}}
			days := map[string]int{}
			last := ""
			for i := range tc.corpus.Items() {
				if i.Key <= last {
					t.Fatalf("%s comes after %s", i.Key, last)
				}
				last = i.Key
				if want := "in/" + i.Owner + "/" + i.At.Format("2006/01/02/") + i.ID.String() + ".bin"; i.Key != want {
					t.Errorf("the key is %s, want %s", i.Key, want)
				}
				if seconds, nanos := i.ID.Time().UnixTime(); i.ID.Version() != 7 || !time.Unix(seconds, nanos).Equal(i.At) {
					t.Errorf("%s is of version %d and %s, want 7 and %s", i.ID, i.ID.Version(), time.Unix(seconds, nanos).UTC(), i.At)
				}
				if i.Known {
					got.Files++
				}
				switch {
				case !i.Stored:
					got.Alone++
					continue
				case !i.Known:
					got.Orphans++
				}
				got.Objects++
				got.Owners[i.Owner]++
				days[i.Key[:strings.LastIndexByte(i.Key, '/')]]++
			}
			got.Days = len(days)
			for _, n := range days {
				got.MostOfADay = max(got.MostOfADay, n)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("shape (-want +got)\n%s", diff)
			}
			if got.Orphans != tc.corpus.Orphans() {
				t.Errorf("%d orphans are said to be %d", got.Orphans, tc.corpus.Orphans())
			}
		})
	}
}

func TestCorpusIsTheSameAgain(t *testing.T) {
	t.Parallel()
	c := Corpus{Objects: 100, Owners: 3, PerDay: 7, OrphanEvery: 5}
	if diff := cmp.Diff(slices.Collect(c.Items()), slices.Collect(c.Items())); diff != "" {
		t.Errorf("the second time (-first +second)\n%s", diff)
	}
}

func TestPrefixIsOneOwners(t *testing.T) {
	t.Parallel()
	c := Corpus{Objects: 100, Owners: 12, PerDay: 7, OrphanEvery: 5}
	for i := range c.Items() {
		if strings.HasPrefix(i.Key, c.Prefix(1)) != (i.Owner == "owner-001") {
			t.Errorf("%s has the prefix %s", i.Key, c.Prefix(1))
		}
	}
}
