package resharding

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/trellis-dev/trellis/test/bench/harness"
)

// Role of the processes of containers and of clients.
const Role = "resharding-load"

const (
	partitions = 32
	keysOfEach = 8
	clients    = 64
	// pace of the requests, a second.
	pace = 1000
	// mostShards that there are at a time.
	mostShards = 5
)

// sizes that partitions have, in MiB; every other partition has the first.
var sizes = [...]int{1, 16}

func sizeOf(partition int) int { return sizes[partition%len(sizes)] }

const about = "A ShardSet of 32 partitions grows from 3 shards to 5 and shrinks to 4, one partition after the other, while 64 clients send 1,000 increments a second, each one of a key of its own and after the answer to the one before. " +
	"Two routers, one of which moves partitions, the shards' sidecars, their containers together and the clients are processes of their own; the table is in a ConfigMap of a real kube-apiserver with etcd. Every other partition has 1 MiB, the others 16 MiB; containers keep all in memory. " +
	"*pause* is how long nobody served a partition, from the table that began its move to the one that ended it, as another watch sees them. Peer: the copy of the same partition between the same two containers by one bare client of net/http, `GET` into `PUT`, one partition after the other, under the same load right before. " +
	"A pause has three parts: until the old owner's container is asked for the data (the old owner has seen the table and what was in flight has ended), until the new owner's container has all of it (by two sidecars, each of which makes a SHA-256), and until the table says so. " +
	"*longest answer* is the longest time that a client waited for an answer of a partition that moved, the seconds around its move included; peer: of a partition that stayed, meanwhile. *failed* are answers other than 200, *differences* answers other than one more than the one before and counters that end as something else than what was acknowledged."

// Programs are the files that processes are started from.
type Programs struct {
	// Server is test/bench/server, which has routers and sidecars in it; Self is the benchmark, which runs as containers and clients too.
	Server, Self string
}

// Part about moves under load.
func Part(p Programs) harness.Part {
	return harness.Part{Name: "resharding", Title: "Resharding: the pause of a partition", About: about, Run: p.run}
}

// why says what a miss comes from.
const why = "of a small partition the copy takes less than what comes before and after it: two writes of the table through the API server, each of which goes to etcd and then by a watch to the owner and the routers, " +
	"and the requests of the fence and the import. They take the same time for any size, about 10 to 20 ms on these cores. The copy itself goes through two processes more than the bare one, which hash it."

func (p Programs) run(ctx context.Context, e *harness.Env) ([]harness.Row, error) {
	api, err := startAPI()
	if err != nil {
		return nil, err
	}
	defer api.stop()
	var runs []outcome
	for run := range e.Runs {
		e.Say("3 → 5 → 4 shards: run %d of %d", run+1, e.Runs)
		got, err := p.once(ctx, e, api, run)
		if err != nil {
			return nil, fmt.Errorf("run %d: %w", run+1, err)
		}
		runs = append(runs, got)
	}
	var rows []harness.Row
	for _, size := range sizes {
		rows = append(rows, rowsOf(size, runs)...)
	}
	const what = "3 → 5 → 4"
	for _, count := range []struct {
		measure string
		goal    harness.Goal
		of      func(outcome) int
	}{
		{"failed", harness.Exactly(0), func(o outcome) int { return o.failed }},
		{"differences", harness.Exactly(0), func(o outcome) int { return o.differences }},
		{"moves other than planned", harness.Exactly(0), func(o outcome) int { return o.unplanned }},
		{"keys elsewhere than planned", harness.Exactly(0), func(o outcome) int { return o.elsewhere }},
		{"moves given up and begun again", harness.NoGoal, func(o outcome) int { return o.givenUp }},
		{"partitions moved", harness.NoGoal, func(o outcome) int { return len(o.moves) }},
		{"increments acknowledged", harness.NoGoal, func(o outcome) int { return o.answers }},
	} {
		rows = append(rows, harness.Row{Case: what, Measure: count.measure, Goal: count.goal, Ours: series(runs, func(o outcome) float64 { return float64(count.of(o)) })})
	}
	return rows, nil
}

func series(runs []outcome, of func(outcome) float64) (out harness.Series) {
	for _, r := range runs {
		out = append(out, of(r))
	}
	return out
}

// rowsOf the partitions of a size.
func rowsOf(size int, runs []outcome) []harness.Row {
	of := func(q func([]time.Duration) time.Duration, what func(move) time.Duration) harness.Series {
		return series(runs, func(o outcome) float64 {
			var all []time.Duration
			for _, m := range o.moves {
				if sizeOf(m.Partition) == size {
					all = append(all, what(m))
				}
			}
			return milliseconds(q(all))
		})
	}
	name := fmt.Sprintf("%d MiB a partition", size)
	copied, paused := func(m move) time.Duration { return m.copied }, func(m move) time.Duration { return m.ended.Sub(m.began) }
	answered := func(m move) time.Duration { return m.answer }
	stayed := func(q func([]time.Duration) time.Duration) harness.Series {
		return series(runs, func(o outcome) float64 {
			var all []time.Duration
			for _, phase := range o.stayed {
				for n, d := range phase {
					if sizeOf(n) == size {
						all = append(all, d)
					}
				}
			}
			return milliseconds(q(all))
		})
	}
	return append(harness.Explain(why,
		harness.Row{Case: name, Measure: "pause, p50", Unit: "ms", Ours: of(median, paused), Peer: of(median, copied), Goal: harness.RatioAtMost(2)},
		harness.Row{Case: name, Measure: "pause, longest", Unit: "ms", Ours: of(longest, paused), Peer: of(longest, copied), Goal: harness.RatioAtMost(2)}),
		harness.Row{Case: name, Measure: "of it until the data is asked for, p50", Unit: "ms", Ours: of(median, func(m move) time.Duration { return m.exported.Sub(m.began) })},
		harness.Row{Case: name, Measure: "of it until all is there, p50", Unit: "ms", Ours: of(median, func(m move) time.Duration { return m.imported.Sub(m.exported) }), Peer: of(median, copied)},
		harness.Row{Case: name, Measure: "of it until the table says so, p50", Unit: "ms", Ours: of(median, func(m move) time.Duration { return m.ended.Sub(m.imported) })},
		harness.Row{Case: name, Measure: "longest answer, p50", Unit: "ms", Ours: of(median, answered), Peer: stayed(median)},
		harness.Row{Case: name, Measure: "longest answer, longest", Unit: "ms", Ours: of(longest, answered), Peer: stayed(longest)},
	)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func median(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(d))
	return sorted[len(sorted)/2]
}

func longest(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	return slices.Max(d)
}
