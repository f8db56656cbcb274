package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

var sharedTests = []test{
	{"KillsUnderLoadLoseNothing", testKills},
	{"SameKeyOnTwoReplicas", testIdempotentReplicas},
	{"WaitersHearOfOtherReplicas", testWaitersElsewhere},
	{"SchedulesFireOnceForAllReplicas", testScheduleReplicas},
	{"SinksOverAKill", testSinkKill},
	{"StartsBeforeItsEngine", testEngineLate},
}

// load submits and works, and writes down what it saw.
type load struct {
	t       *testing.T
	clients []*client
	stop    context.CancelFunc
	all     sync.WaitGroup

	mu       sync.Mutex
	accepted map[string]string // id → ordering key
	// ended holds the completions that were acknowledged, in the order of their answers.
	ended []endedJob
	runs  map[string]int
	// sent has, by ordering key, the jobs whose completion was sent, and holding the one that a worker has.
	sent    map[string]map[string]bool
	holding map[string]*held
	faults  int
}

// held is a lease whose completion was not sent yet; other is one of the same key that was given meanwhile.
type held struct {
	id    string
	other string
}

type endedJob struct{ id, key, n string }

func startLoad(t *testing.T, clients ...*client) *load {
	ctx, stop := context.WithCancel(context.Background())
	l := &load{t: t, clients: clients, stop: stop, accepted: map[string]string{}, runs: map[string]int{}, sent: map[string]map[string]bool{}, holding: map[string]*held{}}
	for i, c := range clients {
		l.all.Go(func() { l.submit(ctx, c, fmt.Sprint("key", i)) })
		for range 2 {
			l.all.Go(func() { l.work(ctx, c) })
		}
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) end() {
	l.stop()
	l.all.Wait()
}

// ask does a request until it is answered, whatever breaks meanwhile, or ctx ends.
func (l *load) ask(ctx context.Context, c *client, path string, body any, wants ...int) (reply, bool) {
	for ctx.Err() == nil {
		call, cancel := context.WithTimeout(ctx, 30*time.Second)
		r, err := c.do(call, http.MethodPost, path, encode(body))
		cancel()
		if err == nil && slices.Contains(wants, r.status) {
			return r, true
		}
		if err == nil && r.status != http.StatusServiceUnavailable {
			l.t.Errorf("%s: answered %d %s", path, r.status, r.body)
			return r, false
		}
		l.mu.Lock()
		l.faults++
		l.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	return reply{}, false
}

// submit submits jobs of one ordering key, one after the other, each until it is acknowledged.
func (l *load) submit(ctx context.Context, c *client, key string) {
	for i := 0; ctx.Err() == nil; i++ {
		s := jobs.Submission{OrderingKey: key, Payload: fmt.Appendf(nil, "%d", i), IdempotencyKey: fmt.Sprint(key, "-", i), MaxAttempts: 100}
		r, ok := l.ask(ctx, c, "/v1/jobs", s, http.StatusAccepted)
		if !ok {
			return
		}
		var a jobs.Accepted
		if err := json.Unmarshal(r.body, &a); err != nil {
			l.t.Errorf("decode %s: %v", r.body, err)
			return
		}
		l.mu.Lock()
		l.accepted[a.ID] = key
		l.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func (l *load) work(ctx context.Context, c *client) {
	for ctx.Err() == nil {
		r, ok := l.ask(ctx, c, "/v1/jobs:lease", jobs.LeaseRequest{Worker: "w", Max: 2, Wait: "1s"}, http.StatusOK)
		if !ok {
			return
		}
		var leases jobs.LeaseReply
		if err := json.Unmarshal(r.body, &leases); err != nil {
			l.t.Errorf("decode %s: %v", r.body, err)
			return
		}
		for _, lease := range leases.Leases {
			h := l.begin(lease)
			// It is not completed yet, so no other one of its key may run, unless its lease is lost.
			l.finish(lease)
			r, ok := l.ask(context.WithoutCancel(ctx), c, path(lease.Job.ID, "complete"), jobs.CompleteRequest{Token: lease.Token, Value: lease.Payload}, http.StatusOK, http.StatusConflict)
			if ok && r.status == http.StatusOK {
				l.completed(lease, h)
			}
		}
	}
}

// begin notes that a worker has a job. The one before it of its key has been completed by then.
func (l *load) begin(lease jobs.Lease) *held {
	l.mu.Lock()
	defer l.mu.Unlock()
	key, n := lease.Job.OrderingKey, 0
	l.runs[lease.Job.ID]++
	if _, err := fmt.Sscan(string(lease.Payload), &n); err == nil && n > 0 && !l.sent[key][fmt.Sprint(n-1)] {
		l.t.Errorf("job %d of %s was leased before the one before it was completed", n, key)
	}
	if other := l.holding[key]; other != nil {
		other.other = lease.Job.ID
	}
	h := &held{id: lease.Job.ID}
	l.holding[key] = h
	return h
}

// finish notes that the completion is about to be sent.
func (l *load) finish(lease jobs.Lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := lease.Job.OrderingKey
	if l.sent[key] == nil {
		l.sent[key] = map[string]bool{}
	}
	l.sent[key][string(lease.Payload)] = true
	if h := l.holding[key]; h != nil && h.id == lease.Job.ID {
		delete(l.holding, key)
	}
}

// completed notes a completion that was taken.
func (l *load) completed(lease jobs.Lease, h *held) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.other != "" {
		l.t.Errorf("job %s was completed, and while it ran %s of the same key %s was leased", h.id, h.other, lease.Job.OrderingKey)
	}
	l.ended = append(l.ended, endedJob{lease.Job.ID, lease.Job.OrderingKey, string(lease.Payload)})
}

func (l *load) more(n int) {
	l.t.Helper()
	count := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.ended)
	}
	have := count()
	eventually(l.t, fmt.Sprintf("%d more jobs to end", n), func() bool { return count() >= have+n })
}

// testKills kills engine and planes under load. Every job that was acknowledged ends exactly once, and those of one key
// end in their order.
func testKills(t *testing.T, start Factory) {
	target := start(t, Options{Replicas: 2, Configure: func(c *planeconfig.Config) { c.Jobs.LeaseTTL = planeconfig.Duration(2 * time.Second) }})
	clients := []*client{target.client(t), newClient(t, target.Replicas[1].URL, target.Token)}
	l := startLoad(t, clients...)
	l.more(50)
	target.Engine.Kill(t)
	target.Engine.Start(t)
	l.more(50)
	target.Replicas[0].Kill(t)
	l.more(20)
	target.Replicas[0].Start(t)
	l.more(50)
	target.Replicas[1].Kill(t)
	target.Engine.Kill(t)
	target.Engine.Start(t)
	target.Replicas[1].Start(t)
	l.more(50)
	l.end()
	l.drainRest(clients[0])
	l.check(clients[1])
}

// drainRest works off what is left.
func (l *load) drainRest(c *client) {
	l.t.Helper()
	eventually(l.t, "all jobs to end", func() bool {
		for _, lease := range c.leaseFor(20, "100ms") {
			l.runs[lease.Job.ID]++
			done := encode(jobs.CompleteRequest{Token: lease.Token, Value: lease.Payload})
			if c.must2(http.StatusOK, http.StatusConflict, path(lease.Job.ID, "complete"), done).status == http.StatusConflict {
				continue // It took longer than the lease is.
			}
			l.ended = append(l.ended, endedJob{lease.Job.ID, lease.Job.OrderingKey, string(lease.Payload)})
		}
		s := c.stats()
		return s.Backlog == 0 && s.Depth[jobs.StatusRetrying] == 0
	})
}

func (l *load) check(c *client) {
	l.t.Helper()
	ends := map[string]int{}
	for _, e := range l.ended {
		if ends[e.id]++; ends[e.id] > 1 {
			l.t.Errorf("job %s was completed %d times", e.id, ends[e.id])
		}
	}
	for id := range l.accepted {
		job := c.get(id)
		if job.Status != jobs.StatusSucceeded || job.Result == nil {
			l.t.Errorf("a job that was acknowledged is %+v", job)
		}
	}
	reruns := 0
	for _, n := range l.runs {
		reruns += n - 1
	}
	l.t.Logf("%d jobs accepted, %d completed, %d runs too many, %d requests that found nobody", len(l.accepted), len(ends), reruns, l.faults)
}

func testIdempotentReplicas(t *testing.T, start Factory) {
	target := start(t, Options{Replicas: 2})
	one, two := target.client(t), newClient(t, target.Replicas[1].URL, target.Token)
	first := one.submit(jobs.Submission{Type: "a"}, "Idempotency-Key", "k")
	again := two.submit(jobs.Submission{Type: "a"}, "Idempotency-Key", "k")
	if again.ID != first.ID || !again.Existing {
		t.Errorf("first %+v, again %+v", first, again)
	}
}

// testWaitersElsewhere has a worker and a client wait on one replica for what happens on the other.
func testWaitersElsewhere(t *testing.T, start Factory) {
	target := start(t, Options{Replicas: 2})
	here, there := target.client(t), newClient(t, target.Replicas[1].URL, target.Token)
	leases := make(chan jobs.Lease, 1)
	go func() { leases <- there.leaseOne() }()
	eventually(t, "the worker to wait", func() bool {
		return (&Target{Target: contracttest.Target{Replicas: target.Replicas[1:]}}).metric(t, "trellis_plane_connections{", `protocol="lease"`) == 1
	})
	a := here.submit(jobs.Submission{})
	l := <-leases
	if l.Job.ID != a.ID {
		t.Errorf("leased %+v", l)
	}
	polled := make(chan jobs.Job, 1)
	go func() {
		polled <- decode[jobs.Job](t, here.must(http.StatusOK, http.MethodGet, fmt.Sprintf("/v1/jobs/%s?wait=60s&revision=%d", a.ID, l.Job.Revision), nil).body)
	}()
	there.complete(l, "1")
	if got := <-polled; got.Status != jobs.StatusSucceeded {
		t.Errorf("told of %+v", got)
	}
}

func testScheduleReplicas(t *testing.T, start Factory) {
	target := start(t, Options{Replicas: 2, Configure: jobsSection(func(j *planeconfig.Jobs) { j.Schedules = []planeconfig.JobSchedule{every("s", "Allow")} })})
	c := target.client(t)
	var list []jobs.Job
	eventually(t, "the schedule to fire", func() bool {
		list = c.list("type", "s").Jobs
		return len(list) >= 4
	})
	times := map[string]bool{}
	for _, j := range list {
		if at := j.Metadata["scheduledAt"]; times[at] {
			t.Errorf("%s was brought about twice", at)
		} else {
			times[at] = true
		}
	}
}

// testSinkKill kills the plane while its sink is slow: every event arrives, in order.
func testSinkKill(t *testing.T, start Factory) {
	gate := make(chan struct{})
	r := newReceiver(t, func(int, *http.Request) int {
		select {
		case <-gate:
			return 0
		default:
			return http.StatusServiceUnavailable
		}
	})
	target := start(t, Options{Configure: sinkTo(r, nil)})
	c := target.client(t)
	var ids []string
	for range 10 {
		ids = append(ids, c.submit(jobs.Submission{}).ID)
		c.complete(c.leaseOne(), "1")
	}
	target.Replicas[0].Kill(t)
	close(gate)
	target.Replicas[0].Start(t)
	for _, id := range ids {
		eventually(t, "the events of "+id, func() bool { return len(r.of(id)) == 3 })
		if got := r.of(id); !slices.Equal(got, []string{jobs.EventAccepted, jobs.EventStarted, jobs.EventSucceeded}) {
			t.Errorf("events %v", got)
		}
	}
}

func testEngineLate(t *testing.T, start Factory) {
	target := start(t, Options{})
	target.Engine.Kill(t)
	r := target.Add(t)
	admin, c := newClient(t, r.Admin, ""), newClient(t, r.URL, target.Token)
	eventually(t, "the plane to be alive", func() bool {
		ctx, cancel := soon(t.Context())
		defer cancel()
		got, err := admin.do(ctx, http.MethodGet, "/livez", nil)
		return err == nil && got.status == http.StatusOK
	})
	admin.must(http.StatusServiceUnavailable, http.MethodGet, "/readyz", nil)
	refused := c.must(http.StatusServiceUnavailable, http.MethodPost, "/v1/jobs", []byte(`{}`))
	if p := refused.problem(t); p.Slug() != "engine-unavailable" || refused.header.Get("Retry-After") == "" {
		t.Errorf("refused as %s", p.Slug())
	}
	target.Engine.Start(t)
	eventually(t, "the plane to be ready", func() bool {
		ctx, cancel := soon(t.Context())
		defer cancel()
		got, err := admin.do(ctx, http.MethodGet, "/readyz", nil)
		return err == nil && got.status == http.StatusOK
	})
	c.submit(jobs.Submission{})
}
