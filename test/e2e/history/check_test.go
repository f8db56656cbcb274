package history

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const epoch = "ab12"

func at(offset uint64) Position { return Position{Epoch: epoch, Offset: offset} }

func message(offset uint64, id string) Event { return Event{Kind: Message, At: at(offset), ID: id} }

func gap(since, to Position) Event { return Event{Kind: Gap, Since: since, At: to} }

// abc is three messages, all acknowledged.
var abc = Ledger{Acknowledged: []Acknowledged{{"a", at(1)}, {"b", at(2)}, {"c", at(3)}}}

func TestCheck(t *testing.T) {
	other := func(offset uint64) Position { return Position{Epoch: "other", Offset: offset} }
	third := func(offset uint64) Position { return Position{Epoch: "third", Offset: offset} }
	for name, tc := range map[string]struct {
		from      uint64
		events    []Event
		published Ledger
		want      []Fault
		missed    int
		complete  bool
	}{
		"all, once, in order": {
			events: []Event{message(1, "a"), message(2, "b"), message(3, "c")}, published: abc, complete: true,
		},
		"nothing published, nothing received": {complete: true},
		"what came before the start is not expected": {
			from: 2, events: []Event{message(3, "c")}, published: abc, complete: true,
		},
		"an unacknowledged message may come": {
			events:    []Event{message(1, "a"), message(2, "x")},
			published: Ledger{Acknowledged: abc.Acknowledged[:1], Unknown: []string{"x"}}, complete: true,
		},
		"an unacknowledged message may be absent": {
			events:    []Event{message(1, "a")},
			published: Ledger{Acknowledged: abc.Acknowledged[:1], Unknown: []string{"x"}}, complete: true,
		},
		"the last one is lost": {
			events: []Event{message(1, "a"), message(2, "b")}, published: abc, want: []Fault{Lost},
		},
		"the first one is lost": {
			events: []Event{message(2, "b"), message(3, "c")}, published: abc, want: []Fault{Unannounced, Lost},
		},
		"one in the middle is lost": {
			events: []Event{message(1, "a"), message(3, "c")}, published: abc, want: []Fault{Unannounced, Lost},
		},
		"a loss in another epoch": {
			events:    []Event{message(1, "a"), gap(at(1), other(0)), {At: other(1), ID: "d"}},
			published: Ledger{Acknowledged: []Acknowledged{{"a", at(1)}, {"d", other(1)}, {"e", other(2)}}}, want: []Fault{Lost},
		},
		"one twice": {
			events: []Event{message(1, "a"), message(2, "b"), message(2, "b"), message(3, "c")}, published: abc, want: []Fault{Duplicate},
		},
		"again from the start after a reconnect": {
			events: []Event{message(1, "a"), message(2, "b"), message(1, "a"), message(2, "b"), message(3, "c")}, published: abc,
			want: []Fault{Duplicate, Duplicate},
		},
		"stored twice": {
			events: []Event{message(1, "a"), message(2, "b"), message(3, "c"), message(4, "b")}, published: abc,
			want: []Fault{Duplicate, Disagreement},
		},
		"two change places": {
			events: []Event{message(1, "a"), message(3, "c"), message(2, "b")}, published: abc, want: []Fault{Unannounced, Reordered},
		},
		"an unannounced gap of messages that nobody acknowledged": {
			events:    []Event{message(1, "a"), message(3, "c")},
			published: Ledger{Acknowledged: []Acknowledged{{"a", at(1)}, {"c", at(3)}}, Unknown: []string{"b"}}, want: []Fault{Unannounced},
		},
		"an unannounced new epoch": {
			events:    []Event{message(1, "a"), {At: other(1), ID: "d"}},
			published: Ledger{Acknowledged: []Acknowledged{{"a", at(1)}, {"d", other(1)}}}, want: []Fault{Unannounced},
		},
		"an announced gap": {
			events: []Event{message(1, "a"), gap(at(1), at(2)), message(3, "c")}, published: abc, missed: 1,
		},
		"a gap at the very start": {
			events: []Event{gap(at(0), at(2)), message(3, "c")}, published: abc, missed: 2,
		},
		"a gap that does not reach far enough": {
			events: []Event{gap(at(0), at(1)), message(3, "c")}, published: abc, want: []Fault{Unannounced, Lost}, missed: 1,
		},
		"a gap about another place": {
			events: []Event{message(1, "a"), message(2, "b"), gap(at(1), at(2)), message(3, "c")}, published: abc, want: []Fault{Unannounced},
		},
		"an announced new epoch": {
			events:    []Event{message(1, "a"), gap(at(1), other(1)), {At: other(2), ID: "e"}},
			published: Ledger{Acknowledged: []Acknowledged{{"a", at(1)}, {"b", at(2)}, {"d", other(1)}, {"e", other(2)}}}, missed: 2,
		},
		"an epoch that came and went while the client slept": {
			events:    []Event{message(1, "a"), gap(at(1), third(1)), {At: third(2), ID: "e"}},
			published: Ledger{Acknowledged: []Acknowledged{{"a", at(1)}, {"b", other(2)}, {"e", third(2)}}}, missed: 1,
		},
		"a loss in an epoch that the client was in, among others": {
			events:    []Event{message(1, "a"), gap(at(1), other(1)), {At: other(2), ID: "b"}, gap(other(3), third(3)), {At: third(4), ID: "e"}},
			published: Ledger{Acknowledged: []Acknowledged{{"a", at(1)}, {"b", other(2)}, {"c", other(3)}, {"e", third(4)}}},
			want:      []Fault{Unannounced, Lost},
		},
		"another epoch, and no change of epochs was told": {
			events:    []Event{message(1, "a"), gap(at(1), at(2)), message(3, "c")},
			published: Ledger{Acknowledged: []Acknowledged{{"a", at(1)}, {"c", at(3)}, {"d", other(1)}}}, want: []Fault{Lost},
		},
		"stored again after the engine lost all": {
			events:    []Event{message(1, "a"), gap(at(1), other(0)), {At: other(1), ID: "a"}},
			published: Ledger{Acknowledged: []Acknowledged{{"a", other(1)}}},
		},
		"the engine came back with less": {
			events:    []Event{message(1, "a"), message(2, "b"), gap(at(2), at(1)), message(2, "x")},
			published: Ledger{Acknowledged: []Acknowledged{{"a", at(1)}, {"b", at(2)}, {"x", at(2)}}},
		},
		"another message than was acknowledged": {
			events: []Event{message(1, "a"), message(2, "c"), message(3, "b")}, published: abc, want: []Fault{Disagreement, Disagreement},
		},
		"a message that nobody sent": {
			events: []Event{message(1, "a"), message(2, "b"), message(3, "c"), message(4, "z")}, published: abc, want: []Fault{Invented},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := Check(History{From: tc.from, Events: tc.events}, tc.published)
			var faults []Fault
			for _, v := range got.Violations {
				faults = append(faults, v.Fault)
			}
			if diff := cmp.Diff(tc.want, faults); diff != "" {
				t.Errorf("faults (-want +got):\n%s%v", diff, got.Violations)
			}
			if len(got.Missed) != tc.missed || got.Complete() != tc.complete {
				t.Errorf("missed %d, complete %v; want %d and %v", len(got.Missed), got.Complete(), tc.missed, tc.complete)
			}
		})
	}
}

func TestAgree(t *testing.T) {
	one := History{Events: []Event{message(1, "a"), message(2, "b")}}
	for name, tc := range map[string]struct {
		other History
		want  int
	}{
		"the same":             {other: one},
		"a part":               {other: History{Events: []Event{message(2, "b")}}},
		"a gap says no place":  {other: History{Events: []Event{gap(at(0), at(1)), message(2, "b")}}},
		"another at one place": {other: History{Events: []Event{message(1, "a"), message(2, "c")}}, want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Agree(map[string]History{"one": one, "other": tc.other}); len(got) != tc.want {
				t.Errorf("%v, want %d", got, tc.want)
			}
		})
	}
}

func TestParsePosition(t *testing.T) {
	for token, want := range map[string]Position{"ab12:7": at(7), "ab12:0": at(0), ":7": {}, "ab12": {}, "ab12:": {}, "ab12:-1": {}, "": {}} {
		got, err := ParsePosition(token)
		if got != want || (err != nil) != (want == Position{}) {
			t.Errorf("ParsePosition(%q) = %v, %v", token, got, err)
		}
		if err == nil && got.String() != token {
			t.Errorf("String() = %q, want %q", got, token)
		}
	}
}
