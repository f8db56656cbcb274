package hashing

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/trellis-dev/trellis/test/bench/harness"
)

const about = "Who owns a key, of n members and after one more came, over 2,000,000 keys that are others in each run; members of equal weight, 1,024 partitions. Peers: go-jump and go-rendezvous with the same hash of the key, " +
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

// tooFew explains what is missed with many members.
const tooFew = "1,024 partitions of 51 members are 20 or 21 each, and 21 are 1.046 times the mean; chance in how many keys a partition has adds the rest. The bound holds up to a twentieth as many members as partitions: more members want more partitions."

// sizes that a group grows from.
var sizes = []int{4, 10, 50}

// Part is the comparison.
func Part() harness.Part {
	return harness.Part{Name: "ring", Title: "Ring: the owner of a key", About: about, Run: run}
}

func run(ctx context.Context, e *harness.Env) ([]harness.Row, error) {
	var rows []harness.Row
	for _, n := range sizes {
		name := fmt.Sprintf("%d → %d members", n, n+1)
		if !e.Chosen(name) {
			continue
		}
		figures, err := turns(ctx, e, name, n)
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

// turns runs all schemes in each run, each time beginning with another one.
func turns(ctx context.Context, e *harness.Env, name string, n int) ([][]harness.Figures, error) {
	all := append([]scheme{ours}, peers...)
	out := make([][]harness.Figures, len(all))
	for run := range e.Runs {
		e.Say("%s: run %d of %d", name, run+1, e.Runs)
		for turn := range all {
			i := (run + turn) % len(all)
			f, err := measure(ctx, e, all[i], n, run)
			if err != nil {
				return nil, fmt.Errorf("%s, %s, run %d: %w", name, all[i].name, run+1, err)
			}
			out[i] = append(out[i], f)
		}
	}
	return out, nil
}

// table of ours beside a peer; what ours must be is said once, beside the first.
func table(got harness.Samples, what string, first bool) []harness.Row {
	goal := func(g harness.Goal) harness.Goal {
		if first {
			return g
		}
		return harness.NoGoal
	}
	return harness.Explain(tooFew,
		got.Row(what, moved, "", goal(harness.AtMost(1.02))), got.Row(what, between, "", goal(harness.Exactly(0))),
		got.Row(what, greatest, "", goal(harness.AtMost(1.05))), got.Row(what, lookUp, "ns", goal(harness.RatioAtMost(1.5))),
		got.Row(what, allocs, "", goal(harness.Exactly(0))))
}

func measure(ctx context.Context, e *harness.Env, s scheme, n, run int) (harness.Figures, error) {
	keys, timed := 2_000_000, 5_000_000
	if e.Short {
		keys, timed = 50_000, 100_000
	}
	before, after, err := s.grown(n)
	if err != nil {
		return nil, err
	}
	f := compare(before, after, n, keys, run)
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
