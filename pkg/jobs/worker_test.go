package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/pkg/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs/jobstest"
)

// bench is a worker on a queue, in a bubble whose time runs as fast as it can.
type bench struct {
	t      *testing.T
	queue  *jobstest.Queue
	worker *jobs.Worker
	stop   context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex
	outcomes []jobs.Outcome
}

func start(t *testing.T, handler jobs.Handler, change func(*jobs.Worker)) *bench {
	t.Helper()
	queue := jobstest.New(jobstest.Options{LeaseTTL: 30 * time.Second})
	return startOn(t, queue, queue, handler, change)
}

// startOn has the worker reach the queue by way of another transport.
func startOn(t *testing.T, queue *jobstest.Queue, way http.RoundTripper, handler jobs.Handler, change func(*jobs.Worker)) *bench {
	t.Helper()
	b := &bench{t: t, queue: queue, done: make(chan struct{})}
	client, err := jobs.NewClient(jobs.Options{URL: "http://queue.test", Token: jobs.StaticToken(jobstest.Token), HTTPClient: &http.Client{Transport: way}})
	if err != nil {
		t.Fatal(err)
	}
	b.worker = &jobs.Worker{Client: client, Name: "w", Handler: handler, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Hooks: jobs.Hooks{Ended: func(_ jobs.Lease, o jobs.Outcome, _ time.Duration) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.outcomes = append(b.outcomes, o)
		}}}
	if change != nil {
		change(b.worker)
	}
	ctx, cancel := context.WithCancel(t.Context())
	b.stop = cancel
	go func() {
		defer close(b.done)
		if err := b.worker.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	return b
}

func (b *bench) end() {
	b.stop()
	<-b.done
}

// reach waits until the job has a status.
func (b *bench) reach(id string, want jobs.Status) jobs.Job {
	b.t.Helper()
	for range 100_000 {
		if job := b.queue.Job(id); job.Status == want {
			return job
		}
		time.Sleep(100 * time.Millisecond) // of the bubble
	}
	b.t.Fatalf("job %s did not become %s: %+v", id, want, b.queue.Job(id))
	return jobs.Job{}
}

func untilEnded(ctx context.Context, _ *jobs.Task) (jobs.Output, error) {
	<-ctx.Done()
	return jobs.Output{}, context.Cause(ctx)
}

func TestWorkerReportsWhatAHandlerReturns(t *testing.T) {
	tests := map[string]struct {
		handler jobs.Handler
		want    jobs.Status
		failure jobs.FailRequest
	}{
		"result": {want: jobs.StatusSucceeded, handler: func(_ context.Context, task *jobs.Task) (jobs.Output, error) {
			return jobs.JSON(map[string]any{"got": string(task.Data())})
		}},
		"error": {want: jobs.StatusDead, failure: jobs.FailRequest{Token: 1, Error: "broken", Reason: "error"},
			handler: func(context.Context, *jobs.Task) (jobs.Output, error) { return jobs.Output{}, errors.New("broken") }},
		"permanent": {want: jobs.StatusDead, failure: jobs.FailRequest{Token: 1, Error: "no use", Reason: "error", Permanent: true},
			handler: func(context.Context, *jobs.Task) (jobs.Output, error) {
				return jobs.Output{}, fmt.Errorf("%w", jobs.Permanent(errors.New("no use")))
			}},
		"later": {want: jobs.StatusDead, failure: jobs.FailRequest{Token: 1, Error: "busy", Reason: "error", RetryAfter: "1m0s"},
			handler: func(context.Context, *jobs.Task) (jobs.Output, error) {
				return jobs.Output{}, jobs.RetryAfter(time.Minute, errors.New("busy"))
			}},
		"panic": {want: jobs.StatusDead, failure: jobs.FailRequest{Token: 1, Error: "panic: oh", Reason: "error"},
			handler: func(context.Context, *jobs.Task) (jobs.Output, error) { panic("oh") }},
		"bytes that are no text": {want: jobs.StatusDead, failure: jobs.FailRequest{Token: 1, Error: "a\uFFFDb\uFFFD", Reason: "error"},
			handler: func(context.Context, *jobs.Task) (jobs.Output, error) {
				return jobs.Output{}, errors.New("a\x00b\xff")
			}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, tt.handler, nil)
				defer b.end()
				id := b.queue.Add(jobs.Submission{Payload: []byte(`{"n":1}`)})
				job := b.reach(id, tt.want)
				if tt.want == jobs.StatusSucceeded {
					if diff := cmp.Diff(`{"got":"{\"n\":1}"}`, string(job.Result.Value)); diff != "" {
						t.Error(diff)
					}
					return
				}
				if diff := cmp.Diff(tt.failure, b.queue.Failure(id)); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestWorkerEndsAJob(t *testing.T) {
	tests := map[string]struct {
		act     func(*bench, string)
		cause   error
		outcome jobs.Outcome
		status  jobs.Status
	}{
		"cancelled":         {act: func(b *bench, id string) { b.queue.Cancel(id) }, cause: jobs.ErrCancelled, outcome: jobs.OutcomeCancelled, status: jobs.StatusCancelled},
		"its timeout over":  {act: func(*bench, string) {}, cause: jobs.ErrTimeout, outcome: jobs.OutcomeTimeout, status: jobs.StatusDead},
		"its lease another": {act: func(b *bench, id string) { b.queue.Steal(id) }, cause: jobs.ErrLost, outcome: jobs.OutcomeLost, status: jobs.StatusScheduled},
		"the queue away":    {act: func(b *bench, _ string) { b.queue.Away(true) }, cause: jobs.ErrLost, outcome: jobs.OutcomeLost, status: jobs.StatusDead},
		"the worker drained": {act: func(b *bench, _ string) { b.stop() },
			cause: jobs.ErrDraining, outcome: jobs.OutcomeReleased, status: jobs.StatusQueued},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				causes := make(chan error, 1)
				b := start(t, func(ctx context.Context, task *jobs.Task) (jobs.Output, error) {
					<-ctx.Done()
					causes <- context.Cause(ctx)
					return jobs.Output{}, context.Cause(ctx)
				}, nil)
				defer b.end()
				// At a moment without a heartbeat.
				id := b.queue.Add(jobs.Submission{Timeout: "5m3s"})
				b.reach(id, jobs.StatusRunning)
				tt.act(b, id)
				if cause := <-causes; !errors.Is(cause, tt.cause) {
					t.Errorf("the context ended with %v, not with %v", cause, tt.cause)
				}
				synctest.Wait()
				b.reach(id, tt.status)
				synctest.Wait()
				b.mu.Lock()
				defer b.mu.Unlock()
				if diff := cmp.Diff([]jobs.Outcome{tt.outcome}, b.outcomes); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestWorkerGivesGraceAndThenHandsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(ctx context.Context, task *jobs.Task) (jobs.Output, error) {
			if task.Job.Type == "long" {
				return untilEnded(ctx, task)
			}
			time.Sleep(time.Minute)
			return jobs.Output{}, ctx.Err()
		}, func(w *jobs.Worker) { w.Concurrency, w.Grace = 2, 2*time.Minute })
		short := b.queue.Add(jobs.Submission{Type: "short", Timeout: "1h"})
		long := b.queue.Add(jobs.Submission{Type: "long", Timeout: "1h"})
		b.reach(short, jobs.StatusRunning)
		b.reach(long, jobs.StatusRunning)
		began := time.Now()
		b.end()
		if took := time.Since(began); took < 2*time.Minute || took > 3*time.Minute {
			t.Errorf("draining took %s", took)
		}
		late := b.queue.Add(jobs.Submission{})
		got := []jobs.Status{b.queue.Job(short).Status, b.queue.Job(long).Status, b.queue.Job(late).Status}
		if diff := cmp.Diff([]jobs.Status{jobs.StatusSucceeded, jobs.StatusQueued, jobs.StatusQueued}, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWorkerTellsAResultUntilTheLeaseIsOver(t *testing.T) {
	for name, tt := range map[string]struct {
		away time.Duration
		want jobs.Outcome
	}{
		"back in time": {away: 20 * time.Second, want: jobs.OutcomeSucceeded},
		"too late":     {away: 5 * time.Minute, want: jobs.OutcomeLost},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ran := 0
				var b *bench
				b = start(t, func(context.Context, *jobs.Task) (jobs.Output, error) {
					if ran++; ran == 1 {
						b.queue.Away(true)
						time.AfterFunc(tt.away, func() { b.queue.Away(false) })
					}
					return jobs.Output{}, nil
				}, nil)
				defer b.end()
				id := b.queue.Add(jobs.Submission{MaxAttempts: 2})
				job := b.reach(id, jobs.StatusSucceeded)
				if lost := tt.want == jobs.OutcomeLost; (ran == 2) != lost || (len(job.Attempts) == 2) != lost {
					t.Errorf("it ran %d times: %+v", ran, job.Attempts)
				}
				synctest.Wait()
				if b.outcomes[0] != tt.want {
					t.Errorf("the first attempt was %s, not %s", b.outcomes[0], tt.want)
				}
			})
		})
	}
}

func TestWorkerOutlivesLostAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(context.Context, *jobs.Task) (jobs.Output, error) {
			time.Sleep(2 * time.Minute)
			return jobs.Output{}, nil
		}, nil)
		defer b.end()
		b.queue.Inject("lease", jobstest.Fault{Status: 503}, jobstest.Fault{Status: 429, RetryAfter: "7"}, jobstest.Fault{Status: 401}, jobstest.Fault{Status: 500})
		b.queue.Inject("heartbeat", jobstest.Fault{Status: 503, After: true}, jobstest.Fault{Status: 500}, jobstest.Fault{Status: 500})
		b.queue.Inject("complete", jobstest.Fault{Status: 500}, jobstest.Fault{Status: 503})
		id := b.queue.Add(jobs.Submission{Timeout: "10m"})
		job := b.reach(id, jobs.StatusSucceeded)
		if len(job.Attempts) != 1 {
			t.Errorf("it took %d attempts", len(job.Attempts))
		}
	})
}

func TestWorkerSendsProgressOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(ctx context.Context, task *jobs.Task) (jobs.Output, error) {
			for i := range 100 {
				task.Progress(float64(i+1), fmt.Sprintf("step %d", i+1))
				time.Sleep(50 * time.Millisecond)
			}
			return jobs.Output{}, nil
		}, nil)
		defer b.end()
		id := b.queue.Add(jobs.Submission{})
		job := b.reach(id, jobs.StatusSucceeded)
		if calls := b.queue.Calls("heartbeat"); calls < 4 || calls > 6 {
			t.Errorf("%d heartbeats in 5 s", calls)
		}
		if job.Progress == nil || job.Progress.Percent < 80 || job.Progress.Message == "" {
			t.Errorf("progress is %+v", job.Progress)
		}
	})
}

func TestWorkerRunsAsManyAsItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		now, most := 0, 0
		b := start(t, func(context.Context, *jobs.Task) (jobs.Output, error) {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			now--
			mu.Unlock()
			return jobs.Output{}, nil
		}, func(w *jobs.Worker) { w.Concurrency = 5 })
		defer b.end()
		var ids []string
		for range 50 {
			ids = append(ids, b.queue.Add(jobs.Submission{}))
		}
		began := time.Now()
		for _, id := range ids {
			b.reach(id, jobs.StatusSucceeded)
		}
		if took := time.Since(began); most != 5 || took > 15*time.Second {
			t.Errorf("at most %d ran at once, and all took %s", most, took)
		}
	})
}
