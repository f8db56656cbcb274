package scaling

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var testSpec = Spec{Min: 2, Max: 20, PerReplica: 100, Stabilization: 5 * time.Minute, Metric: "m", Unit: "connections"}

// round is one look at a workload: when, its load, and what is decided.
type round struct {
	at    time.Duration
	load  Load
	busy  bool
	want  int32
	limit string
}

// even is a load of n that one pod bears.
func even(n float64) Load { return Load{Pods: pods(n)} }

func TestScaler(t *testing.T) {
	tests := []struct {
		name    string
		spec    func(*Spec)
		current int32
		rounds  []round
	}{
		{"up at once, by no more than twice as many", nil, 2, []round{
			{0, even(1900), false, 6, ReasonWithin}, {15 * time.Second, even(1900), true, 12, ReasonWithin},
			{30 * time.Second, even(1900), true, 19, ReasonWithin}, {45 * time.Second, even(1900), false, 19, ReasonWithin},
		}},
		{"no more than the most", nil, 18, []round{{0, even(9000), false, 20, ReasonTooMany}, {time.Minute, even(9000), false, 20, ReasonTooMany}}},
		{"no fewer than the fewest", nil, 2, []round{{0, even(0), false, 2, ReasonTooFew}, {time.Hour, even(0), false, 2, ReasonTooFew}}},
		{"down when the load has asked for it long enough, a quarter at a time", nil, 16, []round{
			{0, even(800), false, 16, ReasonWithin}, {299 * time.Second, even(800), false, 16, ReasonWithin},
			{300 * time.Second, even(800), false, 12, ReasonWithin}, {315 * time.Second, even(800), true, 12, ReasonWithin},
			{330 * time.Second, even(800), false, 9, ReasonWithin}, {345 * time.Second, even(800), false, 8, ReasonWithin},
		}},
		{"a peak keeps replicas for as long", nil, 4, []round{
			{0, even(100), false, 4, ReasonTooFew}, {200 * time.Second, even(400), false, 4, ReasonWithin},
			{400 * time.Second, even(100), false, 4, ReasonTooFew}, {499 * time.Second, even(100), false, 4, ReasonTooFew},
			{501 * time.Second, even(100), false, 3, ReasonTooFew},
		}},
		{"down at once where nothing is to be waited for", func(s *Spec) { s.Stabilization = 0 }, 3, []round{{0, even(200), false, 2, ReasonWithin}}},
		{"bounds hold at once", func(s *Spec) { s.Max = 5 }, 16, []round{{0, even(1600), false, 5, ReasonTooMany}}},
		{"what is not known changes nothing", nil, 7, []round{{0, Load{}, false, 7, ReasonWithin}, {time.Hour, Load{}, false, 7, ReasonWithin}}},
		{"bounds hold where nothing is known", nil, 1, []round{{0, Load{}, false, 2, ReasonTooFew}}},
		{"to nothing and back", func(s *Spec) { s.Min, s.Stabilization = 0, time.Minute }, 1, []round{
			{0, total(0), false, 1, ReasonWithin}, {time.Minute, total(0), false, 0, ReasonWithin}, {2 * time.Minute, total(1), false, 1, ReasonWithin},
		}},
		{"the last one stays until there was nothing to do for long enough", func(s *Spec) {
			s.Min, s.Stabilization, s.IdleAfter = 0, time.Minute, 3*time.Minute
		}, 3, []round{
			{0, total(0), false, 3, ReasonWithin}, {60 * time.Second, total(0), false, 2, ReasonWithin},
			{75 * time.Second, total(0), false, 1, ReasonWithin}, {179 * time.Second, total(0), false, 1, ReasonWithin},
			{180 * time.Second, total(0), false, 0, ReasonWithin}, {181 * time.Second, total(1), false, 1, ReasonWithin},
			{182 * time.Second, total(0), false, 1, ReasonWithin}, {361 * time.Second, total(0), false, 1, ReasonWithin},
			{362 * time.Second, total(0), false, 0, ReasonWithin},
		}},
		{"from nothing by no more than four at once", func(s *Spec) { s.Min = 0 }, 0, []round{
			{0, total(5000), false, 4, ReasonTooMany}, {time.Second, total(5000), true, 8, ReasonTooMany},
		}},
		{"a backlog that is not known wakes nobody", func(s *Spec) { s.Min = 0 }, 0, []round{{0, Load{}, false, 0, ReasonWithin}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec, current := testSpec, tt.current
			if tt.spec != nil {
				tt.spec(&spec)
			}
			var s Scaler
			start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			for _, r := range tt.rounds {
				load := r.load
				if len(load.Pods) == 1 {
					load = Load{Pods: spread(*load.Pods[0].Load, current)}
				}
				d := s.Next(start.Add(r.at), spec, State{Current: current, Settled: !r.busy, Load: load})
				if d.Replicas != r.want || d.Limited.Reason != r.limit || (d.Why != "") != (d.Replicas != current) {
					t.Fatalf("after %s: %+v, want %d replicas, %s", r.at, d, r.want, r.limit)
				}
				current = d.Replicas
			}
		})
	}
}

// spread a load over n pods.
func spread(load float64, n int32) []Pod {
	var loads []float64
	for range n {
		loads = append(loads, load/float64(n))
	}
	return pods(loads...)
}

// TestARestartTakesNoPodAway shows that a scaler that remembers nothing takes what there is for wanted.
func TestARestartTakesNoPodAway(t *testing.T) {
	var s Scaler
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for range 10 {
		if d := s.Next(now, testSpec, State{Current: 9, Settled: true, Load: Load{Pods: spread(100, 9)}}); d.Replicas != 9 {
			t.Fatalf("%d replicas %s after a restart", d.Replicas, now)
		}
		now = now.Add(29 * time.Second)
	}
}

// TestTheMemoryIsBounded shows that nothing older than the window is kept.
func TestTheMemoryIsBounded(t *testing.T) {
	var s Scaler
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for range 1000 {
		s.Next(now, testSpec, State{Current: 4, Settled: true, Load: Load{Pods: spread(400, 4)}})
		now = now.Add(15 * time.Second)
	}
	if len(s.asked) > 25 {
		t.Errorf("%d entries for a window of 20 looks", len(s.asked))
	}
}

func TestWhatIsSaid(t *testing.T) {
	var s Scaler
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	got := s.Next(now, testSpec, State{Current: 2, Settled: true, Load: Load{Pods: pods(300, 200)}})
	want := Decision{
		Replicas: 5,
		Active:   Verdict{OK: true, Reason: "ValidMetricFound", Message: "scales by 100 connections a replica"},
		Limited:  Verdict{Reason: "DesiredWithinRange", Message: "the number of replicas is what the load asks for"},
		Why:      "from 2 to 5: 500 connections in 2 pods, 100 a replica are aimed at",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decision (-want +got):\n%s", diff)
	}
}

func TestFewest(t *testing.T) {
	all := pods(30, -1, 10, -2, 20, 10)
	for n, want := range map[int32][]string{0: nil, 1: {"d"}, 3: {"d", "c", "f"}, 5: {"d", "c", "f", "e", "a"}, 9: {"d", "c", "f", "e", "a", "b"}} {
		if diff := cmp.Diff(want, Fewest(all, n)); diff != "" {
			t.Errorf("the %d that go first (-want +got):\n%s", n, diff)
		}
	}
}
