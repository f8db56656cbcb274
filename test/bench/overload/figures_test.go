package overload

import (
	"testing"
	"time"

	"github.com/trellis-dev/trellis/test/bench/overload/load"
)

func TestRecoveryIsFromWhereAWholeSecondIsAnswered(t *testing.T) {
	t.Parallel()
	sent := func(good ...int) load.Sent {
		due := make([]int, len(good))
		for i := range due {
			due[i] = 10
		}
		return load.Sent{Good: good, Due: due}
	}
	for name, c := range map[string]struct {
		sent load.Sent
		want time.Duration
	}{
		"at once":      {sent(10, 10, 10, 10, 10, 10, 10, 10, 10, 10), 0},
		"a relapse":    {sent(10, 10, 3, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10), 300 * time.Millisecond},
		"a failure":    {sent(9, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10), 100 * time.Millisecond},
		"not any more": {sent(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), 1100 * time.Millisecond},
	} {
		if got := recovery(c.sent); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
