package storetest

import (
	"context"
	"testing"
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
)

// Connect opens one more replica of a queue's store. It runs until the test ends.
type Connect func(plane.Settings) plane.Store

// Open makes a new and empty queue.
type Open func(testing.TB) Connect

// Run runs all tests of the suite. Each has a queue of its own, and they run in parallel.
func Run(t *testing.T, open Open) {
	for name, test := range map[string]func(*testing.T, Connect){
		"Life":                life,
		"Fences":              fences,
		"Retries":             retries,
		"Releases":            releases,
		"Cancels":             cancels,
		"RetriesByHand":       byHand,
		"Redrives":            redrives,
		"Deletes":             deletes,
		"Lists":               lists,
		"Idempotency":         idempotency,
		"Full":                full,
		"Later":               later,
		"Types":               types,
		"Weights":             weights,
		"UnknownPriority":     unknownPriority,
		"Keys":                keys,
		"KeysThatFail":        keysThatFail,
		"KeysThatComeBack":    keysThatComeBack,
		"OrderingOn":          orderingOn,
		"OrderingOff":         orderingOff,
		"OrderingOnComesBack": orderingOnComesBack,
		"Rate":                rate,
		"Paused":              paused,
		"ClockJumps":          clockJumps,
		"ClockOfRate":         clockOfRate,
		"ClocksDiffer":        clocksDiffer,
		"Lost":                lost,
		"Expiry":              expiry,
		"Startable":           startable,
		"Stats":               stats,
		"Events":              events,
		"EventsInOrder":       eventsInOrder,
		"EventsOfNobody":      eventsOfNobody,
		"Schedules":           schedules,
		"Changes":             changes,
		"ChangesOfOthers":     changesOfOthers,
		"SharedKeys":          sharedKeys,
		"Replicas":            replicas,
		"ReplicasInOrder":     replicasInOrder,
		"ReplicasOfSchedule":  replicasOfSchedule,
		"Model":               model,
		"HandsOut":            handsOut,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// within is far longer than anything takes that a test waits for.
const within = 30 * time.Second

func contextOf(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*within)
	t.Cleanup(cancel)
	return ctx
}
