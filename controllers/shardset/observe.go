package shardset

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/scaling"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// mostHot partitions are named in the status.
const mostHot = 10

func observe(s *v1alpha1.ShardSet, seen pattern.Observed) pattern.Health {
	before := s.Status.ScaleStatus
	shards, routers := split(seen.Children)
	s.Status.ScaleStatus = pattern.ScaleStatus(shards, before)
	// What can not be read was refused before.
	lost := false
	if r, err := readRing(s, seen.Read); err == nil {
		s.Status.Ring, lost = ringStatus(r, s.Status.Ring), r.lost(s)
	}
	if isSuspended(s) {
		return pattern.Health{Plane: &pattern.Verdict{
			Reason: v1alpha1.ReasonSuspended, Message: "spec.suspend is true: set it to false to serve again",
		}}
	}
	v := verdict(s, shards, routers, before)
	if lost && !v.OK {
		v.Message += "; the table that says who owns which partition was lost, and the routers that make it anew log what they wait for"
	}
	return pattern.Health{Plane: v}
}

// split tells the shards from all else.
func split(children []client.Object) (shards, others []client.Object) {
	isShard := func(o client.Object) bool { return o.GetLabels()[v1alpha1.LabelComponent] == v1alpha1.ComponentShard }
	others = slices.DeleteFunc(slices.Clone(children), isShard)
	shards = slices.DeleteFunc(slices.Clone(children), func(o client.Object) bool { return !isShard(o) })
	return shards, others
}

// verdict is that of the routers or, where they are well, of the shards. While shards are added, those that were there are enough.
func verdict(s *v1alpha1.ShardSet, shards, routers []client.Object, before v1alpha1.ScaleStatus) *pattern.Verdict {
	reasons := pattern.WorkloadReasons{
		Ready:   v1alpha1.ReasonPlaneReady,
		Waiting: v1alpha1.ReasonPlaneNotReady,
		Failing: v1alpha1.ReasonPlaneFailing,
		Rolling: v1alpha1.ReasonPlaneRolling,
	}
	front := pattern.WorkloadVerdict(routers, reasons)
	back := pattern.ScaledVerdict(shards, before, reasons)
	switch settled := func(v *pattern.Verdict) bool { return v.OK && !v.Progressing }; {
	case !front.OK:
		front.Message = "routers: " + front.Message
		return front
	case !back.OK || !settled(back) && settled(front):
		back.Message = "shards: " + back.Message
		return back
	case !settled(front):
		front.Message = "routers: " + front.Message
		return front
	case s.Status.Ring != nil && s.Status.Ring.PartitionsMoving > 0 && ptr.Deref(s.Spec.Resharding.Paused, false):
		return &pattern.Verdict{OK: true, Reason: v1alpha1.ReasonPlaneReady,
			Message: "partitions are to move to other shards, and spec.resharding.paused is true: set it to false to let them"}
	case s.Status.Ring != nil && s.Status.Ring.PartitionsMoving > 0:
		// Without their number, which status.ring has.
		return &pattern.Verdict{OK: true, Progressing: true, Reason: v1alpha1.ReasonPlaneReady, Message: "partitions move to other shards"}
	default:
		return front
	}
}

// balance of the requests, as a router sees it.
func balance() *pattern.Told[*v1alpha1.ShardSet] {
	return &pattern.Told[*v1alpha1.ShardSet]{
		Condition: v1alpha1.ConditionBalanced,
		Pending:   v1alpha1.ReasonBalancePending,
		Metric:    planeconfig.MetricPartitionShare,
		Component: v1alpha1.ComponentPlane,
		Say:       say,
		Note: func(s *v1alpha1.ShardSet, samples []scaling.Sample) {
			if s.Status.Ring != nil {
				s.Status.Ring.HottestPartitions = hottest(samples)
			}
		},
	}
}

func say(s *v1alpha1.ShardSet, samples []scaling.Sample) pattern.Verdict {
	if len(hottest(samples)) == 0 {
		return pattern.Verdict{OK: true, Reason: v1alpha1.ReasonBalanced, Message: "no partition gets more than its share of the requests"}
	}
	return pattern.Verdict{Reason: v1alpha1.ReasonHotPartition, Message: fmt.Sprintf(
		"a partition gets more than %d %% of the requests (status.ring.hottestPartitions names it): spread its keys, e.g. by a suffix, pin it to a shard of its own, or give that shard a weight",
		s.Spec.Router.Overload.HotPartitionPercent)}
}

// hottest partitions that a router tells of, in the order of their numbers.
func hottest(samples []scaling.Sample) []int32 {
	samples = slices.Clone(samples)
	slices.SortStableFunc(samples, func(a, b scaling.Sample) int { return cmp.Compare(b.Value, a.Value) })
	var out []int32
	for _, s := range samples[:min(len(samples), mostHot)] {
		if n, err := strconv.ParseInt(s.Labels[planeconfig.LabelPartition], 10, 32); err == nil {
			out = append(out, int32(n))
		}
	}
	slices.Sort(out)
	return out
}
