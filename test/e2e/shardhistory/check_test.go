package shardhistory

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/pkg/ring"
)

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// increment to a value by the member a in epoch 1, of the key k in partition 3.
func increment(id string, from, to int, value int64, change ...func(*Operation)) Operation {
	o := Operation{Key: "k", ID: id, Sent: ms(from), Answered: ms(to), Value: value, Partition: 3, Member: "a", Epoch: 1}
	for _, c := range change {
		c(&o)
	}
	return o
}

func read(from, to int, value int64, change ...func(*Operation)) Operation {
	return increment("", from, to, value, change...)
}

func unknown(id string, from int) Operation { return Operation{Key: "k", ID: id, Sent: ms(from)} }

func by(member string, epoch uint64) func(*Operation) {
	return func(o *Operation) { o.Member, o.Epoch = member, epoch }
}

func of(key string) func(*Operation) { return func(o *Operation) { o.Key = key } }

func in(partition int) func(*Operation) { return func(o *Operation) { o.Partition = partition } }

// Every case without faults is one that has to be allowed; every other one has one planted.
func TestCheck(t *testing.T) {
	for name, tc := range map[string]struct {
		operations []Operation
		final      int64
		want       []Fault
	}{
		"nothing":                     {},
		"one after the other":         {operations: []Operation{increment("x", 0, 1, 1), increment("y", 2, 3, 2), read(4, 5, 2)}, final: 2},
		"at once":                     {operations: []Operation{increment("x", 0, 9, 2), increment("y", 1, 8, 1), read(2, 7, 1), read(3, 6, 0)}, final: 2},
		"unknown, and carried out":    {operations: []Operation{unknown("x", 0), increment("y", 5, 6, 2)}, final: 2},
		"unknown, and not":            {operations: []Operation{unknown("x", 0), increment("y", 5, 6, 1)}, final: 1},
		"unknown, carried out later":  {operations: []Operation{unknown("x", 0), increment("y", 5, 6, 1), read(7, 8, 1), read(9, 10, 2)}, final: 2},
		"an owner after the other":    {operations: []Operation{increment("x", 0, 1, 1), increment("y", 2, 3, 2, by("b", 3)), increment("z", 4, 5, 3, by("a", 5))}, final: 3},
		"an answer that came late":    {operations: []Operation{increment("x", 0, 9, 1), increment("y", 2, 3, 2, by("b", 3))}, final: 2},
		"two partitions, two members": {operations: []Operation{increment("x", 0, 1, 1, of("l"), in(4), by("b", 1)), increment("y", 0, 1, 1)}, final: 1},

		"an increment is lost":              {operations: []Operation{increment("x", 0, 1, 1), increment("y", 2, 3, 2)}, final: 1, want: []Fault{Lost}},
		"one overwrote the other":           {operations: []Operation{increment("x", 0, 5, 1), increment("y", 1, 6, 1)}, final: 1, want: []Fault{Lost, Lost, NotLinear}},
		"an increment is doubled":           {operations: []Operation{increment("x", 0, 1, 1)}, final: 2, want: []Fault{Doubled}},
		"one is doubled, and another saw":   {operations: []Operation{increment("x", 0, 1, 1), increment("y", 2, 3, 3)}, final: 3, want: []Fault{Doubled, Doubled, NotLinear}},
		"one is doubled, and a read saw":    {operations: []Operation{increment("x", 0, 1, 1), read(2, 3, 2)}, want: []Fault{Doubled, NotLinear}, final: 2},
		"one unknown was carried out twice": {operations: []Operation{unknown("x", 0)}, final: 2, want: []Fault{Doubled}},
		"a read of the past":                {operations: []Operation{increment("x", 0, 1, 1), increment("y", 2, 3, 2), read(4, 5, 1)}, final: 2, want: []Fault{NotLinear}},
		"two owners in one epoch":           {operations: []Operation{increment("x", 0, 1, 1), increment("y", 2, 3, 2, by("b", 1))}, final: 2, want: []Fault{TwoOwners}},
		"the former owner goes on":          {operations: []Operation{increment("x", 0, 1, 1), read(2, 3, 1, by("b", 3)), read(4, 5, 1)}, final: 1, want: []Fault{TwoOwners}},
		"the former owner goes on, with another key": {
			operations: []Operation{increment("x", 0, 1, 1, of("l"), by("b", 3)), read(4, 5, 0)}, want: []Fault{TwoOwners},
		},
		"two owners, each with its own": {operations: []Operation{increment("x", 0, 1, 1), increment("y", 2, 3, 1, by("b", 3)), increment("z", 4, 5, 2)},
			final: 2, want: []Fault{Lost, Lost, NotLinear, TwoOwners}},
		"a key in two partitions": {operations: []Operation{increment("x", 0, 1, 1), increment("y", 2, 3, 2, in(4))}, final: 2, want: []Fault{Strayed}},
	} {
		t.Run(name, func(t *testing.T) {
			report := Check(History{Operations: tc.operations, Finals: map[string]int64{"k": tc.final}})
			if diff := cmp.Diff(tc.want, faults(report)); diff != "" {
				t.Errorf("faults (-want +got):\n%s%v", diff, report.Violations)
			}
		})
	}
}

func faults(r Report) (out []Fault) {
	for _, v := range r.Violations {
		out = append(out, v.Fault)
	}
	return out
}

// What is served has to be its member's in the table of that epoch.
func TestTables(t *testing.T) {
	empty, err := ring.New(8)
	if err != nil {
		t.Fatal(err)
	}
	table := ring.Rebalance(empty, []ring.Member{{ID: "a"}, {ID: "b"}})
	key := "k"
	own := table.Partition(key)
	owner, _ := table.Owner(own)
	other := table.Members[1-table.Owners[own]]
	moving := table.Clone()
	moving.Epoch++
	moving.Moves = []ring.Move{{Partition: own, From: owner.ID, To: other.ID}}
	for name, tc := range map[string]struct {
		served Operation
		want   []Fault
	}{
		"by its owner":                {served: read(0, 1, 0, in(own), by(owner.ID, table.Epoch))},
		"in an epoch that none saw":   {served: read(0, 1, 0, in(own), by(other.ID, moving.Epoch+1))},
		"by another":                  {served: read(0, 1, 0, in(own), by(other.ID, table.Epoch)), want: []Fault{Usurped}},
		"while it moves":              {served: read(0, 1, 0, in(own), by(owner.ID, moving.Epoch)), want: []Fault{Usurped}},
		"in the partition of another": {served: read(0, 1, 0, in(own^1), by(owner.ID, moving.Epoch+1)), want: []Fault{Strayed}},
	} {
		t.Run(name, func(t *testing.T) {
			report := Check(History{Operations: []Operation{tc.served}, Tables: []ring.Table{table, moving}})
			if diff := cmp.Diff(tc.want, faults(report)); diff != "" {
				t.Errorf("faults (-want +got):\n%s%v", diff, report.Violations)
			}
		})
	}
}

func TestReport(t *testing.T) {
	h := History{Operations: []Operation{
		increment("x", 0, 1, 1), increment("y", 2, 3, 2, by("b", 3)), read(4, 5, 2, by("b", 4)), read(6, 7, 2, by("a", 6)), unknown("z", 8),
	}, Finals: map[string]int64{"k": 2}}
	want := Report{Increments: 2, Reads: 2, Unknown: 1, Keys: 1, Members: 2, Handovers: 2}
	if diff := cmp.Diff(want, Check(h)); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

// As many operations as a storm has are checked in a moment.
func TestMany(t *testing.T) {
	var all []Operation
	for i := range 5000 {
		all = append(all, increment(fmt.Sprint(i), 2*i, 2*i+9, int64(i+1), by("a", uint64(1+i/100))))
	}
	slices.Reverse(all)
	if r := Check(History{Operations: all, Finals: map[string]int64{"k": 5000}}); len(r.Violations) > 0 {
		t.Error(r.Violations)
	}
	all[100].Value++
	if diff := cmp.Diff([]Fault{Lost, NotLinear}, faults(Check(History{Operations: all, Finals: map[string]int64{"k": 5000}}))); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}
