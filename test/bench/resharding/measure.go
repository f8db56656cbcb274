package resharding

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/trellis-dev/trellis/pkg/ring"
	"github.com/trellis-dev/trellis/test/bench/harness"
	"github.com/trellis-dev/trellis/test/bench/process"
	"github.com/trellis-dev/trellis/test/bench/resharding/load"
	"github.com/trellis-dev/trellis/test/bench/router/served"
)

// settleTimeout bounds how long a ShardSet may take to grow or to shrink.
const settleTimeout = time.Minute

// outcome of a run.
type outcome struct {
	moves []move
	// stayed is the longest answer of each partition that did not move, meanwhile; by its number.
	stayed                                                      []map[int]time.Duration
	answers, failed, differences, unplanned, elsewhere, givenUp int
}

func (p Programs) once(ctx context.Context, e *harness.Env, a *api, run int) (outcome, error) {
	r := &rig{programs: p, api: a}
	defer r.stop()
	if err := r.start(ctx, e, run); err != nil {
		return outcome{}, err
	}
	w := newWatcher()
	watching, stop := context.WithCancel(ctx)
	var watched sync.WaitGroup
	defer watched.Wait()
	defer stop()
	watched.Go(func() { _ = r.store.Watch(watching, w.seen) })
	if err := w.settled(ctx, 3); err != nil {
		return outcome{}, err
	}
	params := load.CountParams{Routers: r.routers, Token: process.Token, Partitions: partitions, KeysOfEach: keysOfEach, Clients: clients, PerSecond: pace}
	if err := r.counting.Call(ctx, load.MethodBegin, params, nil); err != nil {
		return outcome{}, err
	}
	var out outcome
	for _, shards := range []int{5, 4} {
		if err := r.reshard(ctx, w, shards, &out); err != nil {
			return out, fmt.Errorf("to %d shards: %w", shards, err)
		}
	}
	return out, r.finish(ctx, e, w, &out)
}

// reshard copies what is to move, has it moved, and notes what came of it.
func (r *rig) reshard(ctx context.Context, w *watcher, shards int, out *outcome) error {
	var members []ring.Member
	for _, m := range served.Members(shards) {
		members = append(members, ring.Member{ID: m.ID})
	}
	planned := ring.Diff(w.now(), ring.Rebalance(w.now(), members))
	copied := map[int]time.Duration{}
	for _, m := range planned {
		took, err := r.copy(ctx, m)
		if err != nil {
			return fmt.Errorf("copy partition %d: %w", m.Partition, err)
		}
		copied[m.Partition] = took
	}
	if err := r.counting.Call(ctx, load.MethodReset, nil, nil); err != nil {
		return err
	}
	if err := r.want(shards); err != nil {
		return err
	}
	if err := w.settled(ctx, shards); err != nil {
		return err
	}
	var carried []load.Carried
	if err := r.containing.Call(ctx, load.MethodCarried, nil, &carried); err != nil {
		return err
	}
	var counted load.Counted
	if err := r.counting.Call(ctx, load.MethodLook, nil, &counted); err != nil {
		return err
	}
	moved := map[ring.Move]bool{}
	for _, m := range w.take() {
		if !m.done {
			out.givenUp++
			continue
		}
		i := slices.IndexFunc(carried, func(c load.Carried) bool { return c.Partition == m.Partition })
		if i < 0 {
			return fmt.Errorf("partition %d moved without its data", m.Partition)
		}
		m.exported, m.imported = carried[i].Began, carried[i].Ended
		m.copied, m.answer = copied[m.Partition], counted.Longest[m.Partition]
		out.moves = append(out.moves, m)
		if moved[m.Move] || !slices.Contains(planned, m.Move) {
			out.unplanned++
		}
		moved[m.Move] = true
	}
	for _, m := range planned {
		if !moved[m] {
			out.unplanned++
		}
		delete(counted.Longest, m.Partition)
	}
	out.stayed = append(out.stayed, counted.Longest)
	return nil
}

// finish asks for every counter where the table says that it is.
func (r *rig) finish(ctx context.Context, e *harness.Env, w *watcher, out *outcome) error {
	var ends []load.At
	if err := r.counting.Call(ctx, load.MethodEnd, nil, &ends); err != nil {
		return err
	}
	var counted load.Counted
	if err := r.counting.Call(ctx, load.MethodLook, nil, &counted); err != nil {
		return err
	}
	if counted.Why != "" {
		e.Say("%d requests failed and %d answers were wrong, the first: %s", counted.Failed, counted.Wrong, counted.Why)
	}
	out.answers, out.failed, out.differences = counted.Answers, counted.Failed, counted.Wrong
	now := w.now()
	for _, at := range ends {
		if owner, ok := now.Serving(at.Partition); !ok || owner.ID != idOf(at.Shard) {
			out.elsewhere++
		}
		if at.Value != at.Want {
			out.differences++
		}
	}
	return nil
}

// idOf the shard of a container by its number.
func idOf(container string) string {
	n, err := strconv.Atoi(container)
	if err != nil {
		return ""
	}
	return served.ID(n)
}

// numberOf a shard, by its ID.
func numberOf(id string) int {
	for i := range mostShards {
		if served.ID(i) == id {
			return i
		}
	}
	return -1
}

// copy a partition barely from one container to another, which forgets it then.
func (r *rig) copy(ctx context.Context, m ring.Move) (time.Duration, error) {
	path := func(pattern string) string {
		return strings.ReplaceAll(pattern, "{partition}", strconv.Itoa(m.Partition))
	}
	from, to := "http://"+r.containers[numberOf(m.From)]+path(load.PartitionPath), "http://"+r.containers[numberOf(m.To)]+path(load.CopyPath)
	began := time.Now()
	get, err := ask(ctx, http.MethodGet, from, nil, 0)
	if err != nil {
		return 0, err
	}
	defer func() { _ = get.Body.Close() }()
	put, err := ask(ctx, http.MethodPut, to, get.Body, get.ContentLength)
	if err != nil {
		return 0, err
	}
	took := time.Since(began)
	_ = put.Body.Close()
	gone, err := ask(ctx, http.MethodDelete, to, nil, 0)
	if err != nil {
		return 0, err
	}
	return took, gone.Body.Close()
}

func ask(ctx context.Context, method, url string, body io.Reader, length int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.ContentLength = length
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s %s was answered %s", method, url, resp.Status)
	}
	return resp, nil
}
