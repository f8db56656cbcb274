package kube

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// TestTheLargestStateFits into a ConfigMap, and is read as it was written.
func TestTheLargestStateFits(t *testing.T) {
	t.Parallel()
	const shards, uid = 100, "01234567-89ab-cdef-0123-456789abcdef"
	s := table.State{Term: 1 << 40, Incarnations: map[string][]string{}}
	var all []ring.Member
	for i := range shards {
		all = append(all, ring.Member{ID: fmt.Sprintf("%s-shs-%d", strings.Repeat("n", 40), i), Weight: 100})
		s.Incarnations[all[i].ID] = []string{uid, uid, uid, uid}
	}
	for i := range table.MaxHistory {
		s.History = append(s.History, table.Membership{Epoch: uint64(1<<40 + i), Members: all})
	}
	var err error
	if s.Table, err = ring.Replay(ring.MaxPartitions, s.History); err != nil {
		t.Fatal(err)
	}
	s.Target, s.Base = s.Table.Clone(), s.Table.Clone()
	for i := range 64 {
		m := ring.Move{Partition: i, From: all[98].ID, To: all[99].ID}
		s.Table.Moves, s.Dropping = append(s.Table.Moves, m), append(s.Dropping, m)
	}
	for i := range table.MaxFailures {
		s.Failures = append(s.Failures, table.Failure{Move: s.Table.Moves[i], Reason: strings.Repeat("x", 500)})
	}
	data, err := encode(s)
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	for _, text := range data {
		size += len(text)
	}
	if size > 900<<10 {
		t.Errorf("it has %d bytes, and a ConfigMap holds 1 MiB with all else that is in it", size)
	}
	got, err := decode(&corev1.ConfigMap{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, got); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
}
