//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/trellis-dev/trellis/pkg/jobs"
	"github.com/trellis-dev/trellis/test/e2e/jobhistory"
)

// load is what one submitter asks for: jobs of a kind, one after the other.
type load struct {
	name string
	// keys of ordering that its jobs take turns with; none for jobs without one.
	keys []string
	// seconds that each takes.
	seconds string
	// failures that are asked for; all where the job is doomed.
	failures int
	doomed   bool
	// cancel asks for every such job to be cancelled right after it was accepted; 0 for none.
	cancel int
	every  time.Duration
}

// mixedLoad is that of a storm.
var mixedLoad = []load{
	{name: "plain", seconds: "0.05", every: 150 * time.Millisecond},
	{name: "slow", seconds: "2", every: 1500 * time.Millisecond},
	{name: "keyed", seconds: "0.1", keys: []string{"ada", "bob", "cyd"}, every: 250 * time.Millisecond},
	{name: "keyed-failing", seconds: "0.05", keys: []string{"dan"}, failures: 1, every: 1500 * time.Millisecond},
	{name: "failing", seconds: "0.05", failures: 2, every: 800 * time.Millisecond},
	{name: "doomed", seconds: "0.05", doomed: true, every: time.Second},
	{name: "cancelled", seconds: "0.5", cancel: 2, every: time.Second},
}

const (
	// manyAttempts are more than any ordeal can use up; doomedAttempts are those of jobs that fail for good.
	manyAttempts, doomedAttempts = 30, 2
	// always is more failures than there are attempts.
	always = 1000
)

// submitter submits until it is stopped, and keeps what was acknowledged.
type submitter struct {
	load   load
	client *jobs.Client
	stop   context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex
	accepted []jobhistory.Accepted
	unknown  []string
	trouble  error
}

// startSubmitter submits each job until it is acknowledged, the last one too.
func startSubmitter(ctx context.Context, c *jobs.Client, l load) *submitter {
	run, stop := context.WithCancel(ctx)
	s := &submitter{load: l, client: c, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		tick := time.NewTicker(l.every)
		defer tick.Stop()
		for n := 0; run.Err() == nil; n++ {
			s.submit(ctx, n)
			select {
			case <-tick.C:
			case <-run.Done():
			}
		}
	}()
	return s
}

func (s *submitter) submit(ctx context.Context, n int) {
	l := s.load
	job := jobhistory.Accepted{
		Key: fmt.Sprintf("%s-%d", l.name, n), Submitter: l.name, Failures: l.failures, Doomed: l.doomed, MaxAttempts: manyAttempts, Sent: time.Now(),
	}
	if len(l.keys) > 0 {
		job.OrderingKey = l.keys[n%len(l.keys)]
	}
	failures := l.failures
	if l.doomed {
		failures, job.MaxAttempts = always, doomedAttempts
	}
	ask := jobs.Submission{
		Type: l.name, Payload: json.RawMessage(strconv.Itoa(n)), OrderingKey: job.OrderingKey, MaxAttempts: job.MaxAttempts, IdempotencyKey: job.Key,
		Metadata: map[string]string{"key": job.Key, "seconds": l.seconds, "failures": strconv.Itoa(failures)},
	}
	for give := time.Now().Add(patience); ; {
		reply, err := s.client.Submit(ctx, ask)
		if err == nil {
			job.ID, job.Acknowledged = reply.ID, time.Now()
			break
		}
		s.mu.Lock()
		s.trouble = err
		s.mu.Unlock()
		if time.Now().After(give) || ctx.Err() != nil {
			s.mu.Lock()
			s.unknown = append(s.unknown, job.Key)
			s.mu.Unlock()
			return
		}
	}
	if l.cancel > 0 && n%l.cancel == 0 {
		// Whether it was heard or not: the job may come to either end.
		job.Cancel = true
		_, _ = s.client.Cancel(ctx, job.ID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted = append(s.accepted, job)
}

// acknowledged counts the jobs that were.
func (s *submitter) acknowledged() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.accepted)
}

func (s *submitter) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trouble
}

// end stops it and returns what it did.
func (s *submitter) end() (accepted []jobhistory.Accepted, unknown []string) {
	s.stop()
	<-s.done
	return s.accepted, s.unknown
}
