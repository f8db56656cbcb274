package conformance

import (
	"fmt"
	"strings"
	"testing"
)

// check holds what a follower saw against the model of a room: positions of one
// epoch go up by one from the last; only after a gap may they jump, and an epoch
// may only change at a gap. It returns the messages.
func check(t *testing.T, who string, seen []Seen) []Seen {
	t.Helper()
	var messages []Seen
	var epoch string
	var offset uint64
	known := false
	for i, s := range seen {
		e, _, _ := strings.Cut(s.Position, ":")
		if s.Gap != "" {
			epoch, known = e, true
			if _, err := fmt.Sscanf(s.Position, e+":%d", &offset); err != nil {
				t.Fatalf("%s: gap without a position: %+v", who, s)
			}
			continue
		}
		if known && (e != epoch || s.Offset != offset+1) {
			t.Fatalf("%s: event %d is at %s, after %s:%d without a gap", who, i, s.Position, epoch, offset)
		}
		epoch, offset, known = e, s.Offset, true
		messages = append(messages, s)
	}
	return messages
}

// sameOrder checks that followers saw the same messages at the same places.
func sameOrder(t *testing.T, want, got []Seen, who string) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("%s: saw %d messages, want %d", who, len(got), len(want))
	}
	for i := range want {
		if want[i] != got[i] {
			t.Fatalf("%s: message %d is %+v, want %+v", who, i, got[i], want[i])
		}
	}
}

// awaitLast waits until a follower has seen data as its last message.
func (f *follower) awaitLast(data string) {
	f.t.Helper()
	eventually(f.t, fmt.Sprintf("%s to see %s; saw %v", f.protocol, data, tail{f}), func() bool {
		seen := f.history()
		return len(seen) > 0 && seen[len(seen)-1].Data == data
	})
}

// awaitCount waits until a follower has seen n messages.
func (f *follower) awaitCount(n int) {
	f.t.Helper()
	eventually(f.t, fmt.Sprintf("%s to see %d messages", f.protocol, n), func() bool { return len(f.history()) >= n })
}

// tail prints the end of what a follower saw.
type tail struct{ f *follower }

func (l tail) String() string {
	seen := l.f.history()
	return fmt.Sprint(seen[max(0, len(seen)-3):])
}
