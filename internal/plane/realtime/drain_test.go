package realtime

import (
	"testing"
	"time"
)

func TestDrainSpread(t *testing.T) {
	for _, c := range []struct {
		clients int
		left    time.Duration
		want    time.Duration
	}{
		{0, 20 * time.Second, 0},
		{3, 20 * time.Second, 30 * time.Millisecond},
		{200, 20 * time.Second, 2 * time.Second},
		{10000, 20 * time.Second, 10 * time.Second},
		{10000, time.Second, 500 * time.Millisecond},
		{100, 0, 0},
		{100, -time.Second, 0},
	} {
		spread := drainSpread(c.clients, c.left)
		if spread != c.want {
			t.Errorf("%d clients with %v left go over %v, want %v", c.clients, c.left, spread, c.want)
		}
		if got := dueBy(c.clients, spread, spread/2); spread > 0 && got != c.clients/2 {
			t.Errorf("after half of the time %d of %d are gone", got, c.clients)
		}
		if got := dueBy(c.clients, spread, spread); got != c.clients {
			t.Errorf("at the end %d of %d are gone", got, c.clients)
		}
	}
}
