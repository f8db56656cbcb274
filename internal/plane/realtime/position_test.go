package realtime

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParsePosition(t *testing.T) {
	for token, want := range map[string]*Position{
		"abc:0":                        {Epoch: "abc"},
		"AbCdEfGh:42":                  {Epoch: "AbCdEfGh", Offset: 42},
		"9:9223372036854775807":        {Epoch: "9", Offset: 1<<63 - 1},
		"9:9223372036854775808":        nil,
		"abc:18446744073709551615":     nil,
		"abc":                          nil,
		":1":                           nil,
		"abc:":                         nil,
		"abc:01":                       nil,
		"abc:+1":                       nil,
		"abc:-1":                       nil,
		"abc: 1":                       nil,
		"a bc:1":                       nil,
		"ä:1":                          nil,
		"abc:1:2":                      nil,
		"abc:1\n":                      nil,
		"":                             nil,
		strings.Repeat("a", 33) + ":1": nil,
	} {
		got, ok := ParsePosition(token)
		if ok != (want != nil) {
			t.Errorf("%q: read %v, want %v", token, ok, want != nil)
			continue
		}
		if want == nil {
			continue
		}
		if diff := cmp.Diff(*want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", token, diff)
		}
		if got.String() != token {
			t.Errorf("%q is written as %q", token, got)
		}
	}
}

func TestValidRoom(t *testing.T) {
	for room, want := range map[string]bool{
		"a": true, "room:1": true, "chat.General-2_x~y@z": true, "_x": true, "0": true, strings.Repeat("r", 128): true,
		"": false, ".": false, "..": false, "-a": false, ":a": false, "a b": false, "a/b": false, "a\\b": false, "a,b": false, "a=b": false,
		"a*": false, "!probe": false, "ä": false, "a\n": false, "a\x00": false, "a%2f": false, "a\"": false, strings.Repeat("r", 129): false,
	} {
		if got := validRoom(room); got != want {
			t.Errorf("%q: %v, want %v", room, got, want)
		}
	}
}

func TestParseEventID(t *testing.T) {
	at := func(epoch string, offset uint64) Since { return since(Position{Epoch: epoch, Offset: offset}) }
	latest, oldest := Since{kind: sinceLatest}, Since{kind: sinceOldest}
	for _, c := range []struct {
		id    string
		rooms []string
		want  []Since
	}{
		{"", []string{"a", "b"}, []Since{latest, latest}},
		{"oldest", []string{"a", "b"}, []Since{oldest, oldest}},
		{"latest", []string{"a"}, []Since{latest}},
		{"a=x:1,b=y:2", []string{"a", "b"}, []Since{at("x", 1), at("y", 2)}},
		{"a=x:1,b=y:2", []string{"b", "c", "a"}, []Since{at("y", 2), latest, at("x", 1)}},
		{"x:1", []string{"a"}, []Since{at("x", 1)}},
		{"x:1", []string{"a", "b"}, nil},
		{"a=x", []string{"a"}, nil},
		{"a=x:1,", []string{"a"}, nil},
		{"a=x:1,b", []string{"a"}, nil},
		{"a=b=x:1", []string{"a"}, nil},
		{"=x:1", []string{"a"}, nil},
		{"nonsense", []string{"a"}, nil},
	} {
		starts, problem := parseEventID(c.id, c.rooms)
		if (problem == nil) != (c.want != nil) {
			t.Errorf("%q: %v", c.id, problem)
			continue
		}
		if problem != nil {
			continue
		}
		for i, s := range starts {
			if s.room != c.rooms[i] || s.since != c.want[i] {
				t.Errorf("%q: room %d starts at %s of %s, want %s of %s", c.id, i, s.since, s.room, c.want[i], c.rooms[i])
			}
		}
	}
}
