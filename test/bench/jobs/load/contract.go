package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

// leaseWait is how long a worker waits for the first job.
const leaseWait = "5s"

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

// work leases as many as there is room for, as the client of pkg/jobs does, and completes each by itself.
func (c *contract) work(ctx context.Context, atOnce int, started func(task), completed func()) error {
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	room := make(chan struct{}, atOnce)
	for range atOnce {
		room <- struct{}{}
	}
	for {
		free := takeAll(ctx, room)
		if free == 0 {
			return context.Cause(ctx)
		}
		var reply jobs.LeaseReply
		ask := jobs.LeaseRequest{Worker: "bench", Max: free, Wait: leaseWait}
		if err := c.post(ctx, "/v1/jobs:lease", ask, &reply); err != nil {
			return err
		}
		for range free - len(reply.Leases) {
			room <- struct{}{}
		}
		for _, l := range reply.Leases {
			running.Go(func() {
				defer func() { room <- struct{}{} }()
				if err := c.run(ctx, l, started); err != nil {
					cancel(err)
					return
				}
				completed()
			})
		}
	}
}

func (c *contract) run(ctx context.Context, l jobs.Lease, started func(task)) error {
	var t task
	if err := json.Unmarshal(l.Payload, &t); err != nil {
		return fmt.Errorf("read the payload: %w", err)
	}
	started(t)
	return c.post(ctx, "/v1/jobs/"+l.Job.ID+":complete", jobs.CompleteRequest{Token: l.Token}, nil)
}

// takeAll waits for the first one and takes what is there besides, at most as much as one lease asks for.
func takeAll(ctx context.Context, room <-chan struct{}) int {
	const most = 100
	select {
	case <-room:
	case <-ctx.Done():
		return 0
	}
	for n := 1; n < most; n++ {
		select {
		case <-room:
		default:
			return n
		}
	}
	return most
}
