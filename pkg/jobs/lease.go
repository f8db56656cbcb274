package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"mime"
	"net/http"
	"time"
)

// Lease asks for jobs to run. The reply may be empty; with a Wait it comes when there is a job, or after the wait.
func (c *Client) Lease(ctx context.Context, r LeaseRequest) (LeaseReply, error) {
	wait, _ := time.ParseDuration(r.Wait) // the queue says what is wrong with it
	var out LeaseReply
	err := c.do(ctx, call{method: http.MethodPost, path: "/v1/jobs:lease", in: r, out: &out, wait: wait, safe: true})
	return out, err
}

// Heartbeat extends a lease, carries progress, and is told whether to stop.
func (c *Client) Heartbeat(ctx context.Context, id string, r HeartbeatRequest) (HeartbeatReply, error) {
	if r.Progress != nil {
		p := *r.Progress
		p.Percent = min(max(p.Percent, 0), 100)
		p.Message = clean(p.Message, maxProgressMessage)
		r.Progress = &p
	}
	var out HeartbeatReply
	return out, c.attempt(ctx, id, ":heartbeat", r, &out)
}

// Complete ends an attempt with a result.
func (c *Client) Complete(ctx context.Context, id string, r CompleteRequest) error {
	return c.attempt(ctx, id, ":complete", r, nil)
}

// CompleteBatch ends up to 1,000 attempts with results. What became of each is in the reply; an error says that the whole was refused.
func (c *Client) CompleteBatch(ctx context.Context, b CompleteBatch) (CompleteBatchReply, error) {
	var out CompleteBatchReply
	err := c.do(ctx, call{method: http.MethodPost, path: "/v1/jobs:complete", in: b, out: &out, safe: true})
	return out, err
}

// Fail ends an attempt with an error. Its text and its RetryAfter are cut to what the queue takes.
func (c *Client) Fail(ctx context.Context, id string, r FailRequest) error {
	r.Error = cmp.Or(clean(r.Error, maxErrorText), "it failed and did not say why")
	r.Reason = clean(r.Reason, maxReason)
	if d, err := time.ParseDuration(r.RetryAfter); err == nil && d > maxFailRetryAfter {
		r.RetryAfter = maxFailRetryAfter.String()
	}
	return c.attempt(ctx, id, ":fail", r, nil)
}

// Release hands a job back; the attempt does not count.
func (c *Client) Release(ctx context.Context, id string, r ReleaseRequest) error {
	return c.attempt(ctx, id, ":release", r, nil)
}

// What the contract bounds these texts to.
const (
	maxProgressMessage = 1024
	maxErrorText       = 4096
	maxReason          = 63
	maxFailRetryAfter  = 24 * time.Hour
)

func (c *Client) attempt(ctx context.Context, id, verb string, in, out any) error {
	return c.do(ctx, call{method: http.MethodPost, path: jobPath(id, verb), in: in, out: out, safe: true})
}

// Data is the payload's bytes: the JSON, or the bytes of ContentType.
func (l Lease) Data() []byte {
	if len(l.PayloadBase64) > 0 {
		return l.PayloadBase64
	}
	return l.Payload
}

// Output is what a job came to. The zero Output is a job without a result.
type Output struct {
	// ContentType of Data; application/octet-stream by default.
	ContentType string
	Data        []byte
}

// JSON makes an Output of v.
func JSON(v any) (Output, error) {
	data, err := json.Marshal(v)
	return Output{ContentType: "application/json", Data: data}, err
}

func (o Output) request(token int64) CompleteRequest {
	r := CompleteRequest{Token: token}
	switch kind, _, _ := mime.ParseMediaType(o.ContentType); {
	case len(o.Data) == 0:
	case kind == "application/json" && json.Valid(o.Data):
		r.Value = o.Data
	default:
		r.Base64, r.ContentType = o.Data, cmp.Or(o.ContentType, "application/octet-stream")
	}
	return r
}
