package overload

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/trellis-dev/trellis/internal/plane"
)

// asked has so many requests of each partition ended, and the next slot begin.
func asked(t *testing.T, a *Adaptive, clock *clocktesting.FakeClock, requests map[int]int) {
	t.Helper()
	for partition, n := range requests {
		for range n {
			done, err := a.Admit(t.Context(), "orders-0", partition, 0)
			if err != nil {
				t.Fatal(err)
			}
			done(Success)
		}
	}
	clock.Step(slot)
}

func TestHotPartitions(t *testing.T) {
	t.Parallel()
	clock := clocktesting.NewFakeClock(time.Unix(1_700_000_000, 0))
	a := New(Options{Partitions: 1024, Clock: clock})
	hot := func(what string, want ...int) {
		t.Helper()
		got := []int(nil)
		for _, h := range a.Hottest(1024) {
			if h.Hot {
				got = append(got, h.Partition)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: hot partitions (-want +got):\n%s", what, diff)
		}
	}
	hot("before the first request")

	asked(t, a, clock, map[int]int{7: 20, 8: 20})
	hot("too few to say")

	asked(t, a, clock, map[int]int{7: 500, 8: 300, 9: 100, 1023: 100})
	hot("two of four", 7, 8)
	top := a.Hottest(3)
	if top[0].Partition != 7 || top[1].Partition != 8 || len(top) != 3 || top[0].Share < .45 || top[0].Share > .55 {
		t.Errorf("hottest: %+v", top)
	}

	// Of 20 %, no more than 16 are needed to stay hot.
	a = New(Options{Partitions: 1024, Clock: clock})
	asked(t, a, clock, map[int]int{7: 250, 8: 750})
	for range 20 {
		asked(t, a, clock, map[int]int{7: 175, 8: 825})
	}
	hot("a little below", 8, 7)
	for range 20 {
		asked(t, a, clock, map[int]int{7: 50, 8: 950})
	}
	hot("far below", 8)

	clock.Step(time.Hour)
	hot("after an hour without a request")
	if top := a.Hottest(3); len(top) != 0 {
		t.Errorf("hottest after an hour: %+v", top)
	}
	for _, n := range []int{-1, 1024} {
		asked(t, a, clock, map[int]int{n: 1})
	}
}

func TestShedProblem(t *testing.T) {
	t.Parallel()
	clock := clocktesting.NewFakeClock(time.Unix(1_700_000_000, 0))
	o := threeClasses
	o.MinConcurrency, o.MaxConcurrency, o.Queue = 1, 1, 1
	a := New(Options{Config: o, Partitions: 16, Clock: clock})
	asked(t, a, clock, map[int]int{3: 190, 4: 10})
	done, err := a.Admit(t.Context(), "orders-0", 4, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer done(Success)
	clock.Step(2 * time.Second)
	problem := func(partition, class int) *plane.Problem {
		_, err := a.Admit(context.Background(), "orders-0", partition, class)
		var shed *ShedError
		if !errors.As(err, &shed) {
			t.Fatalf("not shed: %v", err)
		}
		return shed.Problem()
	}
	for _, c := range []struct {
		what             string
		partition, class int
		status, after    int
		says             string
	}{
		{"hot", 3, 0, 429, 1, "send fewer requests for this key"},
		{"not hot", 4, 0, 503, 1, "try again after the time in Retry-After"},
		{"the least important", 4, 2, 503, 3, "those of more important classes go first"},
	} {
		p := problem(c.partition, c.class)
		if p.Status != c.status || p.RetryAfter != c.after || !strings.Contains(p.Detail, c.says) {
			t.Errorf("%s: %+v", c.what, p)
		}
	}
}
