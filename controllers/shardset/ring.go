package shardset

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// mostHistory is how many memberships the status keeps.
const mostHistory = 64

// ringSeen is the published state as it was read, which may be old.
type ringSeen struct {
	planeconfig.RingState
	base string
}

// readRing refuses what is published where it can not be this object's. What was accepted before goes on.
func readRing(s *v1alpha1.ShardSet, read map[string]map[string]string) (ringSeen, error) {
	b := base(s.Name)
	state, err := planeconfig.ParseRing(read[ringName(b)])
	if err != nil {
		return ringSeen{}, pattern.Invalid("ConfigMap %q, in which the routers publish who owns which partition, can not be read (%w): remove its data to have the table made anew",
			ringName(b), err)
	}
	if state.Published() && state.Table.Partitions != int(s.Spec.Partitions) {
		return ringSeen{}, pattern.Invalid("a ShardSet of this name that was deleted has left a table of %d partitions, and spec.partitions is %d: make this one with %d to go on with its data, or delete ConfigMap %q to begin anew",
			state.Table.Partitions, s.Spec.Partitions, state.Table.Partitions, ringName(b))
	}
	for _, id := range slices.Sorted(maps.Keys(state.Holders())) {
		if _, ok := ordinalOf(b, id); !ok {
			return ringSeen{}, pattern.Invalid("ConfigMap %q, in which the routers publish who owns which partition, names %q, which is no shard of this ShardSet: remove its data to have the table made anew",
				ringName(b), id)
		}
	}
	return ringSeen{state, b}, nil
}

// lost is true where there was a table and is none: the routers are told what is known of it.
func (r ringSeen) lost(s *v1alpha1.ShardSet) bool {
	return !r.Published() && s.Status.Ring != nil && len(s.Status.Ring.History) > 0
}

// tell the routers what was published.
func (r ringSeen) tell(s *v1alpha1.ShardSet, c *planeconfig.Shards) {
	c.Published = r.Published() || s.Status.Ring != nil
	if r.lost(s) {
		c.History, c.Table = history(s), s.Status.Ring.Table
	}
}

// replicas of the StatefulSet: as many as are asked for, and all that still hold a partition, are to get one or have yet to forget
// one. So a shard that goes is emptied first.
//
// What was read may be old, which must never stop a shard that holds something. It does not: the pipeline reads the table from the
// API server when the StatefulSet is about to be written (Needs.Reads), so that what was read is at least as new as the last time
// that the StatefulSet was planned. A partition comes to a shard beyond spec.shards after that only by a mover that has yet to
// take up the present spec, where shards were raised and lowered again before it heard of either. Its
// write is seen here as any other: the shard runs again, on its claim, and gives the partition away like all who are to go.
func (r ringSeen) replicas(s *v1alpha1.ShardSet) int32 {
	if isSuspended(s) {
		return 0
	}
	out := s.Spec.Shards
	if r.lost(s) {
		// Until the table is made anew, nobody can say who holds nothing.
		h := s.Status.Ring.History
		out = max(out, s.Status.DesiredReplicas, h[len(h)-1].Shards)
	}
	for id := range r.Holders() {
		if ordinal, ok := ordinalOf(r.base, id); ok {
			out = max(out, ordinal+1)
		}
	}
	return out
}

// mostShards that spec.shards may ask for.
const mostShards = 100

// ordinalOf a shard. What is published is written by pods: a number that no shard ever has makes none.
func ordinalOf(base, id string) (int32, bool) {
	text, ok := strings.CutPrefix(id, base+"-")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 32)
	return int32(n), err == nil && n >= 0 && n < mostShards
}

// history for the routers, of what the status has.
func history(s *v1alpha1.ShardSet) []planeconfig.ShardMembership {
	var out []planeconfig.ShardMembership
	for _, m := range s.Status.Ring.History {
		out = append(out, planeconfig.ShardMembership{Epoch: uint64(m.Epoch), Members: members(base(s.Name), m.Shards, m.Weights)})
	}
	return out
}

// follows is what the routers are told as text, empty before there was a table.
func follows(c *planeconfig.Shards) string {
	if !c.Published {
		return ""
	}
	text, err := json.Marshal(planeconfig.Shards{Published: true, History: c.History, Table: c.Table})
	if err != nil {
		// Numbers and strings alone.
		panic(err)
	}
	return string(text)
}

// ringStatus says what is published. While partitions move the table changes many times a second: what is said of it stays until
// the rounded number of those that move is another one, so that the status is not written as often.
func ringStatus(r ringSeen, before *v1alpha1.ShardRingStatus) *v1alpha1.ShardRingStatus {
	if !r.Published() {
		return before
	}
	out := &v1alpha1.ShardRingStatus{
		Epoch:            int64(r.Table.Epoch),
		Members:          owners(r.Table),
		PartitionsMoving: int32(pattern.Rounded(float64(r.Pending()))),
		Imbalance:        imbalance(r.Table),
		Failure:          failure(r),
		Table:            resting(r),
		History:          historyStatus(r),
	}
	if before == nil {
		return out
	}
	out.HottestPartitions = before.HottestPartitions
	if out.PartitionsMoving > 0 && out.PartitionsMoving == before.PartitionsMoving {
		out.Epoch, out.Members, out.Imbalance = before.Epoch, before.Members, before.Imbalance
	}
	return out
}

// resting is the table while no partition is to move, empty while one is: where that one is may be another member a moment later.
func resting(r ringSeen) string {
	if r.Pending() > 0 || len(r.Table.Moves) > 0 || r.Target.Partitions != r.Table.Partitions {
		return ""
	}
	data, err := r.Table.MarshalBinary()
	if err != nil {
		// It was checked as it was read.
		return ""
	}
	return base64.StdEncoding.EncodeToString(data)
}

// mostFailure is how much of a failure is told, in bytes: the status takes no more.
const mostFailure = 512

// failure of the first of the partitions that can not be moved.
func failure(r ringSeen) string {
	if len(r.Failures) == 0 {
		return ""
	}
	first := slices.MinFunc(r.Failures, func(a, b planeconfig.RingFailure) int { return cmp.Compare(a.Partition, b.Partition) })
	text := fmt.Sprintf("partition %d from %s to %s: %s", first.Partition, first.From, first.To, first.Reason)
	return strings.ToValidUTF8(text[:min(len(text), mostFailure)], "")
}

// owners is how many members own a partition.
func owners(t ring.Table) int32 {
	own := map[int]bool{}
	for _, o := range t.Owners {
		if o != ring.None {
			own[o] = true
		}
	}
	return int32(len(own))
}

// imbalance is the most partitions of a member against its share by weight, with one digit after the point.
func imbalance(t ring.Table) string {
	held, total := make([]int, len(t.Members)), 0
	for _, o := range t.Owners {
		if o != ring.None {
			held[o]++
		}
	}
	for _, m := range t.Members {
		total += max(m.Weight, 1)
	}
	most := 0.0
	for i, m := range t.Members {
		most = max(most, float64(held[i])*float64(total)/float64(max(m.Weight, 1)*t.Partitions))
	}
	return strconv.FormatFloat(most, 'f', 1, 64)
}

func historyStatus(r ringSeen) []v1alpha1.ShardMembershipStatus {
	h := r.History
	if len(h) > mostHistory {
		h = h[len(h)-mostHistory:]
	}
	var out []v1alpha1.ShardMembershipStatus
	for _, m := range h {
		is := v1alpha1.ShardMembershipStatus{Epoch: int64(m.Epoch), Shards: int32(len(m.Members))}
		for _, member := range m.Members {
			if ordinal, ok := ordinalOf(r.base, member.ID); ok && member.Weight > 1 && len(is.Weights) < 100 {
				is.Weights = append(is.Weights, v1alpha1.ShardWeight{Shard: ptr.To(ordinal), Weight: int32(member.Weight)})
			}
		}
		out = append(out, is)
	}
	return out
}
