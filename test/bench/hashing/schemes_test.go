package hashing

import (
	"io"
	"testing"

	"github.com/trellis-dev/trellis/test/bench/harness"
)

func TestSchemesKeepMostKeysWhereTheyAre(t *testing.T) {
	t.Parallel()
	for _, s := range append([]scheme{ours}, peers...) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			e := &harness.Env{Short: true, Progress: io.Discard}
			f, err := measure(t.Context(), e, s, size{10, 1024}, 1)
			if err != nil {
				t.Fatal(err)
			}
			// Those of a circle are of quite different loads.
			if f[moved] < 0.7 || f[moved] > 1.3 || f[greatest] < 1 || f[greatest] > 1.4 || f[lookUp] <= 0 {
				t.Errorf("figures %v", f)
			}
			if s.name != "Maglev" && f[between] > 0 {
				t.Errorf("%v keys moved between members that stay", f[between])
			}
		})
	}
}
