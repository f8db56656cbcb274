//go:build integration

package laws

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/trellis-dev/trellis/test/integration/framework"
)

// takeover: of two operators the leader is lost after n writes, and the other one comes to the same end. A
// leader that is killed says nothing more. One that was only asleep wakes up when all is done, and
// its late write does no harm.
func (s subject) takeover(t testing.TB, e example, n int64, asleep bool) error {
	want, err := s.undisturbed(t, e)
	if err != nil {
		return err
	}
	ns := e.namespace(t)
	lost, sleep := make(chan struct{}), pauseBefore(n+1)
	fault := dieAfter(n, lost)
	if asleep {
		fault = sleep.wrap
	}
	two := framework.OperatorOptions{Namespace: ns, LeaseNamespace: ns}
	leader := s.startOne(t, two, fault)
	if err := until(leader, ns, func() error { return leads(leader) }); err != nil {
		return err
	}
	other := s.startOne(t, two)
	defer other.Stop()
	other.stuckAfter = 2 * (framework.Lease + stuckAfter)
	if err := e.apply(ns); err != nil {
		return err
	}
	reached := func() error { return compare(ns, want.state) }
	if asleep {
		err = s.wakeLate(leader, other, ns, reached, sleep)
	} else {
		err = waitFor(leader, ns, lost, reached)
	}
	if err != nil {
		return err
	}
	leader.Stop()
	return errors.Join(reach(other, ns, reached), inOffice(leader), inOffice(other))
}

// wakeLate wakes the leader once the other has done its work and the leader has noticed that it leads no more, and
// waits for what the leader sends then. Where the leader had no n-th write it was never asleep.
func (s subject) wakeLate(leader, other *operator, ns string, reached func() error, sleep *pause) error {
	err := reach(other, ns, reached)
	if err == nil && closed(sleep.begun) {
		err = until(leader, ns, func() error {
			if !closed(sleep.noticed) {
				return errors.New("the leader goes on after its lease was lost")
			}
			return nil
		})
	}
	before := writesSent(leader)
	close(sleep.resume)
	if err != nil || !closed(sleep.begun) {
		return err
	}
	return until(other, ns, func() error {
		if writesSent(leader) == before {
			return errors.New("the leader's late write has not been sent")
		}
		return nil
	})
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// inOffice wants an operator to have written nothing before it held the lease.
func inOffice(op *operator) error {
	for _, c := range op.Calls() {
		switch {
		case c.Method == http.MethodGet || strings.Contains(c.URL, "/events"):
		case !framework.IsLeaseURL(c.URL):
			return fmt.Errorf("%s was written without the lease", c.URL)
		case c.Code == http.StatusCreated || c.Code == http.StatusOK:
			return nil
		}
	}
	return nil
}

// waitFor waits until the operator is lost, or has done all its work before that: then the namespace is as wanted.
func waitFor(op *operator, ns string, lost <-chan struct{}, want func() error) error {
	return until(op, ns, func() error {
		if closed(lost) {
			return nil
		}
		return settledIn(op, ns, want)
	})
}

// writesSent are the writes of an operator that reached the API server.
func writesSent(op *operator) int {
	var n int
	for _, c := range op.Calls() {
		if c.Method != http.MethodGet && !framework.IsLeaseURL(c.URL) && !strings.Contains(c.URL, "/events") {
			n++
		}
	}
	return n
}

// leads is nil once an operator holds the lease.
func leads(op *operator) error {
	for _, c := range op.Calls() {
		if c.Method == "POST" && c.Code == 201 && framework.IsLeaseURL(c.URL) {
			return nil
		}
	}
	return fmt.Errorf("the operator does not lead")
}

func TestTheLeaderIsLostAfterEveryWrite(t *testing.T) {
	for _, e := range some(t, "realtimegateway-dedicated") {
		t.Run(e.name, func(t *testing.T) {
			end, err := trellis.undisturbed(t, e)
			if err != nil {
				t.Fatal(err)
			}
			for n := int64(1); n < end.writes; n++ {
				for i, asleep := range []bool{false, true} {
					if !all() && n%leadersSampled != int64(i) {
						continue
					}
					check(t, fmt.Sprintf("write=%d,asleep=%v", n, asleep), func(t *testing.T) error {
						return trellis.takeover(t, e, n, asleep)
					})
				}
			}
		})
	}
}

// leadersSampled: in a quick run a leader is killed after each of so many writes, and asleep after the next.
const leadersSampled = 6
