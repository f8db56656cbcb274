package conformance

import "testing"

// test is one case of the suite.
type test struct {
	name string
	run  func(t *testing.T, start Factory)
}

// Run runs what holds for every store and ledger.
func Run(t *testing.T, start Factory) {
	run(t, start, fileTests, uploadTests, partTests, hostileTests, storeTests, ownerTests, eventTests, toolTests)
}

// RunShared runs what holds for a store and a ledger that can be broken and mended without the planes, which several
// replicas share. The planes are processes, so that they can be killed.
func RunShared(t *testing.T, start Factory) {
	run(t, start, sharedTests)
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
