package shardset

import (
	"encoding/base64"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/scaling"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// livingSet are the StatefulSet and the Deployment, with so many of their pods ready.
func livingSet(asked, ready, routers int32) []client.Object {
	labels := func(component string) map[string]string { return map[string]string{v1alpha1.LabelComponent: component} }
	selector := func(component string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: labels(component)}
	}
	sts := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Labels: labels(v1alpha1.ComponentShard)}}
	sts.Spec.Replicas, sts.Spec.Selector = ptr.To(asked), selector("shard")
	sts.Status = appsv1.StatefulSetStatus{Replicas: asked, AvailableReplicas: ready}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Labels: labels(v1alpha1.ComponentPlane)}}
	d.Spec.Replicas, d.Spec.Selector = ptr.To[int32](2), selector("plane")
	d.Status = appsv1.DeploymentStatus{Replicas: 2, UpdatedReplicas: 2, AvailableReplicas: routers}
	return []client.Object{d, sts}
}

func TestObserve(t *testing.T) {
	at := planeconfig.RingState{Target: tableOf(3)}
	moves := planeconfig.RingState{Target: tableOf(5)}
	for name, c := range map[string]struct {
		mutate   []func(*spec)
		children []client.Object
		read     map[string]map[string]string
		want     pattern.Verdict
	}{
		"all are ready":    {nil, livingSet(3, 3, 2), read(t, tableOf(3), at), pattern.Verdict{OK: true, Reason: "PlaneReady", Message: "all pods are ready"}},
		"no router":        {nil, livingSet(3, 3, 0), nil, pattern.Verdict{Reason: "PlaneNotReady", Message: "routers: 0 of 2 pods are ready"}},
		"shards start":     {nil, livingSet(3, 0, 2), nil, pattern.Verdict{Reason: "PlaneNotReady", Message: "shards: 0 of 3 pods are ready"}},
		"one shard is out": {nil, livingSet(3, 2, 2), nil, pattern.Verdict{OK: true, Progressing: true, Reason: "PlaneReady", Message: "shards: 2 of 3 pods are ready"}},
		"one router is out": {nil, livingSet(3, 3, 1), nil,
			pattern.Verdict{OK: true, Progressing: true, Reason: "PlaneReady", Message: "routers: 1 of 2 pods are ready"}},
		"partitions move": {nil, livingSet(5, 5, 2), read(t, tableOf(3), moves),
			pattern.Verdict{OK: true, Progressing: true, Reason: "PlaneReady", Message: "partitions move to other shards"}},
		"moves are paused": {[]func(*spec){func(s *spec) { s.Resharding.Paused = ptr.To(true) }}, livingSet(5, 5, 2), read(t, tableOf(3), moves),
			pattern.Verdict{OK: true, Reason: "PlaneReady", Message: "partitions are to move to other shards, and spec.resharding.paused is true: set it to false to let them"}},
		"suspended": {[]func(*spec){suspended}, livingSet(0, 0, 0), nil,
			pattern.Verdict{Reason: "Suspended", Message: "spec.suspend is true: set it to false to serve again"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := makeSet(c.mutate...)
			got := observe(s, pattern.Observed{Children: c.children, Read: c.read})
			if diff := cmp.Diff(pattern.Health{Plane: &c.want}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if s.Status.Selector != "app.kubernetes.io/component=shard" {
				t.Errorf("scale is %+v: it is not that of the shards", s.Status.ScaleStatus)
			}
		})
	}
}

func TestRingStatus(t *testing.T) {
	state := func(table ring.Table, target ring.Table) ringSeen {
		return ringSeen{planeconfig.RingState{Table: table, Target: target, History: []planeconfig.RingMembership{{Epoch: 1, Members: tableOf(3).Members}}}, "counter-shs"}
	}
	history := []v1alpha1.ShardMembershipStatus{{Epoch: 1, Shards: 3}}
	uneven := tableOf(4, func(t *ring.Table) {
		for p := range t.Owners[:8] {
			t.Owners[p] = 0
		}
	})
	later := tableOf(3, func(t *ring.Table) { t.Epoch = 9 })
	under := tableOf(3, func(t *ring.Table) { t.Moves = []ring.Move{{Partition: 1, From: "counter-shs-0", To: "counter-shs-1"}} })
	before := &v1alpha1.ShardRingStatus{Epoch: 1, Members: 3, PartitionsMoving: 4, Imbalance: "1.1", HottestPartitions: []int32{7}, History: history}
	for name, c := range map[string]struct {
		seen   ringSeen
		before *v1alpha1.ShardRingStatus
		want   *v1alpha1.ShardRingStatus
	}{
		"nothing is published":        {ringSeen{}, nil, nil},
		"nothing is published now":    {ringSeen{}, before, before},
		"published":                   {state(tableOf(3), tableOf(3)), nil, &v1alpha1.ShardRingStatus{Epoch: 1, Members: 3, Imbalance: "1.1", Table: packed(tableOf(3)), History: history}},
		"some move":                   {state(later, tableOf(4)), nil, &v1alpha1.ShardRingStatus{Epoch: 9, Members: 3, PartitionsMoving: moved(tableOf(3), tableOf(4)), Imbalance: "1.1", History: history}},
		"one is under way":            {state(under, tableOf(3)), nil, &v1alpha1.ShardRingStatus{Epoch: 1, Members: 3, Imbalance: "1.1", History: history}},
		"all is where it is to be":    {state(later, tableOf(3)), before, &v1alpha1.ShardRingStatus{Epoch: 9, Members: 3, Imbalance: "1.1", HottestPartitions: []int32{7}, Table: packed(later), History: history}},
		"one has more than the other": {state(uneven, uneven), nil, &v1alpha1.ShardRingStatus{Epoch: 1, Members: 4, Imbalance: "2.5", Table: packed(uneven), History: history}},
	} {
		t.Run(name, func(t *testing.T) {
			got := ringStatus(c.seen, c.before)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	failing := state(later, tableOf(4))
	failing.Failures = []planeconfig.RingFailure{
		{Move: ring.Move{Partition: 9, From: "a", To: "b"}, Reason: "later"},
		{Move: ring.Move{Partition: 2, From: "counter-shs-0", To: "counter-shs-3"}, Reason: strings.Repeat("é", 300)},
	}
	if got := ringStatus(failing, nil).Failure; !strings.HasPrefix(got, "partition 2 from counter-shs-0 to counter-shs-3: éé") || len(got) > 512 || !utf8.ValidString(got) {
		t.Errorf("failure is %q", got)
	}
	failing.Failures[1].From = strings.Repeat("f", 600)
	if got := ringStatus(failing, nil).Failure; len(got) > 512 {
		t.Errorf("failure has %d bytes, which no status takes", len(got))
	}
	// While as many move as before, the status stays as it is.
	still := state(later, tableOf(4))
	first := ringStatus(state(tableOf(3), tableOf(4)), nil)
	if diff := cmp.Diff(first, ringStatus(still, first)); diff != "" {
		t.Errorf("another epoch alone changes the status (-want +got):\n%s", diff)
	}
}

// TestALostTableIsTold to who wonders why nothing is ready.
func TestALostTableIsTold(t *testing.T) {
	s := makeSet()
	s.Status.Ring = &v1alpha1.ShardRingStatus{History: []v1alpha1.ShardMembershipStatus{{Epoch: 1, Shards: 3}}}
	for message, routers := range map[string]int32{
		"all pods are ready": 2,
		"routers: 0 of 2 pods are ready; the table that says who owns which partition was lost, and the routers that make it anew log what they wait for": 0,
	} {
		if got := observe(s, pattern.Observed{Children: livingSet(3, 3, routers)}).Plane.Message; got != message {
			t.Errorf("with %d routers it says %q", routers, got)
		}
	}
}

// packed is a table as the status has it.
func packed(t ring.Table) string {
	data, err := t.MarshalBinary()
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(data)
}

func moved(a, b ring.Table) int32 { return int32(pattern.Rounded(float64(len(ring.Diff(a, b))))) }

func TestBalance(t *testing.T) {
	hot := func(partition string, share float64) scaling.Sample {
		return scaling.Sample{Labels: map[string]string{planeconfig.LabelPartition: partition}, Value: share}
	}
	many := []scaling.Sample{hot("x", 0.9)}
	for i := range 12 {
		many = append(many, hot(memberID("", int32(i))[1:], 0.01*float64(i+1)))
	}
	for name, c := range map[string]struct {
		samples []scaling.Sample
		ok      bool
		want    []int32
	}{
		"none":        {nil, true, nil},
		"two":         {[]scaling.Sample{hot("17", 0.3), hot("4", 0.5)}, false, []int32{4, 17}},
		"the hottest": {many, false, []int32{3, 4, 5, 6, 7, 8, 9, 10, 11}},
	} {
		t.Run(name, func(t *testing.T) {
			s := makeSet()
			s.Status.Ring = &v1alpha1.ShardRingStatus{HottestPartitions: []int32{1}}
			b := balance()
			b.Note(s, c.samples)
			if diff := cmp.Diff(c.want, s.Status.Ring.HottestPartitions); diff != "" {
				t.Errorf("hottest (-want +got):\n%s", diff)
			}
			if v := b.Say(s, c.samples); v.OK != c.ok {
				t.Errorf("it says %+v", v)
			}
		})
	}
}
