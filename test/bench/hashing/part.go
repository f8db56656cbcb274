package hashing

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/trellis-dev/trellis/pkg/ring"
	"github.com/trellis-dev/trellis/test/bench/harness"
)

const about = "Who owns a key, of n members and after one more came, over 2,000,000 keys that are others in each run; members of equal weight; 1,024 partitions, and 4,096 for 50 members. Peers: go-jump and go-rendezvous with the same hash of the key, " +
	"serialx/hashring with 160 points a member and MD5 as libketama has them, and the look-up table of the Maglev paper, of 65,537 entries. " +
	"*keys moved* is in multiples of 1/(n+1), which are what the new one must get; *between others* are keys that moved and not to the new one. *max/avg* is of the keys of a member, once it came. " +
	"*look-up* is from the key to the name of its owner, 100,000 keys over and over in one goroutine. Jump hash can only add and remove the last of its members, and none of the peers carries a partition that moves by itself."

// Measures.
const (
	moved    = "keys moved, × 1/(n+1)"
	between  = "keys moved between others"
	greatest = "max/avg"
	lookUp   = "look-up"
	allocs   = "allocations a look-up"
)

// size that a group grows from, and the partitions of its table.
type size struct{ members, partitions int }

// sizes have 20 partitions a member or more, as docs/ring.md says for the load to be within 1.05 of the mean.
var sizes = []size{{4, ring.DefaultPartitions}, {10, ring.DefaultPartitions}, {50, 4 * ring.DefaultPartitions}}

// Part is the comparison.
func Part() harness.Part {
	return harness.Part{Name: "ring", Title: "Ring: the owner of a key", About: about, Run: run}
}

func run(ctx context.Context, e *harness.Env) ([]harness.Row, error) {
	var rows []harness.Row
	for _, of := range sizes {
		name := fmt.Sprintf("%d → %d members", of.members, of.members+1)
		if !e.Chosen(name) {
			continue
		}
		figures, err := e.Turns(ctx, name, sides(e, of)...)
		if err != nil {
			return nil, err
		}
		for i, peer := range peers {
			got := harness.Samples{Ours: figures[0], Peer: figures[i+1]}
			rows = append(rows, table(got, name+", "+peer.name, i == 0)...)
		}
	}
	return rows, nil
}

// sides are all schemes, ours first.
func sides(e *harness.Env, of size) []harness.Side {
	var out []harness.Side
	for _, s := range append([]scheme{ours}, peers...) {
		run := 0
		out = append(out, func(ctx context.Context) (harness.Figures, error) {
			run++
			f, err := measure(ctx, e, s, of, run)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			return f, nil
		})
	}
	return out
}

// table of ours beside a peer; what ours must be is said once, beside the first.
func table(got harness.Samples, what string, first bool) []harness.Row {
	goal := func(g harness.Goal) harness.Goal {
		if first {
			return g
		}
		return harness.NoGoal
	}
	return []harness.Row{
		got.Row(what, moved, "", goal(harness.AtMost(1.02))), got.Row(what, between, "", goal(harness.Exactly(0))),
		got.Row(what, greatest, "", goal(harness.AtMost(1.05))), got.Row(what, lookUp, "ns", goal(harness.RatioAtMost(1.5))),
		got.Row(what, allocs, "", goal(harness.Exactly(0))),
	}
}

func measure(ctx context.Context, e *harness.Env, s scheme, of size, run int) (harness.Figures, error) {
	keys, timed := 2_000_000, 5_000_000
	if e.Short {
		keys, timed = 50_000, 100_000
	}
	before, after, err := s.grown(of)
	if err != nil {
		return nil, err
	}
	f := compare(before, after, of.members, keys, run)
	f[lookUp], f[allocs] = look(after, timed, run)
	return f, ctx.Err()
}

func key(run, i int) string { return fmt.Sprintf("customer-%d-%d", run, i) }

func compare(before, after lookup, n, keys, run int) harness.Figures {
	newest := ids(n + 1)[n]
	gone, exchanged, load := 0, 0, map[string]int{}
	for i := range keys {
		k := key(run, i)
		was, is := before(k), after(k)
		load[is]++
		if was != is {
			gone++
			if is != newest {
				exchanged++
			}
		}
	}
	most := 0
	for _, has := range load {
		most = max(most, has)
	}
	return harness.Figures{
		moved: float64(gone) / float64(keys) * float64(n+1), between: float64(exchanged), greatest: float64(most) * float64(n+1) / float64(keys),
	}
}

// look is how many nanoseconds a look-up takes, and how many allocations.
func look(find lookup, times, run int) (nanoseconds, allocations float64) {
	keys := make([]string, 100_000)
	for i := range keys {
		keys[i] = key(run, i)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	for done := 0; done < times; done += len(keys) {
		for _, k := range keys {
			find(k)
		}
	}
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	// A few are the runtime's own.
	return float64(took.Nanoseconds()) / float64(times), float64((after.Mallocs - before.Mallocs) / uint64(times)) //nolint:gosec // millions
}
