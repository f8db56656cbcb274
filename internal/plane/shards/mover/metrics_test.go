package mover_test

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trellis-dev/trellis/internal/plane/shards/mover"
	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// nobody has a pod.
type nobody struct{}

func (nobody) Member(string) (table.Member, bool) { return table.Member{}, false }

// TestWhoLeadsNoLongerTellsOfNothing has the metrics of a former mover not stay as they were for ever.
func TestWhoLeadsNoLongerTellsOfNothing(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	members := []ring.Member{{ID: "a"}, {ID: "b"}}
	served, err := ring.Replay(16, []ring.Membership{{Epoch: 1, Members: members[:1]}})
	if err != nil {
		t.Fatal(err)
	}
	store := &table.Memory{}
	if _, err := store.Write(t.Context(), table.State{Table: served, Target: served, History: []table.Membership{{Epoch: 1, Members: members[:1]}}}, "0"); err != nil {
		t.Fatal(err)
	}
	m := mover.New(mover.Options{
		Wanted: func() mover.Wanted { return mover.Wanted{Partitions: 16, Members: members} },
		Store:  store, Members: nobody{}, Token: func() string { return "" }, Registerer: registry,
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	watch, stop := context.WithCancel(t.Context())
	defer stop()
	if err := store.Watch(watch, func(s table.State) {
		if len(s.Target.Members) == 2 {
			stop()
		}
	}); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, sample := range f.GetMetric() {
			if g := sample.GetGauge(); g != nil && g.GetValue() != 0 {
				t.Errorf("%s is %v", f.GetName(), g.GetValue())
			}
		}
	}
}
