package shardhistory

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/trellis-dev/trellis/pkg/ring"
)

// within is how long the search for an order may take of one counter.
const within = 30 * time.Second

// Check a history.
func Check(h History) Report {
	r := Report{}
	members := map[string]bool{}
	byKey := grouped(h.Operations, func(o Operation) string { return o.Key })
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		final, known := h.Finals[key]
		r.count(key, byKey[key], final, known)
		r.linear(key, byKey[key])
		r.strayed(key, byKey[key], h.Tables)
	}
	answered := slices.DeleteFunc(slices.Clone(h.Operations), Operation.unknown)
	for _, o := range answered {
		members[o.Member] = true
	}
	byPartition := grouped(answered, func(o Operation) int { return o.Partition })
	for _, p := range slices.Sorted(maps.Keys(byPartition)) {
		r.owners(p, byPartition[p])
	}
	r.usurped(answered, h.Tables)
	r.Keys, r.Members = len(byKey), len(members)
	return r
}

func grouped[K comparable](all []Operation, of func(Operation) K) map[K][]Operation {
	out := map[K][]Operation{}
	for _, o := range all {
		out[of(o)] = append(out[of(o)], o)
	}
	return out
}

// count the increments of a counter: each has a value of its own, and together they are what the counter is.
func (r *Report) count(key string, all []Operation, final int64, known bool) {
	acknowledged, sure, unknown := map[int64]Operation{}, int64(0), int64(0)
	for _, o := range all {
		switch {
		case o.Read():
			r.Reads++
			continue
		case o.unknown():
			unknown++
			continue
		}
		sure++
		if other, twice := acknowledged[o.Value]; twice {
			r.fault(Lost, "%s, and %s: one of them is not in it", other, o)
		}
		acknowledged[o.Value] = o
	}
	r.Increments, r.Unknown = r.Increments+int(sure), r.Unknown+int(unknown)
	most := sure + unknown
	for _, value := range slices.Sorted(maps.Keys(acknowledged)) {
		if value > most {
			r.fault(Doubled, "%s: no more than %d were asked for", acknowledged[value], most)
		}
	}
	switch {
	case known && final < sure:
		r.fault(Lost, "%s is %d, and %d increments were acknowledged", key, final, sure)
	case known && final > most:
		r.fault(Doubled, "%s is %d, and %d increments were asked for", key, final, most)
	}
}

// counting is one counter that does one thing after the other.
var counting = porcupine.Model{
	Init: func() any { return int64(0) },
	Step: func(state, input, output any) (bool, any) {
		value, o := state.(int64), input.(Operation)
		if o.Read() {
			return output.(int64) == value, value
		}
		return o.unknown() || output.(int64) == value+1, value + 1
	},
}

// linear looks for an order of all operations of a counter that explains what each of them was answered.
func (r *Report) linear(key string, all []Operation) {
	var operations []porcupine.Operation
	for _, o := range all {
		ended := int64(o.Answered)
		if o.unknown() {
			if o.Read() {
				continue
			}
			ended = math.MaxInt64
		}
		operations = append(operations, porcupine.Operation{ClientId: o.Client, Input: o, Output: o.Value, Call: int64(o.Sent), Return: ended})
	}
	switch porcupine.CheckOperationsTimeout(counting, operations, within) {
	case porcupine.Illegal:
		r.fault(NotLinear, "%s: no order of its %d operations explains the answers", key, len(operations))
	case porcupine.Unknown:
		r.fault(Undecided, "%s: %d operations took longer than %s", key, len(operations), within)
	}
}

// strayed wants a key in its own partition and no other.
func (r *Report) strayed(key string, all []Operation, tables []ring.Table) {
	all = slices.DeleteFunc(slices.Clone(all), Operation.unknown)
	for _, o := range all {
		want := all[0].Partition
		if len(tables) > 0 {
			want = tables[0].Partition(key)
		}
		if o.Partition != want {
			r.fault(Strayed, "%s, of partition %d and not %d", o, o.Partition, want)
			return
		}
	}
}

// owners wants one owner of a partition in each epoch, and none that serves after a later one has served.
func (r *Report) owners(partition int, all []Operation) {
	r.perEpoch(partition, all)
	bySent, byAnswer := slices.Clone(all), slices.Clone(all)
	slices.SortFunc(bySent, func(a, b Operation) int { return cmp.Compare(a.Sent, b.Sent) })
	slices.SortFunc(byAnswer, func(a, b Operation) int { return cmp.Compare(a.Answered, b.Answered) })
	latest := map[string]Operation{} // of those that were over, that of the latest epoch, by member
	for _, o := range bySent {
		for len(byAnswer) > 0 && byAnswer[0].Answered < o.Sent {
			if over := byAnswer[0]; over.Epoch >= latest[over.Member].Epoch {
				latest[over.Member] = over
			}
			byAnswer = byAnswer[1:]
		}
		for member, over := range latest {
			if member != o.Member && over.Epoch > o.Epoch {
				r.fault(TwoOwners, "partition %d: %s, after %s", partition, o, over)
				return
			}
		}
	}
}

func (r *Report) perEpoch(partition int, all []Operation) {
	byEpoch := map[uint64]Operation{}
	for _, o := range all {
		first, ok := byEpoch[o.Epoch]
		if !ok {
			byEpoch[o.Epoch] = o
		} else if first.Member != o.Member {
			r.fault(TwoOwners, "partition %d: %s, and %s", partition, first, o)
			return
		}
	}
	before := ""
	for _, epoch := range slices.Sorted(maps.Keys(byEpoch)) {
		if member := byEpoch[epoch].Member; member != before {
			if before != "" {
				r.Handovers++
			}
			before = member
		}
	}
}

// usurped wants the owner of the table of that epoch, where it was seen.
func (r *Report) usurped(answered []Operation, tables []ring.Table) {
	byEpoch := map[uint64]ring.Table{}
	for _, t := range tables {
		byEpoch[t.Epoch] = t
	}
	for _, o := range answered {
		if t, seen := byEpoch[o.Epoch]; seen {
			if owner, ok := t.Serving(o.Partition); !ok || owner.ID != o.Member {
				r.fault(Usurped, "partition %d: %s, and the owner is %q", o.Partition, o, owner.ID)
			}
		}
	}
}
