package shardset

import (
	"testing"

	"github.com/trellis-dev/trellis/test/planlaws"
)

// TestPlans compares with testdata/golden; -update writes it anew.
func TestPlans(t *testing.T) { planlaws.Hold(t, Definition()) }
