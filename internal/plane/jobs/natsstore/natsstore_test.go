package natsstore

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/trellis-dev/trellis/internal/enginetest"
	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

func TestMain(m *testing.M) {
	// The model of the suite looks at every job after every step, which here are calls of a server.
	if err := flag.Set("rapid.checks", "20"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// within bounds every wait of a test. A cluster that lost a member on a busy machine may hold several elections of up to
// ten seconds, and what is tested is never how long that takes.
const within = 2 * time.Minute

// decide retries in 10 s until the attempts are used up.
func decide(j jobs.Job, f plane.Failure, now time.Time) plane.Verdict {
	switch {
	case j.CancelRequested || f.Outcome == jobs.OutcomeCancelled:
		return plane.Verdict{Status: jobs.StatusCancelled}
	case f.Permanent || j.Attempt >= j.MaxAttempts:
		return plane.Verdict{Status: jobs.StatusDead}
	}
	return plane.Verdict{Status: jobs.StatusRetrying, RetryAt: now.Add(10 * time.Second)}
}

func settingsOfTests() plane.Settings {
	return plane.Settings{
		LeaseTTL: 30 * time.Second, Weights: map[string]int{"high": 4, "low": 1}, Waiting: 200_000,
		DeadRetention: time.Hour, ResultTTL: time.Hour, Decide: decide,
	}
}

// open has a replica run, and waits until it answers. stop ends it.
func open(t testing.TB, cluster *enginetest.NATSCluster, prefix string, change ...func(*Config)) (s *Store, stop func()) {
	t.Helper()
	cfg := Config{
		Connect: func() (string, []nats.Option, error) { return cluster.URI(), nil, nil },
		Prefix:  prefix, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	for _, f := range change {
		f(&cfg)
	}
	s, err := New(cfg, settingsOfTests())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(stop)
	eventually(t, func() error { _, err := s.Stats(ctx, time.Now()); return err })
	return s, stop
}

// eventually waits until f has no error.
func eventually(t testing.TB, f func() error) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.Now().Add(within)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within %s: %v", within, err)
		}
		<-tick.C
	}
}

func newJob(id string, change ...func(*plane.NewJob)) plane.NewJob {
	n := plane.NewJob{ID: id, Priority: "low", Timeout: time.Minute, MaxAttempts: 3, Payload: plane.Body{ContentType: "application/json", Data: []byte("1")}}
	for _, f := range change {
		f(&n)
	}
	return n
}

func submit(t testing.TB, s *Store, batch ...plane.NewJob) {
	t.Helper()
	results, err := s.Submit(t.Context(), time.Now(), batch)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}

func lease(t testing.TB, s *Store, atMost int) []plane.Leased {
	t.Helper()
	leased, err := leaseOf(t.Context(), s, time.Now(), atMost)
	if err != nil {
		t.Fatal(err)
	}
	return leased
}

// leaseOf asks for one worker.
func leaseOf(ctx context.Context, s *Store, now time.Time, atMost int) ([]plane.Leased, error) {
	leased, _, err := s.Lease(ctx, now, []plane.LeaseQuery{{Worker: "w", Max: atMost}})
	if err != nil {
		return nil, err
	}
	return leased[0], nil
}

// complete one attempt.
func complete(ctx context.Context, s *Store, now time.Time, c plane.Claim, result plane.Body) error {
	results, err := s.Complete(ctx, now, []plane.Completion{{Claim: c, Result: result}})
	if err != nil {
		return err
	}
	return results[0].Err
}

func TestAJobOutlivesThePlaneAndTheEngine(t *testing.T) {
	t.Parallel()
	cluster := enginetest.NATS(t, 1)
	large := make([]byte, 3*partBytes/2)
	for i := range large {
		large[i] = byte(i * 7)
	}
	s, stop := open(t, cluster, "q")
	submit(t, s, newJob("a", func(n *plane.NewJob) { n.Payload = plane.Body{ContentType: "x/y", Data: large} }), newJob("b"))
	leased := lease(t, s, 1)
	if len(leased) != 1 || string(leased[0].Payload.Data) != string(large) {
		t.Fatalf("leased %d jobs", len(leased))
	}
	cluster.Members[0].Kill()
	if _, err := s.Get(t.Context(), "a"); !errors.Is(err, ErrAway) {
		t.Errorf("without an engine Get gives %v", err)
	}
	cluster.Members[0].Start()
	claim := plane.Claim{ID: "a", Token: leased[0].Token}
	eventually(t, func() error {
		return complete(t.Context(), s, time.Now(), claim, plane.Body{ContentType: "x/y", Data: large[:5000]})
	})
	stop()
	s, _ = open(t, cluster, "q")
	job, err := s.Get(t.Context(), "a")
	if err != nil || job.Status != jobs.StatusSucceeded || len(job.Result.Base64) != 5000 {
		t.Errorf("after a restart: %+v, %v", job, err)
	}
	if leased := lease(t, s, 5); len(leased) != 1 || leased[0].Job.ID != "b" {
		t.Errorf("leased %+v", leased)
	}
	if err := s.Delete(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	eventually(t, func() error {
		info, err := s.engine.Load().bodies.Info(t.Context())
		if err == nil && info.State.Msgs != 0 {
			err = fmt.Errorf("%d messages of contents are left", info.State.Msgs)
		}
		return err
	})
}
