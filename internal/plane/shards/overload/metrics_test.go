package overload

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	clock := clocktesting.NewFakeClock(time.Unix(1_700_000_000, 0))
	reg := prometheus.NewPedanticRegistry()
	o := threeClasses
	o.MinConcurrency, o.MaxConcurrency = 1, 1
	a := New(Options{Config: o, Partitions: 16, Clock: clock, Registerer: reg})
	// What the operator reads is there before the first request.
	if got := told(t, reg); !strings.Contains(got, planeconfig.MetricHotPartitions+" 0\n") {
		t.Errorf("before the first request:\n%s", got)
	}
	asked(t, a, clock, map[int]int{3: 150, 4: 49, 5: 0})
	done, err := a.Admit(t.Context(), "orders-1", 4, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer done(Success)
	clock.Step(2 * time.Second)
	if _, err := a.Admit(t.Context(), "orders-1", 4, 2); err == nil {
		t.Fatal("there is room")
	}
	want := `# HELP trellis_shards_admitted_total Requests that were sent on to a shard, by class.
# TYPE trellis_shards_admitted_total counter
trellis_shards_admitted_total{class="bronze"} 1
trellis_shards_admitted_total{class="gold"} 199
# HELP trellis_shards_hot_partitions How many partitions take more than their share of this router's requests.
# TYPE trellis_shards_hot_partitions gauge
trellis_shards_hot_partitions 2
# HELP trellis_shards_in_flight Requests that a shard serves for this router now.
# TYPE trellis_shards_in_flight gauge
trellis_shards_in_flight{member="orders-0"} 0
trellis_shards_in_flight{member="orders-1"} 1
# HELP trellis_shards_limit How many requests this router has a shard serve at once; it adapts.
# TYPE trellis_shards_limit gauge
trellis_shards_limit{member="orders-0"} 1
trellis_shards_limit{member="orders-1"} 1
# HELP trellis_shards_partition_share The share, from 0 to 1, of this router's requests that a hot partition takes.
# TYPE trellis_shards_partition_share gauge
trellis_shards_partition_share{partition="3"} 0.75
trellis_shards_partition_share{partition="4"} 0.25
# HELP trellis_shards_queued Requests that wait in this router for a shard.
# TYPE trellis_shards_queued gauge
trellis_shards_queued{member="orders-0"} 0
trellis_shards_queued{member="orders-1"} 0
# HELP trellis_shards_shed_total Requests that were shed: the queue was full (queue), a more important one took the place (displaced), the turn would come too late (deadline) or did (timeout), or the shard ends nothing (stalled).
# TYPE trellis_shards_shed_total counter
trellis_shards_shed_total{class="bronze",reason="stalled"} 1
`
	if diff := cmp.Diff(want, told(t, reg)); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// told is what a scrape gets.
func told(t *testing.T, reg prometheus.Gatherer) string {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&out, family); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}
