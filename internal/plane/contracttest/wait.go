package contracttest

import (
	"context"
	"testing"
	"time"
)

// Patience is how long a test waits for a condition before it fails: far longer
// than any takes, so that a machine that stalls fails none.
const Patience = 2 * time.Minute

// Eventually waits until ok, looking again at short intervals.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("gave up waiting: %s", what)
		case <-tick.C:
		}
	}
}

// Soon bounds what is to be over before long.
func Soon(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, Patience)
}
