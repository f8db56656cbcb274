package load

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/enginetest"
)

// Every measurement comes to its end, with each peer.
func TestPeers(t *testing.T) {
	t.Parallel()
	for name, target := range map[string]func() Target{
		"River": func() Target {
			uri, _ := enginetest.Postgres(t)
			return Target{Postgres: uri, Connections: 4}
		},
		"JetStream": func() Target { return Target{NATS: enginetest.NATS(t, 1).URI(), Name: "test"} },
	} {
		t.Run(name, func(t *testing.T) {
			at := target()
			positive := func(result any, err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
				switch r := result.(type) {
				case Rate:
					if r.PerSecond <= 0 {
						t.Errorf("%v jobs a second", r.PerSecond)
					}
				case Times:
					if r.P50 <= 0 || r.P99 < r.P50 {
						t.Errorf("p50 is %s and p99 %s", r.P50, r.P99)
					}
				}
			}
			positive(Submit(t.Context(), SubmitParams{Target: at, Jobs: 40, Clients: 4, Batch: 1}))
			positive(Submit(t.Context(), SubmitParams{Target: at, Jobs: 40, Clients: 2, Batch: 10}))
			positive(Work(t.Context(), WorkParams{Target: at, Jobs: 104, AtOnce: 10}))
			positive(Start(t.Context(), StartParams{Target: at, Jobs: 20, AtOnce: 4, Every: 5 * time.Millisecond}))
			if at.NATS != "" {
				positive(Request(t.Context(), RequestParams{NATS: at.NATS, Jobs: 20, Every: time.Millisecond}))
			}
		})
	}
}

func TestTasksAreOfOneSize(t *testing.T) {
	sizes := map[int]bool{}
	for _, n := range []int{0, 7, 1234, 99999} {
		sizes[len(newTask(n).encode())] = true
	}
	if diff := cmp.Diff(map[int]bool{PayloadBytes: true}, sizes); diff != "" {
		t.Errorf("sizes (-want +got):\n%s", diff)
	}
}

func TestQuantiles(t *testing.T) {
	var took []time.Duration
	for i := range 100 {
		took = append(took, time.Duration(100-i))
	}
	if diff := cmp.Diff(Times{P50: 51, P99: 100}, quantiles(took)); diff != "" {
		t.Errorf("quantiles (-want +got):\n%s", diff)
	}
}
