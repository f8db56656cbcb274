package shardset

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

type spec = v1alpha1.ShardSetSpec

func makeSet(mutate ...func(*spec)) *v1alpha1.ShardSet {
	s := &v1alpha1.ShardSet{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "counter"}}
	s.Spec.Shards, s.Spec.Partitions, s.Spec.Strategy = 3, 16, v1alpha1.ShardByHash
	s.Spec.Template = v1alpha1.ShardTemplate{Image: "counter:1", Port: 9000}
	s.Spec.Key.Header, s.Spec.Resharding.Mode = "X-Account", v1alpha1.ReshardNothing
	s.Spec.Router.Replicas, s.Spec.Router.Authentication = ptr.To[int32](2), "Token"
	s.Spec.Router.Overload.HotPartitionPercent = 20
	for _, m := range mutate {
		m(&s.Spec)
	}
	return s
}

func suspended(s *spec) { s.Suspend = ptr.To(true) }

func asks(n int32) func(*spec) { return func(s *spec) { s.Shards = n } }

// tableOf 16 partitions of n shards, the last of which own what more says.
func tableOf(n int, mutate ...func(*ring.Table)) ring.Table {
	t, err := ring.New(16)
	if err != nil {
		panic(err)
	}
	var all []ring.Member
	for i := range n {
		all = append(all, ring.Member{ID: memberID("counter-shs", int32(i))})
	}
	t = ring.Rebalance(t, all)
	for _, m := range mutate {
		m(&t)
	}
	return t
}

// read is what a plan reads of a published state.
func read(t *testing.T, table ring.Table, state planeconfig.RingState) map[string]map[string]string {
	t.Helper()
	data := map[string]string{}
	for key, v := range map[string]any{planeconfig.RingTableKey: table, planeconfig.RingStateKey: state} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		data[key] = string(text)
	}
	return map[string]map[string]string{"counter-shs-ring": data}
}

func inputs(read map[string]map[string]string) pattern.Inputs {
	return pattern.Inputs{
		Class: &v1alpha1.PatternClass{Spec: v1alpha1.PatternClassSpec{Plane: v1alpha1.PlaneClass{Image: "plane", Version: "v1"}}},
		Read:  read, ClusterDomain: "cluster.local",
	}
}

// childOf a plan by its type and name.
func childOf[T client.Object](t *testing.T, p pattern.Plan, name string) T {
	t.Helper()
	for _, c := range p.Children {
		if out, ok := c.Object.(T); ok && out.GetName() == name {
			return out
		}
	}
	t.Fatalf("the plan has no %T %s", *new(T), name)
	return *new(T)
}

// TestNoShardStopsThatHoldsSomething is about the number of pods.
func TestNoShardStopsThatHoldsSomething(t *testing.T) {
	empty := func(owner int) func(*ring.Table) {
		return func(t *ring.Table) {
			for p, o := range t.Owners {
				if o == owner {
					t.Owners[p] = 0
				}
			}
		}
	}
	moving := func(t *ring.Table) { t.Moves = []ring.Move{{Partition: 1, From: "counter-shs-0", To: "counter-shs-4"}} }
	dropping := planeconfig.RingState{Target: tableOf(3), Dropping: []ring.Move{{Partition: 2, From: "counter-shs-3", To: "counter-shs-0"}}}
	known := func(s *v1alpha1.ShardSet) {
		s.Status.Ring = &v1alpha1.ShardRingStatus{History: []v1alpha1.ShardMembershipStatus{{Epoch: 1, Shards: 9}, {Epoch: 4, Shards: 4}}}
		s.Status.DesiredReplicas = 5
	}
	for name, c := range map[string]struct {
		mutate []func(*spec)
		read   map[string]map[string]string
		status func(*v1alpha1.ShardSet)
		want   int32
	}{
		"nothing is published yet":            {want: 3},
		"as many as are asked for":            {read: read(t, tableOf(3), planeconfig.RingState{Target: tableOf(3)}), want: 3},
		"more are asked for":                  {mutate: []func(*spec){asks(5)}, read: read(t, tableOf(3), planeconfig.RingState{Target: tableOf(3)}), want: 5},
		"fewer, and all own something":        {read: read(t, tableOf(5), planeconfig.RingState{Target: tableOf(3)}), want: 5},
		"fewer, and the last one is empty":    {read: read(t, tableOf(5, empty(4)), planeconfig.RingState{Target: tableOf(3)}), want: 4},
		"fewer, and the one before is empty":  {read: read(t, tableOf(5, empty(3)), planeconfig.RingState{Target: tableOf(3)}), want: 5},
		"one to which a partition is to move": {read: read(t, tableOf(3), planeconfig.RingState{Target: tableOf(4)}), want: 4},
		"one to which a partition moves":      {read: read(t, tableOf(3, moving), planeconfig.RingState{Target: tableOf(3)}), want: 5},
		"one that has yet to forget":          {read: read(t, tableOf(3), dropping), want: 4},
		"a table that was lost":               {status: known, want: 5},
		"suspended":                           {mutate: []func(*spec){suspended}, read: read(t, tableOf(5), planeconfig.RingState{Target: tableOf(3)}), want: 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := makeSet(c.mutate...)
			if c.status != nil {
				c.status(s)
			}
			p, err := plan(s, inputs(c.read))
			if err != nil {
				t.Fatal(err)
			}
			if got := *childOf[*appsv1.StatefulSet](t, p, "counter-shs").Spec.Replicas; got != c.want {
				t.Errorf("%d replicas, want %d", got, c.want)
			}
		})
	}
}

func TestPlanRefuses(t *testing.T) {
	long := map[string]v1alpha1.ShardPartition{}
	for i := range 1000 {
		long[strings.Repeat("é", 600)+memberID("", int32(i))] = 0
	}
	for name, c := range map[string]struct {
		set  *v1alpha1.ShardSet
		read map[string]map[string]string
		want string
	}{
		"a table of another number of partitions": {makeSet(func(s *spec) { s.Partitions = 32 }), read(t, tableOf(3), planeconfig.RingState{}),
			`a ShardSet of this name that was deleted has left a table of 16 partitions, and spec.partitions is 32: make this one with 16 to go on with its data, or delete ConfigMap "counter-shs-ring" to begin anew`},
		"a table that can not be read": {makeSet(), map[string]map[string]string{"counter-shs-ring": {planeconfig.RingTableKey: "{"}}, "remove its data"},
		"a table of others": {makeSet(), read(t, tableOf(3, func(t *ring.Table) { t.Members[0].ID = "counter-other-0" }), planeconfig.RingState{}),
			`ConfigMap "counter-shs-ring", in which the routers publish who owns which partition, names "counter-other-0", which is no shard of this ShardSet: remove its data to have the table made anew`},
		"a table with a shard that no ShardSet has": {makeSet(), read(t, tableOf(3, func(t *ring.Table) { t.Members[2].ID = "counter-shs-100" }), planeconfig.RingState{}),
			`names "counter-shs-100"`},
		"a partition that is to be forgotten where no shard is": {makeSet(), read(t, tableOf(3), planeconfig.RingState{
			Target: tableOf(3), Dropping: []ring.Move{{Partition: 2, From: "counter-shs-2000000000", To: "counter-shs-0"}},
		}), `names "counter-shs-2000000000"`},
		"an expression that is none": {makeSet(func(s *spec) {
			s.Router.Overload.Priority = &v1alpha1.ShardPriority{Expression: "request.nothing", Classes: []string{"a"}}
		}), nil, "spec.router.overload.priority.expression: "},
		"a directory that no ConfigMap holds": {makeSet(func(s *spec) {
			s.Directory = &v1alpha1.ShardDirectory{Entries: long, Fallback: "Refuse"}
		}), nil, "have fewer of them, or shorter keys"},
	} {
		if _, err := plan(c.set, inputs(c.read)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %q", name, err, c.want)
		}
	}
}

// TestALostTableIsMadeAnew shows that the routers are told what it was, and that no approval is waited for.
func TestALostTableIsMadeAnew(t *testing.T) {
	state := planeconfig.RingState{Target: tableOf(3), History: []planeconfig.RingMembership{
		{Epoch: 1, Members: tableOf(2).Members}, {Epoch: 5, Members: []ring.Member{{ID: "counter-shs-0", Weight: 2}, {ID: "counter-shs-1"}, {ID: "counter-shs-2"}}},
	}}
	s := makeSet()
	observe(s, pattern.Observed{Read: read(t, tableOf(3), state)})
	told := func(read map[string]map[string]string) (pattern.Plan, planeconfig.Shards) {
		t.Helper()
		p, err := plan(s, inputs(read))
		if err != nil {
			t.Fatal(err)
		}
		c, err := planeconfig.Decode([]byte(childOf[*corev1.ConfigMap](t, p, "counter-shs").Data[planeconfig.FileName]))
		if err != nil {
			t.Fatal(err)
		}
		return p, planeconfig.Shards{Published: c.Shards.Published, Table: c.Shards.Table, History: c.Shards.History}
	}
	nothing := map[string]map[string]string{"counter-shs-ring": {}}
	before := s.Status.Ring
	s.Status.Ring = nil
	if p, got := told(nothing); !cmp.Equal(got, planeconfig.Shards{}) || p.Follows != "" {
		t.Errorf("before there ever was a table, the routers are told %+v, %q", got, p.Follows)
	}
	s.Status.Ring = before
	if _, got := told(read(t, tableOf(3), state)); !cmp.Equal(got, planeconfig.Shards{Published: true}) {
		t.Errorf("while there is a table, the routers are told %+v", got)
	}
	p, got := told(nothing)
	want := planeconfig.Shards{Published: true, Table: packed(tableOf(3)), History: []planeconfig.ShardMembership{
		{Epoch: 1, Members: []planeconfig.ShardMember{{ID: "counter-shs-0"}, {ID: "counter-shs-1"}}},
		{Epoch: 5, Members: []planeconfig.ShardMember{{ID: "counter-shs-0", Weight: 2}, {ID: "counter-shs-1"}, {ID: "counter-shs-2"}}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the routers are told (-want +got):\n%s", diff)
	}
	if p.Follows == "" {
		t.Error("the plan follows nothing: it would wait for an approval")
	}
	if got := childOf[*appsv1.StatefulSet](t, p, "counter-shs").Spec.Template.Annotations; !cmp.Equal(got, templateOf(t, s)) {
		t.Error("pods are made anew for the history")
	}
}

func templateOf(t *testing.T, s *v1alpha1.ShardSet) map[string]string {
	t.Helper()
	before := s.DeepCopy()
	before.Status.Ring = nil
	p, err := plan(before, inputs(nil))
	if err != nil {
		t.Fatal(err)
	}
	return childOf[*appsv1.StatefulSet](t, p, "counter-shs").Spec.Template.Annotations
}

// TestTheTableIsTheMovers shows that the operator gives the ConfigMap no data, and keeps it where there are claims.
func TestTheTableIsTheMovers(t *testing.T) {
	for _, storage := range []*v1alpha1.ShardStorage{nil, {Size: ptr.To(resource.MustParse("1Gi")), MountPath: "/data"}} {
		p, err := plan(makeSet(func(s *spec) { s.Storage = storage }), inputs(read(t, tableOf(3), planeconfig.RingState{Target: tableOf(3)})))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range p.Children {
			if m, ok := c.Object.(*corev1.ConfigMap); ok && m.Name == "counter-shs-ring" && (m.Data != nil || c.Retain != (storage != nil)) {
				t.Errorf("with storage %v: data %v, kept: %t", storage, m.Data, c.Retain)
			}
		}
	}
}
