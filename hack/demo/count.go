package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trellis-dev/trellis/pkg/ring"
)

// fruits are what is counted, each by somebody of its own.
var fruits = []string{"apples", "bananas", "cherries", "dates", "elderberries", "figs", "grapes", "honeydews"}

// countPause is between two increments of a counter.
const countPause = 20 * time.Millisecond

// counted is what became of one counter.
type counted struct {
	// before is what it was, sure are the increments that were answered, and last is the last answer.
	before, sure int64
	last         struct {
		Value  int64
		Epoch  uint64
		Member string
	}
	// members that answered, in turn, and the longest that an answer took.
	members []string
	longest time.Duration
}

// count each of the fruits, without a rest, while a command grows the ShardSet from some shards and its partitions move. In the
// end each counter has to be what was answered.
func count(ctx context.Context, c client, from int, command ...string) error {
	// An earlier demo may have grown it.
	before, err := settled(ctx, c, func(t ring.Table) bool { return len(t.Members) == from })
	if err != nil {
		return err
	}
	fmt.Printf("  counting %s, each every %s\n", strings.Join(fruits, ", "), countPause)
	stop := make(chan struct{})
	results := make([]counted, len(fruits))
	for i, fruit := range fruits {
		if results[i].before, err = valueOf(ctx, c, fruit); err != nil {
			return err
		}
	}
	failures := make([]error, len(fruits))
	var all sync.WaitGroup
	for i, fruit := range fruits {
		all.Go(func() { failures[i] = results[i].run(ctx, c, fruit, stop) })
	}
	after, err := grown(ctx, c, before, command)
	close(stop)
	all.Wait()
	if err = errors.Join(append(failures, err)...); err != nil {
		return err
	}
	fmt.Printf("\n  %d of %d partitions moved\n\n", len(ring.Diff(before, after)), after.Partitions)
	return reckon(ctx, c, results)
}

// grown runs the command, and waits until partitions are at those whom the plan gives them to.
func grown(ctx context.Context, c client, before ring.Table, command []string) (ring.Table, error) {
	fmt.Printf("\n$ %s\n", strings.Join(command, " "))
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return ring.Table{}, err
	}
	return settled(ctx, c, func(t ring.Table) bool { return len(t.Members) > len(before.Members) })
}

// settled waits for a table that is as it should be, with nothing on its way, and shows what changes meanwhile.
func settled(ctx context.Context, c client, ok func(ring.Table) bool) (ring.Table, error) {
	began, said, shown := time.Now(), time.Time{}, uint64(0)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		now, err := tableOf(ctx, c)
		if err != nil {
			return now, err
		}
		done := ok(now) && len(now.Moves) == 0 && even(now)
		if now.Epoch > shown && (done || time.Since(said) > time.Second) {
			said, shown = time.Now(), now.Epoch
			fmt.Printf("  %4.1f s  epoch %d: %s, %d on their way\n", time.Since(began).Seconds(), now.Epoch, shares(now), len(now.Moves))
		}
		if done {
			return now, nil
		}
		select {
		case <-ctx.Done():
			return now, errors.Join(ctx.Err(), errors.New("the partitions did not move"))
		case <-tick.C:
		}
	}
}

// owned counts the partitions of each member.
func owned(t ring.Table) map[string]int {
	out := map[string]int{}
	for _, m := range t.Members {
		out[m.ID] = 0
	}
	for p := range t.Owners {
		if m, ok := t.Owner(p); ok {
			out[m.ID]++
		}
	}
	return out
}

// even is true where nobody has two partitions more than another.
func even(t ring.Table) bool {
	n := slices.Collect(maps.Values(owned(t)))
	return slices.Max(n)-slices.Min(n) <= 1
}

func shares(t ring.Table) string {
	n := owned(t)
	var out []string
	for _, id := range slices.Sorted(maps.Keys(n)) {
		out = append(out, fmt.Sprintf("%s has %d", id, n[id]))
	}
	return strings.Join(out, ", ")
}

func tableOf(ctx context.Context, c client) (t ring.Table, err error) {
	err = again(ctx, func() error { return c.call(ctx, http.MethodGet, "/.trellis/v1/ring", "", nil, &t) })
	if err != nil {
		return t, fmt.Errorf("ask for the table: %w", err)
	}
	return t, nil
}

// run counts one fruit until it is told to stop. An increment that was not answered is sent again under the same key.
func (r *counted) run(ctx context.Context, c client, fruit string, stop <-chan struct{}) error {
	tick := time.NewTicker(countPause)
	defer tick.Stop()
	for {
		key, began := rand.Text(), time.Now()
		err := again(ctx, func() error { return c.call(ctx, http.MethodPost, "/counters/"+fruit+"/increment", key, nil, &r.last) })
		if err != nil {
			return fmt.Errorf("count %s: %w", fruit, err)
		}
		r.sure++
		r.longest = max(r.longest, time.Since(began))
		if n := len(r.members); n == 0 || r.members[n-1] != r.last.Member {
			r.members = append(r.members, r.last.Member)
		}
		select {
		case <-stop:
			return nil
		case <-tick.C:
		}
	}
}

func valueOf(ctx context.Context, c client, fruit string) (int64, error) {
	var now struct{ Value int64 }
	err := again(ctx, func() error { return c.call(ctx, http.MethodGet, "/counters/"+fruit+"/value", "", nil, &now) })
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", fruit, err)
	}
	return now.Value, nil
}

// reckon shows each counter beside what was answered.
func reckon(ctx context.Context, c client, results []counted) error {
	fmt.Printf("    %-14s %8s %8s %8s %9s  %s\n", "", "before", "counted", "now", "slowest", "by")
	for i, fruit := range fruits {
		r := results[i]
		now, err := valueOf(ctx, c, fruit)
		if err != nil {
			return err
		}
		fmt.Printf("    %-14s %8d %8d %8d %6d ms  %s\n", fruit, r.before, r.sure, now, r.longest.Milliseconds(), strings.Join(r.members, ", then "))
		if now != r.before+r.sure {
			return fmt.Errorf("%s are %d: %d are lost", fruit, now, r.before+r.sure-now)
		}
	}
	fmt.Println("\n  none lost, none counted twice")
	return nil
}
