package conformance

import "testing"

// test is one case of the suite.
type test struct {
	name string
	run  func(t *testing.T, start Factory)
}

// Run runs what holds for every engine.
func Run(t *testing.T, start Factory) {
	run(t, start, hostileTests, deliveryTests, resumeTests, publishTests, eventTests, presenceTests, authTests, limitTests, reloadTests, drainTests)
}

// RunRooms runs of that what is about the messages of rooms alone.
func RunRooms(t *testing.T, start Factory) {
	run(t, start, deliveryTests, resumeTests, publishTests)
}

// RunShared runs what holds for an engine that several replicas share, and that
// can be broken and mended without them.
func RunShared(t *testing.T, start Factory) {
	run(t, start, sharedTests)
}

// RunReplicated runs what holds for an engine whose replicas take over from its
// primary: Kill ends the primary, and Start brings the member back that ended.
func RunReplicated(t *testing.T, start Factory) {
	run(t, start, replicatedTests)
}

func run(t *testing.T, start Factory, suites ...[]test) {
	for _, suite := range suites {
		for _, c := range suite {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.run(t, start)
			})
		}
	}
}
