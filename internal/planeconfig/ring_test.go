package planeconfig

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/pkg/ring"
)

// fourOf is a table of four partitions, all of the first member.
func fourOf(ids ...string) ring.Table {
	t := ring.Table{Epoch: 7, Partitions: 4, Owners: []int{0, 0, 0, 0}}
	for _, id := range ids {
		t.Members = append(t.Members, ring.Member{ID: id})
	}
	return t
}

func published(t *testing.T, table ring.Table, state any) map[string]string {
	t.Helper()
	out := map[string]string{}
	for key, v := range map[string]any{RingTableKey: table, RingStateKey: state} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out[key] = string(text)
	}
	return out
}

func TestParseRing(t *testing.T) {
	table, target := fourOf("a", "b", "c"), fourOf("a", "b", "c", "d")
	table.Moves = []ring.Move{{Partition: 1, From: "a", To: "b"}}
	target.Owners = []int{0, 1, 3, 0}
	data := published(t, table, map[string]any{
		"target": target, "history": []any{map[string]any{"epoch": 1, "members": []any{map[string]any{"id": "a", "weight": 2}}}},
		"dropping": []ring.Move{{Partition: 3, From: "e", To: "a"}}, "term": 9,
		"failures": []any{map[string]any{"partition": 2, "from": "a", "to": "d", "reason": "no answer"}}, "of a later version": true,
	})
	got, err := ParseRing(data)
	if err != nil {
		t.Fatal(err)
	}
	want := RingState{
		Table: table, Target: target, Dropping: []ring.Move{{Partition: 3, From: "e", To: "a"}},
		Failures: []RingFailure{{Move: ring.Move{Partition: 2, From: "a", To: "d"}, Reason: "no answer"}},
		History:  []RingMembership{{Epoch: 1, Members: []ring.Member{{ID: "a", Weight: 2}}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// c owns nothing, and is to own nothing.
	if diff := cmp.Diff([]string{"a", "b", "d", "e"}, slices.Sorted(maps.Keys(got.Holders()))); diff != "" {
		t.Errorf("holders (-want +got):\n%s", diff)
	}
	if got.Pending() != 2 || !got.Published() {
		t.Errorf("pending are %d, published is %t", got.Pending(), got.Published())
	}
}

func TestParseRingWithoutATable(t *testing.T) {
	for name, data := range map[string]map[string]string{
		"no ConfigMap": nil, "no data": {}, "a state alone": {RingStateKey: `{"target":{}}`},
	} {
		got, err := ParseRing(data)
		if err != nil || got.Published() || len(got.Holders()) != 0 || got.Pending() != 0 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestParseRingRefuses(t *testing.T) {
	table := fourOf("a")
	astray := fourOf("a")
	astray.Owners[2] = 5
	for name, c := range map[string]struct {
		data map[string]string
		want string
	}{
		"a table that is no JSON":            {map[string]string{RingTableKey: "{"}, "read table.json"},
		"a state that is no JSON":            {map[string]string{RingTableKey: published(t, table, nil)[RingTableKey], RingStateKey: "{"}, "read state.json"},
		"an owner that is none":              {published(t, astray, nil), "the owner of partition 2"},
		"a target with an owner that's none": {published(t, table, map[string]any{"target": astray}), "read state.json: "},
	} {
		if _, err := ParseRing(c.data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %q", name, err, c.want)
		}
	}
}

// TestNoShardIsMadeAnewForMoreOfThem shows which changes of a ShardSet need new pods.
func TestNoShardIsMadeAnewForMoreOfThem(t *testing.T) {
	config := func(mutate func(*Shards)) Config {
		s := &Shards{
			RingConfigMap: "ring", Partitions: 4, Members: []ShardMember{{ID: "a"}},
			Router:     ShardRouter{Retries: 2},
			Resharding: ShardResharding{Mode: "Hook", ExportPath: "/{partition}", MaxMoving: 1},
			Container:  ShardContainer{Port: 9000},
		}
		mutate(s)
		return Config{Kind: "ShardSet", Shards: s}
	}
	before := config(func(*Shards) {})
	for name, c := range map[string]struct {
		mutate           func(*Shards)
		routers, members bool
	}{
		"one more":               {func(s *Shards) { s.Members = append(s.Members, ShardMember{ID: "b"}) }, false, false},
		"a history":              {func(s *Shards) { s.History = []ShardMembership{{Epoch: 1}} }, false, false},
		"a pin":                  {func(s *Shards) { s.Placement.Pins = map[int]string{1: "a"} }, false, false},
		"more at once":           {func(s *Shards) { s.Resharding.MaxMoving = 4 }, false, false},
		"paused":                 {func(s *Shards) { s.Resharding.Paused = true }, false, false},
		"another timeout":        {func(s *Shards) { s.Router.Retries = 3 }, false, false},
		"another hook":           {func(s *Shards) { s.Resharding.ExportPath = "/all/{partition}" }, false, false},
		"another lease":          {func(s *Shards) { s.MoverLease = "other" }, true, false},
		"another container port": {func(s *Shards) { s.Container.Port = 9001 }, true, true},
	} {
		after := config(c.mutate)
		if got := !SameFixed(before, after); got != c.routers {
			t.Errorf("%s: new routers: %t", name, got)
		}
		if got := !SameFixed(before.FixedOfMembers(), after.FixedOfMembers()); got != c.members {
			t.Errorf("%s: new members: %t", name, got)
		}
	}
	if before.Shards.Members == nil {
		t.Error("the configuration itself was changed")
	}
}
