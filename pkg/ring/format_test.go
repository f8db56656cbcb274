package ring_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/trellis-dev/trellis/pkg/ring"
)

var names = rapid.StringMatching(`[a-z0-9.-]{1,20}|é{1,3}|.`)

// tables of all kinds: on the way, of nobody, of members without partitions.
func tables(t *rapid.T) ring.Table {
	out := ring.Table{
		Epoch: rapid.Uint64().Draw(t, "epoch"), Partitions: 1 << rapid.IntRange(0, 8).Draw(t, "partitions"),
		Members: rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) ring.Member {
			return ring.Member{ID: names.Draw(t, "id"), Weight: rapid.IntRange(0, ring.MaxWeight).Draw(t, "weight"), Zone: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "zone")}
		}), 0, 70, func(m ring.Member) string { return m.ID }).Draw(t, "members"),
	}
	slices.SortFunc(out.Members, func(a, b ring.Member) int { return strings.Compare(a.ID, b.ID) })
	out.Owners = rapid.SliceOfN(rapid.IntRange(ring.None, len(out.Members)-1), out.Partitions, out.Partitions).Draw(t, "owners")
	for _, p := range rapid.SliceOfNDistinct(rapid.IntRange(0, out.Partitions-1), 0, min(4, out.Partitions), rapid.ID).Draw(t, "moves") {
		out.Moves = append(out.Moves, ring.Move{Partition: p, From: rapid.SampledFrom([]string{"", "a"}).Draw(t, "from"), To: names.Draw(t, "to")})
	}
	return out
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := tables(t)
		var fromJSON, fromBinary ring.Table
		text, err := json.Marshal(want)
		if err == nil {
			err = json.Unmarshal(text, &fromJSON)
		}
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, fromJSON, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("as JSON (-want +got):\n%s", diff)
		}
		short, err := want.MarshalBinary()
		if err == nil {
			err = fromBinary.UnmarshalBinary(short)
		}
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, fromBinary, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("in the binary form (-want +got):\n%s", diff)
		}
	})
}

func TestDamageIsSeen(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tb := tables(t)
		data, err := tb.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "cut") {
			data = data[:rapid.IntRange(0, len(data)-1).Draw(t, "length")]
		} else {
			data[rapid.IntRange(0, len(data)-1).Draw(t, "at")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		}
		var got ring.Table
		if err := got.UnmarshalBinary(data); err == nil {
			t.Fatal("a damaged table was read")
		}
	})
}

func TestTablesOfAnotherKind(t *testing.T) {
	t.Parallel()
	tb := table(t, 2, members(1))
	short, err := tb.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	newer := slices.Clone(short)
	newer[4] = 2
	for _, tc := range []struct {
		name, text, want string
	}{
		{"of a later version", `{"version":2,"owners":"packed"}`, "the table is of version 2 and this program reads up to 1: upgrade this program"},
		{"of no version", `{"epoch":1}`, "the table does not say its version: it is no table of a ShardSet, or cut off; this program reads version 1"},
		{"cut off", `{"version":1,"epoch":1,"own`, "unexpected end of JSON input"},
		{"owners of another number", `{"version":1,"partitions":4,"members":[{"id":"a"}],"owners":[0,0]}`, "the table is not valid: owners are 2 of 4 partitions"},
		{"no power of two", `{"version":1,"partitions":3,"members":[],"owners":[-1,-1,-1]}`, "the table is not valid: partitions are 3: use a power of two of at most 16384"},
		{"an owner that is no member", `{"version":1,"partitions":2,"members":[{"id":"a"}],"owners":[0,1]}`, "the table is not valid: the owner of partition 1 is none of the members"},
		{"the same member twice", `{"version":1,"partitions":1,"members":[{"id":"a"},{"id":"a"}],"owners":[0]}`, `the table is not valid: member "a" is there twice, or not in the order of the IDs`},
		{"a member without an ID", `{"version":1,"partitions":1,"members":[{}],"owners":[0]}`, "the table is not valid: member 0 has no ID"},
		{"a negative weight", `{"version":1,"partitions":1,"members":[{"id":"a","weight":-1}],"owners":[0]}`, `the table is not valid: the weight of member "a" is -1: use 1 to 1048576`},
		{"a long ID", `{"version":1,"partitions":1,"members":[{"id":"` + strings.Repeat("a", 254) + `"}],"owners":[0]}`, "the table is not valid: the ID or the zone of member 0 is longer than 253 bytes"},
		{"a move of no partition", `{"version":1,"partitions":1,"members":[],"owners":[-1],"moves":[{"partition":1}]}`, "the table is not valid: a move is of partition 1 of 1"},
		{"two moves of one", `{"version":1,"partitions":2,"members":[],"owners":[-1,-1],"moves":[{"partition":1},{"partition":1}]}`, "the table is not valid: partition 1 moves twice"},
		{"a binary form of a later version", string(newer), "the table is of version 2 and this program reads up to 1: upgrade this program"},
		{"a binary form of a later version in JSON's place", "no table at all", "the table does not say its version: it is no table of a ShardSet, or cut off; this program reads version 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got ring.Table
			read := got.UnmarshalBinary
			if strings.HasPrefix(tc.text, "{") {
				read = func(data []byte) error { return json.Unmarshal(data, &got) }
			}
			if err := read([]byte(tc.text)); err == nil || err.Error() != tc.want {
				t.Errorf("error %v, want %s", err, tc.want)
			}
		})
	}
	var version *ring.VersionError
	if err := new(ring.Table).UnmarshalJSON([]byte(`{"version":7}`)); !errors.As(err, &version) || version.Version != 7 {
		t.Errorf("error %v, want a VersionError", err)
	}
}

func TestATableThatWasNeverSet(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(ring.Table{})
	if want := `{"version":1,"epoch":0,"partitions":0,"members":[],"owners":[]}`; err != nil || string(text) != want {
		t.Fatalf("%s, %v, want %s", text, err, want)
	}
	got := table(t, 1, members(1))
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ring.Table{}, got); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	if _, err := got.MarshalBinary(); err == nil {
		t.Error("a table of nothing was written in the binary form")
	}
}

// FuzzBinary has anything be read, and what can be read be written the same.
func FuzzBinary(f *testing.F) {
	for _, n := range []int{0, 1, 3, 200} {
		tb := table(f, 256, members(n))
		tb.Moves = []ring.Move{{Partition: 3, From: "a", To: "b"}}
		data, err := tb.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[:len(data)-8])
	}
	// 2^63 partitions, and 2^64, which an int does not hold.
	f.Add([]byte("TRNG\x01\x00\x3f\x00\x00"))
	f.Add([]byte("TRNG\x01\x00\x40\x00\x00"))
	f.Fuzz(func(t *testing.T, body []byte) {
		_ = new(ring.Table).UnmarshalBinary(body)
		// Made up bytes do not come with their checksum.
		data := binary.LittleEndian.AppendUint64(body[:len(body):len(body)], xxhash.Sum64(body))
		var tb, again ring.Table
		if tb.UnmarshalBinary(data) != nil {
			return
		}
		written, err := tb.MarshalBinary()
		if err == nil {
			err = again.UnmarshalBinary(written)
		}
		if diff := cmp.Diff(tb, again); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
		for p := range tb.Partitions {
			tb.Serving(p)
		}
	})
}

// FuzzJSON has anything be read, and what can be read be used.
func FuzzJSON(f *testing.F) {
	text, err := json.Marshal(table(f, 4, members(2)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		var tb ring.Table
		if json.Unmarshal(data, &tb) != nil {
			return
		}
		next := ring.Rebalance(tb, tb.Members)
		ring.Diff(tb, next)
		for p := range tb.Partitions {
			tb.Serving(p)
		}
	})
}
