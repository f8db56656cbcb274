package mover_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// clients increment counters, each increment until it is answered, and note what they were answered.
type clients struct {
	w    *world
	http *http.Client
	stop context.CancelFunc
	work sync.WaitGroup

	mu  sync.Mutex
	ops []porcupine.Operation
}

// begin n clients.
func (w *world) begin(n int) *clients {
	ctx, stop := context.WithCancel(context.Background())
	c := &clients{w: w, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n}}, stop: stop}
	for i := range n {
		c.work.Go(func() {
			for j := 0; ctx.Err() == nil; j++ {
				c.increment(i, fmt.Sprintf("key-%d", (i+j*7)%48), fmt.Sprintf("%d-%d", i, j))
			}
		})
	}
	return c
}

// increment a counter once, however often it is to be asked for. An answer comes in the end, or the test fails.
func (c *clients) increment(client int, key, id string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	op := porcupine.Operation{ClientId: client, Input: key, Call: now.Add(1)}
	for {
		value, ok := c.try(ctx, key, id)
		if ok {
			op.Output, op.Return = value, now.Add(1)
			c.mu.Lock()
			defer c.mu.Unlock()
			c.ops = append(c.ops, op)
			return
		}
		if ctx.Err() != nil {
			c.w.t.Errorf("increment %s of %s was never answered", id, key)
			return
		}
		rest(ctx)
	}
}

// rest for a moment, so that who waits for others does not keep them from work.
func rest(ctx context.Context) {
	timer := time.NewTimer(time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (c *clients) try(ctx context.Context, key, id string) (int, bool) {
	req := c.request(ctx, key)
	if req == nil {
		return 0, false
	}
	req.Header.Set("Idempotency-Key", id)
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, false
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		if resp.StatusCode/100 == 4 && resp.StatusCode != http.StatusMisdirectedRequest || resp.StatusCode == http.StatusInternalServerError {
			c.w.t.Errorf("answered %d: %s", resp.StatusCode, body)
		}
		return 0, false
	}
	value, err := strconv.Atoi(string(body))
	return value, err == nil
}

// request to the router, or to whom the table names; nil where it names nobody.
func (c *clients) request(ctx context.Context, key string) *http.Request {
	to, partition, epoch := c.w.front, "", ""
	if to == "" {
		s, _, err := c.w.store.Read(ctx)
		if err != nil || s.Table.Partitions == 0 {
			return nil
		}
		p := s.Table.Partition(key)
		owner, ok := s.Table.Serving(p)
		at, known := c.w.Member(owner.ID)
		if !ok || !known {
			return nil
		}
		to, partition, epoch = "http://"+at.Address, strconv.Itoa(p), strconv.FormatUint(s.Table.Epoch, 10)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to+"/counters/"+key, nil)
	if err != nil {
		c.w.t.Error(err)
		return nil
	}
	if c.w.front != "" {
		req.Header.Set("X-Key", key)
		return req
	}
	req.Header.Set(planeconfig.HeaderMemberToken, testToken)
	req.Header.Set(planeconfig.HeaderPartition, partition)
	req.Header.Set(planeconfig.HeaderEpoch, epoch)
	return req
}

// end waits for all increments under way.
func (c *clients) end() {
	c.stop()
	c.work.Wait()
	c.http.CloseIdleConnections()
}

// progress waits until clients were answered n times more.
func (c *clients) progress(n int) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	have := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.ops)
	}
	for from := have(); have() < from+n; rest(ctx) {
		if ctx.Err() != nil {
			c.w.t.Fatalf("the clients do not get on")
		}
	}
}

// counter is the model: each increment answers one more than the one before.
var counter = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, op := range history {
			byKey[op.Input.(string)] = append(byKey[op.Input.(string)], op)
		}
		var out [][]porcupine.Operation
		for _, ops := range byKey {
			out = append(out, ops)
		}
		return out
	},
	Init:  func() any { return 0 },
	Step:  func(state, _, output any) (bool, any) { return output.(int) == state.(int)+1, output },
	Equal: func(a, b any) bool { return a == b },
}

// check that no increment was lost or doubled, and that no partition had two owners.
func (c *clients) check(t *testing.T) {
	t.Helper()
	c.end()
	if result := porcupine.CheckOperationsTimeout(counter, c.ops, patience); result != porcupine.Ok {
		t.Errorf("of %d increments, some were lost or doubled: %v", len(c.ops), result)
	}
	for _, fault := range overlaps(c.w.log()) {
		t.Error(fault)
	}
}

// log of all containers.
func (w *world) log() []served {
	var all []served
	for _, n := range w.nodes {
		n.container.mu.Lock()
		all = append(all, n.container.log...)
		n.container.mu.Unlock()
	}
	return all
}

// overlaps are the places where a partition was served by one member before another had ended, or by two in one epoch.
func overlaps(log []served) []string {
	slices.SortFunc(log, func(a, b served) int { return int(a.begun - b.begun) })
	var out []string
	// last is, for each partition, the latest end of who served it last.
	last := map[int]served{}
	owner := map[[2]uint64]string{}
	for _, s := range log {
		key := [2]uint64{uint64(s.partition), s.epoch}
		if other, ok := owner[key]; ok && other != s.member {
			out = append(out, fmt.Sprintf("partition %d was served by %s and by %s in epoch %d", s.partition, other, s.member, s.epoch))
		}
		owner[key] = s.member
		before, ok := last[s.partition]
		switch {
		case ok && before.member != s.member && (before.end > s.begun || before.epoch >= s.epoch):
			out = append(out, fmt.Sprintf("partition %d: %s served it in epoch %d until %d, and %s in epoch %d from %d on",
				s.partition, before.member, before.epoch, before.end, s.member, s.epoch, s.begun))
		case ok && before.member == s.member:
			s.end, s.epoch = max(s.end, before.end), max(s.epoch, before.epoch)
		}
		last[s.partition] = s
	}
	return out
}
