//go:build integration

package laws

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// seeds of the runs with bad watches.
func seeds() []uint64 {
	if all() {
		return []uint64{1, 2, 3, 4, 5, 6, 7, 8}
	}
	return []uint64{1, 2, 3}
}

func TestSilence(t *testing.T) {
	for _, e := range examples(t) {
		check(t, e.name, func(t *testing.T) error { return trellis.silence(t, e) })
	}
}

func TestCrashAfterEveryWrite(t *testing.T) {
	for _, e := range some(t, "realtimegateway-minimal", "realtimegateway-dedicated", "engine-redis", "jobqueue-sinks", "blobbucket-dedicated", "shardset-counter") {
		t.Run(e.name, func(t *testing.T) {
			end, err := trellis.undisturbed(t, e)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("n = %d writes", end.writes)
			for n := int64(1); n <= end.writes; n++ {
				check(t, fmt.Sprintf("write=%d", n), func(t *testing.T) error { return trellis.crash(t, e, n) })
			}
		})
	}
}

func TestEveryCallFailsOnce(t *testing.T) {
	for _, e := range some(t, "realtimegateway-minimal", "realtimegateway-dedicated", "shardset-minimal") {
		t.Run(e.name, func(t *testing.T) {
			end, err := trellis.undisturbed(t, e)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("n = %d calls", end.calls)
			for n := int64(1); n <= end.calls; n++ {
				for i, f := range faults {
					if !all() && (n%int64(len(faults)) != int64(i) || e.hasShards() && n%callsSampled != 0) {
						continue
					}
					check(t, fmt.Sprintf("call=%d,%s", n, f.name), func(t *testing.T) error {
						return trellis.failure(t, e, failOnce(nth(n), f))
					})
				}
			}
		})
	}
}

// callsSampled: in a quick run each of so many calls of a ShardSet fails.
const callsSampled = 3

func TestLateAndMissedEvents(t *testing.T) {
	for _, e := range some(t, "realtimegateway-minimal", "realtimegateway-dedicated", "realtimegateway-ingress", "realtimegateway-stateful", "jobqueue-sinks", "shardset-counter") {
		t.Run(e.name, func(t *testing.T) {
			for _, seed := range seeds() {
				check(t, fmt.Sprintf("seed=%d", seed), func(t *testing.T) error { return trellis.lateness(t, e, seed) })
			}
		})
	}
}

// watched are the kinds whose cache may be stale, as URLs name them; none is all of them at once.
func watched() [][]string {
	out := [][]string{{}}
	for _, kind := range trellis.kinds().Names() {
		out = append(out, []string{strings.ToLower(kind) + "s"})
	}
	return append(out, []string{"secrets"}, []string{"deployments", "statefulsets"}, []string{"persistentvolumeclaims"},
		[]string{"patternclasses"}, []string{"services", "configmaps", "serviceaccounts", "networkpolicies", "ingresses", "httproutes"})
}

func TestStaleReads(t *testing.T) {
	for _, e := range some(t, "realtimegateway-dedicated", "shardset-counter") {
		t.Run(e.name, func(t *testing.T) {
			for i, kinds := range watched() {
				for j, policy := range []v1alpha1.DeletionPolicy{v1alpha1.DeletionRetain, v1alpha1.DeletionDelete} {
					if !all() && (i > 1 && i%2 != j || e.hasShards() && !slices.ContainsFunc(kinds, ofShards)) {
						continue
					}
					check(t, fmt.Sprintf("%s,%s", policy, strings.Join(kinds, "+")), func(t *testing.T) error {
						return trellis.stale(t, e, policy, kinds...)
					})
				}
			}
		})
	}
}

// ofShards are the kinds by which a ShardSet finds what it has, beside those that all have.
func ofShards(kind string) bool {
	return slices.Contains([]string{"shardsets", "statefulsets", "configmaps"}, kind)
}

func TestDeletion(t *testing.T) {
	for _, e := range some(t, "realtimegateway-minimal", "realtimegateway-dedicated", "realtimegateway-named-engine", "engine-redis", "jobqueue-minimal", "blobbucket-dedicated", "shardset-counter") {
		t.Run(e.name, func(t *testing.T) {
			for i, o := range obstacles {
				for j, policy := range []v1alpha1.DeletionPolicy{v1alpha1.DeletionRetain, v1alpha1.DeletionDelete} {
					if !all() && o != nothing && i%2 != j {
						continue
					}
					check(t, fmt.Sprintf("%s,%s", policy, o), func(t *testing.T) error { return trellis.deletion(t, e, policy, o) })
				}
			}
		})
	}
}
