package load

import (
	"testing"
	"time"
)

// What is sent is counted by class and phase, and what a shard does not answer in time is no success.
func TestWhatIsSentIsCounted(t *testing.T) {
	t.Parallel()
	s := &shards{}
	defer s.close()
	addresses, err := s.Listen(t.Context(), ListenParams{Shards: 2, Slots: 100})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Send(t.Context(), SendParams{Address: addresses.([]string)[1], Token: "t", Phases: []Phase{
		{PerSecond: 100, For: 200 * time.Millisecond}, {PerSecond: 300, For: 100 * time.Millisecond},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]int{{4, 6, 10}, {6, 9, 15}} {
		sent := got.([]Sent)[i]
		for class, n := range want {
			if c := sent.Classes[class]; c.Sent != n || c.Good != n || c.P99 < c.P50 || c.P50 <= 0 {
				t.Errorf("phase %d, class %s: %+v, want %d", i, Classes[class], c, n)
			}
		}
	}
}
