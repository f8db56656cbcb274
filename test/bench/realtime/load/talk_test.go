package load

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What came once, twice, late or never is told apart, by room.
func TestWhatCameIsHeldAgainstWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	c := New()
	c.talk = &talk{TalkParams: TalkParams{Rooms: 2}, rooms: make([]talking, 2), stop: func() {}}
	for i := range c.talk.rooms {
		c.talk.rooms[i].came = map[int]bool{}
	}
	for _, n := range []int{1, 2, 2, 5, 4} {
		c.talk.heard(number(1, n))
	}
	c.talk.heard(number(0, 1))
	// Of room 1, the third message of five never came.
	c.talk.rooms[1].Acked, c.talk.rooms[0].Acked = 5, 1
	// Nothing more comes: it is not waited for.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := c.Hush(ctx)
	for i := range got {
		got[i].Longest = 0
	}
	want := []Silence{{Acked: 1}, {Acked: 5, Lost: 1, Doubled: 1, Astray: 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what became of the rooms (-want +got):\n%s", diff)
	}
}
