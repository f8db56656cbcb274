//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/pkg/ring"
	"github.com/trellis-dev/trellis/test/e2e/shardclient"
	"github.com/trellis-dev/trellis/test/e2e/shardhistory"
)

const (
	// shardClients count at shardPace each, on shardKeys keys that all of them share.
	shardClients = 8
	shardKeys    = 40
	shardPace    = 50 * time.Millisecond
	// shardTimeout of an attempt: longer than a request is held while its partition moves.
	shardTimeout = 6 * time.Second
)

// shardStorm is a ShardSet of counters under load while something happens to its parts.
type shardStorm struct {
	t       *testing.T
	set     *v1alpha1.ShardSet
	gate    gate
	keys    []string
	clients []*shardclient.Client
	tables  *tables
}

func startShardStorm(t *testing.T, s *v1alpha1.ShardSet, keys []string) *shardStorm {
	t.Helper()
	out := &shardStorm{t: t, set: s, gate: gateOf(t, s), keys: keys, tables: watchTables(t, s)}
	began := time.Now()
	for n := range shardClients {
		c := shardclient.Start(ctx, shardclient.Config{
			URL: out.gate.url, Token: out.gate.token, Keys: out.keys, Number: n + 1, Every: shardPace, Timeout: shardTimeout,
			Since: func() time.Duration { return time.Since(began) },
		})
		t.Cleanup(func() { c.Stop(0) })
		out.clients = append(out.clients, c)
	}
	out.goOn()
	return out
}

// spreadKeys are n keys that no two tests share.
func spreadKeys(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("counter-%d", i))
	}
	return out
}

// goOn waits until every client had ten more operations answered.
func (s *shardStorm) goOn() {
	s.t.Helper()
	for _, c := range s.clients {
		until := c.Answered() + 10
		NewWithT(s.t).Eventually(c.Answered, patience, often).Should(BeNumerically(">=", until),
			func() string { return "operations are answered; last trouble: " + c.Trouble().Last })
	}
}

// standing waits until all pods are ready, and nothing else is there.
func (s *shardStorm) standing(shards int) {
	s.t.Helper()
	NewWithT(s.t).Eventually(func() []int {
		return []int{len(shardPods(s.set)), len(readyOnes(shardPods(s.set))), len(routerPods(s.set)), len(readyOnes(routerPods(s.set)))}
	}, patience, often).Should(Equal([]int{shards, shards, 2, 2}), "shards, ready ones, routers, ready ones")
}

// shardOrdeal is something that a ShardSet goes through.
type shardOrdeal struct {
	name   string
	happen func()
	// breaks is true where a client may be without an answer: its router is killed, or out of reach. Without it a client
	// always has one, if only that it shall come again.
	breaks bool
	// resizes is true where partitions are to move.
	resizes bool
}

// through has it go through one ordeal after the other. What a client was not answered by the contract fails the test.
func (s *shardStorm) through(ordeals ...shardOrdeal) {
	s.t.Helper()
	for _, o := range ordeals {
		began, before, shards := time.Now(), s.trouble(), int(s.set.Spec.Shards)
		table := ringSettled(s.t, s.set, shards)
		o.happen()
		s.set = reload(s.set)()
		shards = int(s.set.Spec.Shards)
		after := ringSettled(s.t, s.set, shards)
		s.standing(shards)
		ready(s.t, s.set)
		s.goOn()
		s.planned(o, table, after)
		now := s.trouble()
		if broken := now.Broken - before.Broken; broken > 0 && !o.breaks {
			s.t.Errorf("%s: %d attempts had no answer; last: %s", o.name, broken, now.Last)
		}
		s.t.Logf("%s: over after %s; epoch %d to %d, %d partitions moved; attempts refused %v, doubtful %d, without answer %d; %d again",
			o.name, time.Since(began).Round(100*time.Millisecond), table.Epoch, after.Epoch, len(ring.Diff(table, after)),
			difference(now.Refused, before.Refused), now.Doubtful-before.Doubtful, now.Broken-before.Broken, now.Again-before.Again)
	}
}

// planned wants those partitions moved that the plan moves, and no other.
func (s *shardStorm) planned(o shardOrdeal, before, after ring.Table) {
	s.t.Helper()
	want := ring.Rebalance(before, after.Members)
	if diff := cmp.Diff(ring.Diff(before, want), ring.Diff(before, after)); diff != "" {
		s.t.Errorf("%s: moves (-want +got):\n%s", o.name, diff)
	}
	if moved := len(ring.Diff(before, after)); (moved > 0) != o.resizes {
		s.t.Errorf("%s: %d partitions moved", o.name, moved)
	}
}

// trouble of all clients together.
func (s *shardStorm) trouble() shardclient.Trouble {
	s.t.Helper()
	out := shardclient.Trouble{Refused: map[int]int{}}
	for _, c := range s.clients {
		one := c.Trouble()
		for status, n := range one.Refused {
			out.Refused[status] += n
		}
		out.Doubtful, out.Broken, out.Again = out.Doubtful+one.Doubtful, out.Broken+one.Broken, out.Again+one.Again
		out.Slowest, out.Faults = max(out.Slowest, one.Slowest), append(out.Faults, one.Faults...)
		if one.Last != "" {
			out.Last = one.Last
		}
	}
	return out
}

func difference(now, before map[int]int) map[int]int {
	out := map[int]int{}
	for status, n := range now {
		if n > before[status] {
			out[status] = n - before[status]
		}
	}
	return out
}

// judge stops the clients, reads all counters and has the model check what they were answered. Each partition's counters
// have to be at its owner, and nowhere else.
func (s *shardStorm) judge() {
	s.t.Helper()
	h := shardhistory.History{Finals: map[string]int64{}}
	trouble := s.trouble()
	for _, c := range s.clients {
		h.Operations = append(h.Operations, c.Stop(patience)...)
	}
	for _, fault := range first(trouble.Faults, 20) {
		s.t.Error("not by the contract: " + fault)
	}
	table := ringSettled(s.t, s.set, int(s.set.Spec.Shards))
	for _, key := range s.keys {
		h.Finals[key] = s.read(key)
	}
	h.Tables = s.tables.all(s.t)
	report := shardhistory.Check(h)
	for _, v := range first(report.Violations, 20) {
		s.t.Error(v)
	}
	s.t.Logf("%s; slowest operation %s", report, trouble.Slowest.Round(time.Millisecond))
	NewWithT(s.t).Expect(report.Unknown).To(BeZero(), "every increment was answered in the end")
	s.placed(table)
}

func (s *shardStorm) read(key string) int64 {
	s.t.Helper()
	value := int64(0)
	NewWithT(s.t).Eventually(func() (int, error) {
		status, text := s.gate.ask(s.t, http.MethodGet, "/counters/"+key+"/value", "")
		if status != http.StatusOK {
			return status, errors.New(text)
		}
		_, err := fmt.Sscanf(text, `{"key":"`+key+`","value":%d`, &value)
		return status, err
	}, patience, often).Should(Equal(http.StatusOK))
	return value
}

// placed wants each partition that has counters at its owner alone.
func (s *shardStorm) placed(table ring.Table) {
	s.t.Helper()
	want, got := map[int][]string{}, map[int][]string{}
	for _, key := range s.keys {
		owner, _ := table.Owner(table.Partition(key))
		want[table.Partition(key)] = []string{owner.ID}
	}
	for _, pod := range shardPods(s.set) {
		for p := range holdings(s.t, &pod) {
			got[p] = append(got[p], pod.Name)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("where counters are, by partition (-want +got):\n%s", diff)
	}
}

// replaced waits until none of the pods is there that were.
func replaced(t *testing.T, before []corev1.Pod, now func() []corev1.Pod) {
	t.Helper()
	old := lives(before)
	NewWithT(t).Eventually(func() int {
		return len(slices.DeleteFunc(readyOnes(now()), func(p corev1.Pod) bool { _, same := old[p.Name+"/"+string(p.UID)]; return same }))
	}, patience, often).Should(Equal(len(before)))
}
