package machine

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// What was frozen is what was there at that moment, whatever is done to the state while it is encoded.
func TestFrozenIsOfItsMoment(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sc := &scenario{t: t, now: epoch}
		s := New()
		s.Apply(&Configure{Settings: settingsOfTests()})
		for range rapid.IntRange(1, 60).Draw(t, "before") {
			s.Apply(sc.command())
		}
		want := s.Snapshot()
		frozen := s.Freeze()
		encoded := make(chan []byte)
		go func() { encoded <- frozen.Encode() }() // the race detector sees what both write
		for range rapid.IntRange(1, 60).Draw(t, "after") {
			s.Apply(sc.command())
		}
		if !bytes.Equal(want, <-encoded) || !bytes.Equal(want, frozen.Encode()) {
			t.Fatal("what was frozen changed with the state")
		}
	})
}
