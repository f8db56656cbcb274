package natsstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/trellis-dev/trellis/internal/enginetest"
	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// load is work on a queue by several replicas of a plane, while something happens to the engine.
type load struct {
	t      *testing.T
	stores []*Store
	total  int64

	accepted, done atomic.Int64
	mu             sync.Mutex
	// completed counts by job how many attempts were told that they completed it.
	completed map[string]map[int64]bool
}

// TestAServerIsKilledUnderLoad has two replicas at work while the server is killed.
func TestAServerIsKilledUnderLoad(t *testing.T) {
	t.Parallel()
	cluster := enginetest.NATS(t, 1)
	underLoad(t, cluster, 2, func() {
		cluster.Members[0].Kill()
		cluster.Members[0].Start()
	})
}

// TestTheLeaderIsKilledUnderLoad has three replicas at work while the member that leads the log is killed.
func TestTheLeaderIsKilledUnderLoad(t *testing.T) {
	t.Parallel()
	cluster := enginetest.NATS(t, 3)
	underLoad(t, cluster, 3, func() {
		s, stop := open(t, cluster, "q")
		info, err := s.engine.Load().log.Info(t.Context())
		stop()
		if err != nil || info.Config.Replicas != 3 || info.Cluster == nil {
			t.Errorf("the log is %+v, %v", info, err)
			return
		}
		for i, m := range cluster.Members {
			if info.Cluster.Leader == fmt.Sprintf("member-%d", i) {
				m.Kill()
				return
			}
		}
		t.Errorf("no member is the leader %q", info.Cluster.Leader)
	})
}

func underLoad(t *testing.T, cluster *enginetest.NATSCluster, replicas int, happens func()) {
	l := &load{t: t, total: 1500, completed: map[string]map[int64]bool{}}
	for range replicas {
		s, _ := open(t, cluster, "q", func(c *Config) { c.SnapshotEntries = 300 })
		settings := settingsOfTests()
		settings.LeaseTTL, settings.Ordered = time.Second, true
		s.Reconfigure(settings)
		l.stores = append(l.stores, s)
	}
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	var work sync.WaitGroup
	for i := range 4 {
		work.Go(func() { l.submit(ctx, i) })
	}
	for i := range 4 {
		work.Go(func() { l.work(ctx, l.stores[i%replicas]) })
	}
	for _, s := range l.stores {
		work.Go(func() { l.sweep(ctx, s) })
	}
	eventually(t, func() error {
		if n := l.accepted.Load(); n < l.total/3 {
			return fmt.Errorf("%d jobs are accepted", n)
		}
		return nil
	})
	happens()
	work.Wait()
	l.check(t.Context())
}

// submit until the total is reached, each job again until it is accepted.
func (l *load) submit(ctx context.Context, client int) {
	for n := 0; ctx.Err() == nil; n++ {
		if l.accepted.Add(1) > l.total {
			return
		}
		id := fmt.Sprintf("%d-%d", client, n)
		job := newJob(id, func(n *plane.NewJob) {
			n.IdempotencyKey, n.OrderingKey, n.MaxAttempts = id, fmt.Sprint("k", client), 100
		})
		for ctx.Err() == nil {
			results, err := l.stores[n%len(l.stores)].Submit(ctx, time.Now(), []plane.NewJob{job})
			if err == nil && results[0].Err != nil {
				l.t.Error(results[0].Err)
			}
			if err == nil {
				l.note(id)
				break
			}
			pause(ctx)
		}
	}
}

// note that a job was accepted, and who completed it.
func (l *load) note(id string, by ...int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.completed[id] == nil {
		l.completed[id] = map[int64]bool{}
	}
	for _, token := range by {
		l.completed[id][token] = true
	}
}

// pause is what a client does after a 503.
func pause(ctx context.Context) {
	select {
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
	}
}

func (l *load) work(ctx context.Context, s *Store) {
	for ctx.Err() == nil && l.done.Load() < l.total {
		leased, err := leaseOf(ctx, s, time.Now(), 3)
		if err != nil || len(leased) == 0 {
			pause(ctx)
		}
		for _, got := range leased {
			l.complete(ctx, s, plane.Claim{ID: got.Job.ID, Token: got.Token})
		}
	}
}

// complete until the answer is known.
func (l *load) complete(ctx context.Context, s *Store, c plane.Claim) {
	for ctx.Err() == nil {
		err := complete(ctx, s, time.Now(), c, plane.Body{ContentType: "text/plain", Data: []byte(fmt.Sprint(c.Token))})
		switch {
		case err == nil:
			l.note(c.ID, c.Token)
			l.done.Add(1)
			return
		case errors.Is(err, plane.ErrFenced):
			return
		}
		pause(ctx)
	}
}

func (l *load) sweep(ctx context.Context, s *Store) {
	for ctx.Err() == nil && l.done.Load() < l.total {
		_, _ = s.Sweep(ctx, time.Now()) // it is away at times
		pause(ctx)
	}
}

// check that each accepted job was completed, by one attempt, and that all replicas say so.
func (l *load) check(ctx context.Context) {
	if n := int64(len(l.completed)); n != l.total || l.done.Load() != l.total {
		l.t.Errorf("of %d jobs %d were accepted and %d completed", l.total, n, l.done.Load())
	}
	for _, s := range l.stores {
		for id, by := range l.completed {
			job, err := s.Get(ctx, id)
			tokens := slices.Collect(maps.Keys(by))
			if err != nil || job.Status != jobs.StatusSucceeded || len(tokens) != 1 || string(job.Result.Base64) != fmt.Sprint(tokens[0]) {
				l.t.Errorf("%s is %+v, %v; completed by %v", id, job, err, tokens)
				return
			}
		}
	}
}

// What follows is the model of histories: jobs in the order of acceptance, of which a lease gets the first that waits.

type input struct {
	op    string
	id    string
	token int64
}

type output struct {
	// id and token of what was leased, empty for none.
	id    string
	token int64
	err   error
	// unknown is true where nobody told whether it was done.
	unknown bool
}

// modelJob is one that is not completed yet. Those that are, are left out: states that differ in nothing else are one, and
// no client completes a job twice.
type modelJob struct {
	id      string
	token   int64
	running bool
}

func step(state []modelJob, in input) ([]modelJob, output) {
	state = slices.Clone(state)
	at := slices.IndexFunc(state, func(j modelJob) bool { return j.id == in.id })
	switch in.op {
	case "submit":
		return append(state, modelJob{id: in.id}), output{}
	case "lease":
		if at = slices.IndexFunc(state, func(j modelJob) bool { return !j.running }); at < 0 {
			return state, output{}
		}
		state[at].running = true
		state[at].token++
		return state, output{id: state[at].id, token: state[at].token}
	}
	if at < 0 {
		return state, output{err: plane.ErrNotFound}
	}
	j := &state[at]
	if j.token != in.token || !j.running {
		return state, output{err: plane.ErrFenced}
	}
	if j.running = false; in.op == "complete" {
		state = slices.Delete(state, at, at+1)
	}
	return state, output{}
}

var model = porcupine.Model{
	Init: func() any { return []modelJob(nil) },
	Step: func(state, in, out any) (bool, any) {
		next, want := step(state.([]modelJob), in.(input))
		got := out.(output)
		if got.unknown {
			return true, next
		}
		return want.id == got.id && want.token == got.token && errors.Is(got.err, want.err), next
	},
	Equal: func(a, b any) bool { return slices.Equal(a.([]modelJob), b.([]modelJob)) },
	DescribeOperation: func(in, out any) string {
		return fmt.Sprintf("%+v -> %+v", in, out)
	},
}

// Histories of clients of two replicas are those of one queue, also where the server was killed meanwhile.
func TestHistoriesAreLinearizable(t *testing.T) {
	t.Parallel()
	cluster := enginetest.NATS(t, 1)
	one, _ := open(t, cluster, "q")
	other, _ := open(t, cluster, "q")
	h := &history{began: time.Now(), now: time.Now(), stores: []*Store{one, other}}
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() { h.client(t.Context(), i) })
	}
	eventually(t, func() error {
		if h.calls.Load() < 100 {
			return errors.New("too few calls yet")
		}
		return nil
	})
	cluster.Members[0].Kill()
	cluster.Members[0].Start()
	clients.Wait()
	if result, info := porcupine.CheckOperationsVerbose(model, h.operations, within); result != porcupine.Ok {
		t.Errorf("the history of %d calls is %s; the longest linearizations: %v", len(h.operations), result, info.PartialLinearizationsOperations())
	}
}

type history struct {
	began, now time.Time
	stores     []*Store
	calls      atomic.Int64

	mu         sync.Mutex
	operations []porcupine.Operation
}

// client does some calls, until it gets no answer to one.
func (h *history) client(ctx context.Context, client int) {
	for n := range 40 {
		s := h.stores[(client+n)%len(h.stores)]
		for _, in := range []input{{op: "submit", id: fmt.Sprintf("%d-%d", client, n)}, {op: "lease"}, {op: "lease"}} {
			if !h.call(ctx, s, in) {
				return
			}
		}
	}
}

func (h *history) call(ctx context.Context, s *Store, in input) bool {
	h.calls.Add(1)
	call := time.Since(h.began).Nanoseconds()
	out, err := h.do(ctx, s, in)
	switch {
	case errors.Is(err, ErrAway):
		pause(ctx)
		return true // nothing was written
	case err != nil:
		out.unknown = true
	}
	h.note(in, out, call)
	if in.op == "lease" && out.id != "" {
		op := []string{"complete", "release", "complete"}[out.token%3]
		return h.call(ctx, s, input{op: op, id: out.id, token: out.token})
	}
	return !out.unknown
}

func (h *history) do(ctx context.Context, s *Store, in input) (output, error) {
	switch in.op {
	case "submit":
		_, err := s.Submit(ctx, h.now, []plane.NewJob{newJob(in.id)})
		return output{}, err
	case "lease":
		leased, err := leaseOf(ctx, s, h.now, 1)
		if err != nil || len(leased) == 0 {
			return output{}, err
		}
		return output{id: leased[0].Job.ID, token: leased[0].Token}, nil
	case "release":
		return told(s.Release(ctx, h.now, plane.Claim{ID: in.id, Token: in.token}))
	}
	err := complete(ctx, s, h.now, plane.Claim{ID: in.id, Token: in.token}, plane.Body{})
	return told(err)
}

// told is what a claim's command came to, where it is known.
func told(err error) (output, error) {
	if errors.Is(err, plane.ErrFenced) {
		return output{err: err}, nil
	}
	return output{}, err
}

func (h *history) note(in input, out output, call int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ended := time.Since(h.began).Nanoseconds()
	if out.unknown {
		ended = int64(time.Hour) // it may be done at any time
	}
	h.operations = append(h.operations, porcupine.Operation{ClientId: len(h.operations), Input: in, Output: out, Call: call, Return: ended})
}
