package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

// contract is a JobQueue over HTTP.
type contract struct {
	base, token string
	http        *http.Client
}

func openContract(t Target) *contract {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost, transport.DisableCompression = 1000, true
	return &contract{base: t.URL, token: t.Token, http: &http.Client{Transport: transport}}
}

func (c *contract) close() { c.http.CloseIdleConnections() }

func (c *contract) post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusMultipleChoices || resp.StatusCode == http.StatusMultiStatus {
		return fmt.Errorf("POST %s: %s: %.300s", path, resp.Status, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

func (c *contract) submit(ctx context.Context, tasks ...task) error {
	if len(tasks) == 1 {
		return c.post(ctx, "/v1/jobs", jobs.Submission{Payload: tasks[0].encode()}, nil)
	}
	var b jobs.Batch
	for _, t := range tasks {
		b.Jobs = append(b.Jobs, jobs.Submission{Payload: t.encode()})
	}
	return c.post(ctx, "/v1/jobs:batch", b, nil)
}

// work has the worker of pkg/jobs run them, as a program in Go would.
func (c *contract) work(ctx context.Context, atOnce int, started func(task), completed func()) error {
	client, err := jobs.NewClient(jobs.Options{URL: c.base, Token: jobs.StaticToken(c.token)})
	if err != nil {
		return err
	}
	defer client.CloseIdle()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	worker := &jobs.Worker{
		Client: client, Name: "bench", Concurrency: atOnce, Log: quiet(),
		Handler: func(_ context.Context, t *jobs.Task) (jobs.Output, error) {
			var run task
			if err := json.Unmarshal(t.Data(), &run); err != nil {
				return jobs.Output{}, err
			}
			started(run)
			return jobs.Output{}, nil
		},
		Hooks: jobs.Hooks{
			Ended: func(l jobs.Lease, outcome jobs.Outcome, _ time.Duration) {
				if outcome != jobs.OutcomeSucceeded {
					cancel(fmt.Errorf("job %s has %s", l.Job.ID, outcome))
					return
				}
				completed()
			},
			Queue: func(err error) {
				if err != nil {
					cancel(fmt.Errorf("lease: %w", err))
				}
			},
		},
	}
	if err := worker.Run(ctx); err != nil {
		return err
	}
	return context.Cause(ctx)
}
