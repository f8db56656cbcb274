//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// hookFaults are what the hooks of partitions do that are to move, one each, and how often their move has to begin.
var hookFaults = []struct {
	fault string
	begun int
}{
	{"export-hangs:2", 3}, {"export-cut:2", 3}, {"export-lies:2", 3}, {"import-hangs:2", 3}, {"import-refuses:2", 3}, {"import-dies", 2}, {"slow", 1},
}

// Hooks that hang, lie, refuse or die keep their partitions where they are, with all that is in them, until they do their
// work. Nobody who counts notices but by waiting.
func TestShardSetHookFaults(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	moves := firstMoves(t, "stubborn-shs-0", "stubborn-shs-1")
	g.Expect(len(moves)).To(BeNumerically(">", len(hookFaults)))
	var faults []string
	for i, f := range hookFaults {
		faults = append(faults, fmt.Sprintf("%d:%s", moves[i].Partition, f.fault))
	}
	set := applied(t, counters(newNamespace(t), "stubborn", 1, sixteen, func(s *v1alpha1.ShardSet) {
		s.Spec.Resharding.PauseLimit = &metav1.Duration{Duration: 2 * time.Second}
		s.Spec.Template.Env = []v1alpha1.JobEnvVar{{Name: "FAULTS", Value: ptr.To(strings.Join(faults, ","))}}
	}))
	s := startShardStorm(t, set, keyOfEach(16))
	s.through(shardOrdeal{name: "1 shard becomes 2, whose hooks fail", resizes: true, happen: func() { s.resize(2) }})
	s.judge()
	begun := s.tables.begun(t)
	for i, f := range hookFaults {
		g.Expect(begun[moves[i].Partition]).To(BeNumerically(">=", f.begun), "moves of the partition with %s", f.fault)
	}
}

// begun counts how often the move of each partition began.
func (s *tables) begun(t *testing.T) map[int]int {
	t.Helper()
	out := map[int]int{}
	before := ring.Table{}
	for _, table := range s.all(t) {
		for _, m := range table.Moves {
			if _, already := before.Moving(m.Partition); !already {
				out[m.Partition]++
			}
		}
		before = table
	}
	return out
}

// sixteen partitions, so that each of them is looked at.
func sixteen(s *v1alpha1.ShardSet) { s.Spec.Partitions = 16 }

// keyOfEach has a key for each partition.
func keyOfEach(n int) []string {
	out, found := make([]string, n), 0
	for i := 0; found < n; i++ {
		key := fmt.Sprintf("key-%d", i)
		if p := ring.PartitionOf(key, n); out[p] == "" {
			out[p] = key
			found++
		}
	}
	return out
}

// firstMoves are those that lead from one shard of 16 partitions to two.
func firstMoves(t *testing.T, first, second string) []ring.Move {
	t.Helper()
	empty, err := ring.New(16)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	one := ring.Rebalance(empty, []ring.Member{{ID: first}})
	return ring.Diff(one, ring.Rebalance(one, []ring.Member{{ID: first}, {ID: second}}))
}

// What a router can not place is refused, and says what to send. What does not come by a router is refused as well.
func TestShardSetBadInput(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	set := applied(t, counters(newNamespace(t), "strict", 1, sixteen, func(s *v1alpha1.ShardSet) {
		s.Spec.Key = v1alpha1.ShardKey{Header: "X-Counter"}
	}))
	at := gateOf(t, set)
	path := "/counters/a/value"
	for name, tc := range map[string]struct {
		headers []string
		want    int
		says    string
	}{
		"a key":                  {headers: []string{"X-Counter", "a"}, want: http.StatusOK, says: `"value":0`},
		"no key":                 {want: http.StatusBadRequest, says: "X-Counter"},
		"an empty key":           {headers: []string{"X-Counter", ""}, want: http.StatusBadRequest, says: "X-Counter"},
		"two keys":               {headers: []string{"X-Counter", "a", "X-Counter", "b"}, want: http.StatusBadRequest, says: "X-Counter"},
		"a giant key":            {headers: []string{"X-Counter", strings.Repeat("k", 2000)}, want: http.StatusBadRequest, says: "1024"},
		"a partition of its own": {headers: []string{"X-Counter", "a", "Trellis-Partition", "77", "Trellis-Epoch", "x"}, want: http.StatusOK, says: fmt.Sprintf(`"partition":%d`, ring.PartitionOf("a", 16))},
	} {
		status, text := at.answered(t, http.MethodGet, path, "", tc.headers...)
		if status != tc.want || !strings.Contains(text, tc.says) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	status, text := gate{url: at.url}.answered(t, http.MethodGet, path, "", "X-Counter", "a")
	g.Expect(status).To(Equal(http.StatusUnauthorized), text)

	// Past the router, at the member itself.
	pod := &shardPods(set)[0]
	direct := gate{url: "http://" + forwardPod(t, pod, planePort)}
	status, text = direct.answered(t, http.MethodGet, path, "", "Trellis-Partition", "1", "Trellis-Epoch", "1")
	g.Expect(status).To(Equal(http.StatusUnauthorized), text)
	direct.token = at.token
	status, text = direct.answered(t, http.MethodGet, path, "", "Trellis-Partition", "1", "Trellis-Epoch", "1")
	g.Expect(status).To(Equal(http.StatusOK), text)
	status, text = direct.answered(t, http.MethodGet, path, "", "Trellis-Partition", "16", "Trellis-Epoch", "1")
	g.Expect(status).To(BeElementOf(http.StatusBadRequest, http.StatusMisdirectedRequest), text)
}

// What can not be changed is refused, and it is said how to come by it.
func TestShardSetInvalidChanges(t *testing.T) {
	t.Parallel()
	set := counters(newNamespace(t), "fixed", 1, sixteen)
	NewWithT(t).Expect(admin.Create(ctx, set)).To(Succeed())
	for name, tc := range map[string]struct {
		change func(*v1alpha1.ShardSetSpec)
		says   string
	}{
		"partitions": {func(s *v1alpha1.ShardSetSpec) { s.Partitions = 32 }, "create another ShardSet, and move the data"},
		"strategy": {func(s *v1alpha1.ShardSetSpec) {
			s.Strategy, s.Range = "Range", &v1alpha1.ShardRange{Splits: []string{"m"}}
		}, "create another ShardSet with the strategy that you need"},
		"key":         {func(s *v1alpha1.ShardSetSpec) { s.Key = v1alpha1.ShardKey{Query: "counter"} }, "create another ShardSet, and move the data"},
		"storage":     {func(s *v1alpha1.ShardSetSpec) { s.Storage = nil }, "create another ShardSet, and move the data"},
		"many shards": {func(s *v1alpha1.ShardSetSpec) { s.Shards = 17 }, "lower shards to the number of partitions at most"},
	} {
		changed := set.DeepCopy()
		tc.change(&changed.Spec)
		if err := admin.Patch(ctx, changed, client.MergeFrom(set), client.DryRunAll); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
