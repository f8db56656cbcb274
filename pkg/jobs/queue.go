package jobs

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Submit has the queue accept a job; what it returns without an error is durable. With an IdempotencyKey it is
// tried again until the queue has answered, and made once.
func (c *Client) Submit(ctx context.Context, s Submission) (Accepted, error) {
	header := http.Header{}
	if s.IdempotencyKey != "" {
		header.Set("Idempotency-Key", s.IdempotencyKey)
	}
	k := call{method: http.MethodPost, path: "/v1/jobs", header: header, safe: s.IdempotencyKey != ""}
	s.IdempotencyKey = ""
	var out Accepted
	k.in, k.out = s, &out
	return out, c.do(ctx, k)
}

// SubmitBatch has the queue accept up to 1,000 jobs, all that it can: the i-th result is that of the i-th
// submission. It is tried again where every submission has an IdempotencyKey.
func (c *Client) SubmitBatch(ctx context.Context, batch []Submission) ([]BatchResult, error) {
	safe := true
	for _, s := range batch {
		safe = safe && s.IdempotencyKey != ""
	}
	var out BatchReply
	err := c.do(ctx, call{method: http.MethodPost, path: "/v1/jobs:batch", in: Batch{Jobs: batch}, out: &out, safe: safe})
	return out.Results, err
}

// Get returns a job as it is.
func (c *Client) Get(ctx context.Context, id string) (Job, error) { return c.GetChanged(ctx, id, 0, 0) }

// GetChanged returns a job when its revision is not the known one any more, when it is at its end, or when the wait, 60s at
// most, is over. A known of 0 is the revision that the job has now.
func (c *Client) GetChanged(ctx context.Context, id string, known int64, wait time.Duration) (Job, error) {
	query := url.Values{}
	if wait > 0 {
		query.Set("wait", wait.String())
	}
	if known > 0 {
		query.Set("revision", strconv.FormatInt(known, 10))
	}
	var out Job
	err := c.do(ctx, call{method: http.MethodGet, path: jobPath(id, ""), query: query, out: &out, wait: wait, safe: true})
	return out, err
}

// Wait returns the job when it is at its end, or the last that was seen of it with an error when ctx ends.
func (c *Client) Wait(ctx context.Context, id string) (Job, error) {
	var last Job
	for job, err := range c.Watch(ctx, id) {
		if err != nil {
			return last, err
		}
		last = job
	}
	return last, nil
}

// List yields the jobs that match, the newest first, without attempts and results; it asks for a further page when the
// one before was read. After an error it yields that and ends.
func (c *Client) List(ctx context.Context, f Filter) iter.Seq2[Job, error] {
	return c.pages(ctx, "/v1/jobs", f)
}

// Dead yields the dead jobs that match, as List does; the filter's status is left out.
func (c *Client) Dead(ctx context.Context, f Filter) iter.Seq2[Job, error] {
	f.Status = ""
	return c.pages(ctx, "/v1/dead", f)
}

func (c *Client) pages(ctx context.Context, path string, f Filter) iter.Seq2[Job, error] {
	return func(yield func(Job, error) bool) {
		query := filterQuery(f)
		for {
			var page Page
			if err := c.do(ctx, call{method: http.MethodGet, path: path, query: query, out: &page, safe: true}); err != nil {
				yield(Job{}, err)
				return
			}
			for _, job := range page.Jobs {
				if !yield(job, nil) {
					return
				}
			}
			if page.Cursor == "" {
				return
			}
			query.Set("cursor", page.Cursor)
		}
	}
}

func filterQuery(f Filter) url.Values {
	query := url.Values{}
	if f.Status != "" {
		query.Set("status", string(f.Status))
	}
	if f.Type != "" {
		query.Set("type", f.Type)
	}
	for k, v := range f.Metadata {
		query.Set("metadata."+k, v)
	}
	query.Set("limit", strconv.Itoa(pageSize))
	return query
}

// pageSize is how many jobs are asked for at once.
const pageSize = 100

// Cancel ends a job that waits at once, and asks the worker of one that runs to stop.
func (c *Client) Cancel(ctx context.Context, id string) (Job, error) {
	return c.change(ctx, id, ":cancel")
}

// Retry starts a dead or cancelled job anew, and one that waits at once.
func (c *Client) Retry(ctx context.Context, id string) (Job, error) {
	return c.change(ctx, id, ":retry")
}

func (c *Client) change(ctx context.Context, id, verb string) (Job, error) {
	var out Job
	err := c.do(ctx, call{method: http.MethodPost, path: jobPath(id, verb), out: &out})
	return out, err
}

// Delete forgets a job that does not run.
func (c *Client) Delete(ctx context.Context, id string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: jobPath(id, "")})
}

// Redrive starts dead jobs that match anew, the oldest first.
func (c *Client) Redrive(ctx context.Context, r RedriveRequest) (RedriveReply, error) {
	var out RedriveReply
	err := c.do(ctx, call{method: http.MethodPost, path: "/v1/dead:redrive", in: r, out: &out})
	return out, err
}

// Stats returns the numbers of the queue.
func (c *Client) Stats(ctx context.Context) (Stats, error) {
	var out Stats
	err := c.do(ctx, call{method: http.MethodGet, path: "/v1/stats", out: &out, safe: true})
	return out, err
}

// Pause has the queue hand no jobs out; it goes on to accept them.
func (c *Client) Pause(ctx context.Context) error {
	return c.do(ctx, call{method: http.MethodPost, path: "/v1/queue:pause", safe: true})
}

// Resume ends a pause.
func (c *Client) Resume(ctx context.Context) error {
	return c.do(ctx, call{method: http.MethodPost, path: "/v1/queue:resume", safe: true})
}

func jobPath(id, verb string) string { return "/v1/jobs/" + url.PathEscape(id) + verb }
