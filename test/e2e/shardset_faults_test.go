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

// hookFaults are what the hooks of partitions do that are to move, one each; the last two are overcome by trying again.
var hookFaults = []string{"export-hangs", "export-cut", "export-lies", "import-hangs", "import-refuses", "import-dies", "slow"}

// overcome are how many of them do not keep a partition from moving.
const overcome = 2

// Hooks that hang, lie, refuse or die keep their partitions where they are, with all that is in them, and no other
// partition. Once the hooks are mended, those move too.
func TestShardSetHookFaults(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	ns := newNamespace(t)
	moves := firstMoves(t, "stubborn-shs-0", "stubborn-shs-1")
	g.Expect(len(moves)).To(BeNumerically(">", len(hookFaults)))
	var faults []string
	for i, f := range hookFaults {
		faults = append(faults, fmt.Sprintf("%d:%s", moves[i].Partition, f))
	}
	set := applied(t, counters(ns, "stubborn", 1, sixteen, func(s *v1alpha1.ShardSet) {
		s.Spec.Resharding.PauseLimit = &metav1.Duration{Duration: time.Second}
		s.Spec.Template.Env = []v1alpha1.JobEnvVar{{Name: "FAULTS", Value: ptr.To(strings.Join(faults, ","))}}
	}))
	s := startShardStorm(t, set, keyOfEach(16))
	s.resize(2)

	stuck := len(hookFaults) - overcome
	g.Eventually(func() (int, error) {
		state, err := ringOf(set)
		return len(ring.Diff(state.Table, state.Target)), err
	}, patience, often).Should(Equal(stuck), "partitions that can not move yet")
	g.Eventually(reload(set), patience, often).Should(Not(beCurrent()), "it is not done")
	s.goOn()

	change(t, set, func(s *v1alpha1.ShardSet) { s.Spec.Template.Env = nil })
	ringSettled(t, set, 2)
	s.set = ready(t, set)
	s.standing(2)
	s.goOn()
	if broken := s.trouble().Broken; broken > 0 {
		t.Errorf("%d attempts had no answer; last: %s", broken, s.trouble().Last)
	}
	s.judge()
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
		status, text := at.ask(t, http.MethodGet, path, "", tc.headers...)
		if status != tc.want || !strings.Contains(text, tc.says) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	status, text := gate{url: at.url}.ask(t, http.MethodGet, path, "", "X-Counter", "a")
	g.Expect(status).To(Equal(http.StatusUnauthorized), text)

	// Past the router, at the member itself.
	pod := &shardPods(set)[0]
	direct := gate{url: "http://" + forwardPod(t, pod, planePort)}
	status, text = direct.ask(t, http.MethodGet, path, "", "Trellis-Partition", "1", "Trellis-Epoch", "1")
	g.Expect(status).To(Equal(http.StatusUnauthorized), text)
	direct.token = at.token
	status, text = direct.ask(t, http.MethodGet, path, "", "Trellis-Partition", "1", "Trellis-Epoch", "1")
	g.Expect(status).To(Equal(http.StatusOK), text)
	status, text = direct.ask(t, http.MethodGet, path, "", "Trellis-Partition", "16", "Trellis-Epoch", "1")
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
