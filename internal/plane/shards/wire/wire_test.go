package wire_test

import (
	"testing"

	"github.com/trellis-dev/trellis/internal/plane/shards/wire"
)

func TestPaths(t *testing.T) {
	t.Parallel()
	for _, p := range []int{0, 7, 16383} {
		path := wire.Path(p, wire.Import)
		if got, verb, ok := wire.ParsePath(path); got != p || verb != wire.Import || !ok {
			t.Errorf("%s is %d, %q, %t", path, got, verb, ok)
		}
	}
	for _, path := range []string{"", wire.Partitions, wire.Partitions + "/", wire.Partitions + "/7", wire.Partitions + "/-1:drop", wire.Partitions + "/x:drop", wire.Partitions + "/7/8:drop", "/x" + wire.Path(7, wire.Drop)} {
		if _, _, ok := wire.ParsePath(path); ok {
			t.Errorf("%q is taken for a partition's", path)
		}
	}
}
