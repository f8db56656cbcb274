package jobs_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trellis-dev/trellis/pkg/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs/jobstest"
)

// once is a worker for one job, and how often its handler was called.
func once(t *testing.T, handler jobs.Handler) (*jobstest.Queue, *jobs.Worker, *int) {
	t.Helper()
	queue, calls := jobstest.New(jobstest.Options{LeaseTTL: 30 * time.Second}), 0
	client, err := queue.Client()
	if err != nil {
		t.Fatal(err)
	}
	counted := func(ctx context.Context, task *jobs.Task) (jobs.Output, error) {
		calls++
		return handler(ctx, task)
	}
	return queue, &jobs.Worker{Client: client, Name: "w", Handler: counted, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}, &calls
}

func TestRunOneRunsOneOfSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue, w, calls := once(t, func(context.Context, *jobs.Task) (jobs.Output, error) { return jobs.JSON(1) })
		first, second := queue.Add(jobs.Submission{}), queue.Add(jobs.Submission{})
		ran, err := w.RunOne(t.Context(), time.Minute)
		if !ran || err != nil || *calls != 1 {
			t.Fatalf("it ran %v, %d calls, error %v", ran, *calls, err)
		}
		if a, b := queue.Job(first).Status, queue.Job(second).Status; a != jobs.StatusSucceeded || b != jobs.StatusQueued {
			t.Errorf("the jobs are %s and %s", a, b)
		}
	})
}

// TestRunOneWaits for the job that comes late, through a queue that is away for a while.
func TestRunOneWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue, w, _ := once(t, func(context.Context, *jobs.Task) (jobs.Output, error) { return jobs.JSON(1) })
		queue.Away(true)
		id := make(chan string, 1)
		time.AfterFunc(5*time.Second, func() { queue.Away(false) })
		time.AfterFunc(40*time.Second, func() { id <- queue.Add(jobs.Submission{}) })
		if ran, err := w.RunOne(t.Context(), time.Minute); !ran || err != nil || queue.Job(<-id).Status != jobs.StatusSucceeded {
			t.Errorf("it ran %v, error %v", ran, err)
		}
	})
}

func TestRunOneGivesUp(t *testing.T) {
	for name, away := range map[string]bool{"without a job": false, "without a queue": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				queue, w, calls := once(t, untilEnded)
				queue.Away(away)
				began := time.Now()
				ran, err := w.RunOne(t.Context(), time.Minute)
				if ran || (err != nil) != away || *calls != 0 {
					t.Errorf("it ran %v, error %v", ran, err)
				}
				if took := time.Since(began); took < 30*time.Second || took > time.Minute {
					t.Errorf("it waited %s", took)
				}
				if n := queue.Calls("lease"); n > 40 {
					t.Errorf("it asked %d times", n)
				}
			})
		})
	}
}

// TestRunOneReportsWhatFailed: that is no error of the worker.
func TestRunOneReportsWhatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue, w, _ := once(t, func(context.Context, *jobs.Task) (jobs.Output, error) {
			return jobs.Output{}, &jobs.Failure{Err: io.ErrUnexpectedEOF, Permanent: true}
		})
		id := queue.Add(jobs.Submission{})
		ran, err := w.RunOne(t.Context(), time.Minute)
		if !ran || err != nil || queue.Job(id).Status != jobs.StatusDead {
			t.Errorf("it ran %v, error %v, the job is %s", ran, err, queue.Job(id).Status)
		}
	})
}

// TestRunOneHandsBack what did not end within the grace.
func TestRunOneHandsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue, w, _ := once(t, untilEnded)
		w.Grace = 20 * time.Second
		id := queue.Add(jobs.Submission{})
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, stop)
		began := time.Now()
		ran, err := w.RunOne(ctx, time.Minute)
		if job := queue.Job(id); !ran || err != nil || job.Status != jobs.StatusQueued || job.Attempt != 0 {
			t.Errorf("it ran %v, error %v, the job is %+v", ran, err, job)
		}
		if took := time.Since(began); took != 25*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// TestRunOneIsStopped while it waits.
func TestRunOneIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, w, _ := once(t, untilEnded)
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, stop)
		if ran, err := w.RunOne(ctx, time.Minute); ran || err != nil {
			t.Errorf("it ran %v, error %v", ran, err)
		}
	})
}
