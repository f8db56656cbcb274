package ring_test

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/trellis-dev/trellis/pkg/ring"
)

// What a client in another language reads, and what the tables of a history are, is the same in each release. A vector
// that changes is a new version of the format: -update is for vectors that are added.
var update = flag.Bool("update", false, "write the vectors of testdata")

type keyVector struct {
	Key        string         `json:"key"`
	Hash       string         `json:"hash"`
	Partitions map[string]int `json:"partitions"`
}

type tableVector struct {
	Name   string     `json:"name"`
	Table  ring.Table `json:"table"`
	Binary string     `json:"binary"`
	// Serving has for keys who serves them, or nothing.
	Serving map[string]string `json:"serving"`
}

type affinityVector struct {
	Member    string         `json:"member"`
	Partition int            `json:"partition"`
	Affinity  string         `json:"affinity"`
	Weights   map[string]int `json:"weights"`
	Order     []string       `json:"order"`
}

type chainVector struct {
	Partitions int               `json:"partitions"`
	History    []ring.Membership `json:"history"`
	// Tables after each membership.
	Tables []ring.Table `json:"tables"`
}

var vectorKeys = []string{
	"", "a", "abc", "customer-42", "0123456789abcde", "0123456789abcdef", "/tenants/acme/orders/1a2b3c", "Grüße, 世界",
	strings.Repeat("x", 31), strings.Repeat("x", 32), strings.Repeat("y", 33), strings.Repeat("0123456789", 10), "\x00\x01\x7f",
}

func keyVectors(*testing.T) []any {
	var out []any
	for _, key := range vectorKeys {
		v := keyVector{Key: key, Hash: fmt.Sprintf("%016x", ring.Hash(key)), Partitions: map[string]int{}}
		for _, n := range []int{1, 16, 1024, ring.MaxPartitions} {
			v.Partitions[fmt.Sprint(n)] = ring.PartitionOf(key, n)
		}
		out = append(out, v)
	}
	return out
}

func tableVectors(t *testing.T) []any {
	weighted := members(3)
	for i := range weighted {
		weighted[i].Weight, weighted[i].Zone = i, string(rune('a'+i%2))
	}
	moving := table(t, 16, members(2), weighted)
	moving.Epoch = 1 << 40
	moving.Moves = []ring.Move{
		{Partition: ring.PartitionOf("abc", 16), From: "orders-shs-0", To: "orders-shs-2"}, {Partition: ring.PartitionOf("a", 16), From: "", To: "orders-shs-1"},
	}
	partly := table(t, 8, members(1))
	partly.Owners[2], partly.Owners[5] = ring.None, ring.None
	var out []any
	for name, tb := range map[string]ring.Table{
		"of nobody": table(t, 8), "of one": table(t, 1, members(1)), "on the way": moving, "partly of nobody": partly,
		"of 17, which takes 5 bits": table(t, 64, members(17)), "as by default": table(t, ring.DefaultPartitions, members(3)),
	} {
		data, err := tb.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		v := tableVector{Name: name, Table: tb, Binary: hex.EncodeToString(data), Serving: map[string]string{}}
		for _, key := range vectorKeys {
			m, _ := tb.Serving(tb.Partition(key))
			v.Serving[key] = m.ID
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b any) int { return strings.Compare(a.(tableVector).Name, b.(tableVector).Name) })
	return out
}

func affinityVectors(t *testing.T) []any {
	weights := map[string]int{"orders-shs-1": 1, "orders-shs-2": 2, "orders-shs-3": 3, "é": 0}
	all := []ring.Member{{ID: "orders-shs-1", Weight: 1}, {ID: "orders-shs-2", Weight: 2}, {ID: "orders-shs-3", Weight: 3}, {ID: "é"}}
	tb := table(t, 1024)
	tb.Members = all
	var out []any
	for _, p := range []int{0, 1, 7, 512, 1023} {
		v := affinityVector{Member: all[p%4].ID, Partition: p, Affinity: fmt.Sprintf("%016x", ring.Affinity(all[p%4].ID, p)), Weights: weights}
		for _, m := range tb.Successors(p, 4) {
			v.Order = append(v.Order, m.ID)
		}
		out = append(out, v)
	}
	return out
}

func chainVectors(t *testing.T) []any {
	zoned := members(5)
	for i := range zoned {
		zoned[i].Zone = string(rune('a' + i%2))
	}
	heavy := append([]ring.Member{}, zoned[1:4]...)
	heavy[1].Weight = 3
	histories := [][][]ring.Member{
		{members(1), members(2), members(3), members(5), members(4), members(12)},
		{zoned[:3], zoned, zoned[1:], heavy, heavy[:2], nil, zoned[:4]},
	}
	var out []any
	for i, history := range histories {
		c := chainVector{Partitions: 32 << i}
		tb := table(t, c.Partitions)
		for j, m := range history {
			tb = ring.Rebalance(tb, m)
			tb.Epoch += uint64(10 * j)
			c.History = append(c.History, ring.Membership{Epoch: tb.Epoch, Members: m})
			c.Tables = append(c.Tables, tb)
		}
		out = append(out, c)
	}
	return out
}

// lines has each vector on a line of its own.
func lines(t *testing.T, vectors []any) string {
	t.Helper()
	var out []string
	for _, v := range vectors {
		line, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(line))
	}
	return "[\n" + strings.Join(out, ",\n") + "\n]\n"
}

func TestVectors(t *testing.T) {
	for file, make := range map[string]func(*testing.T) []any{
		"keys.json": keyVectors, "tables.json": tableVectors, "affinity.json": affinityVectors, "chain.json": chainVectors,
	} {
		t.Run(file, func(t *testing.T) {
			got := lines(t, make(t))
			path := filepath.Join("testdata", file)
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("what was written by a release is not what is written now (-want +got):\n%s", diff)
			}
		})
	}
}

// TestVectorsAreRead reads what is in the files, and not what this program would write.
func TestVectorsAreRead(t *testing.T) {
	var tables []tableVector
	readVectors(t, "tables.json", &tables)
	for _, v := range tables {
		data, err := hex.DecodeString(v.Binary)
		var got ring.Table
		if err == nil {
			err = got.UnmarshalBinary(data)
		}
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		if diff := cmp.Diff(v.Table, got); diff != "" {
			t.Errorf("%s (-JSON +binary):\n%s", v.Name, diff)
		}
	}
	var chains []chainVector
	readVectors(t, "chain.json", &chains)
	for _, c := range chains {
		for i := range c.History {
			got, err := ring.Replay(c.Partitions, c.History[:i+1])
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.Tables[i], got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("replayed up to %d (-want +got):\n%s", i, diff)
			}
		}
	}
}

func readVectors(t *testing.T, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", file))
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestAnotherLanguageReadsThem runs the reader that docs/ring.md names.
func TestAnotherLanguageReadsThem(t *testing.T) {
	out, err := exec.Command("python3", filepath.Join("testdata", "read_ring.py"), "check").CombinedOutput()
	if want := "13 keys, 6 tables, 5 affinities\n"; err != nil || string(out) != want {
		t.Errorf("%v: %s, want %s", err, out, want)
	}
}
