package enginetest

import (
	"testing"
	"time"
)

// settlesWithin is far longer than a cluster that lost a member takes to find another leader.
const settlesWithin = time.Minute

// Eventually tries until there is no error, as a cluster may be without a leader at first or for a while.
func Eventually(t testing.TB, what string, try func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	err := try()
	for end := time.Now().Add(settlesWithin); err != nil && time.Now().Before(end); err = try() {
		<-tick.C
	}
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
