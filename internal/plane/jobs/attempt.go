package jobs

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// Bounds of what workers say.
const (
	maxError    = 4096
	maxReason   = 63
	maxProgress = 1024
	// maxRetryAfter bounds how long a worker may put the next attempt off.
	maxRetryAfter = 24 * time.Hour
)

type heartbeatInput struct {
	ID   string `path:"id" maxLength:"64"`
	Body jobs.HeartbeatRequest
}

type heartbeatOutput struct {
	Body jobs.HeartbeatReply
}

type completeInput struct {
	ID          string `path:"id" maxLength:"64"`
	ContentType string `header:"Content-Type"`
	RawBody     []byte `contentType:"application/json"`
}

type failInput struct {
	ID   string `path:"id" maxLength:"64"`
	Body jobs.FailRequest
}

type releaseInput struct {
	ID   string `path:"id" maxLength:"64"`
	Body jobs.ReleaseRequest
}

func (q *Queue) attempt(verb, summary, description string) huma.Operation {
	return huma.Operation{
		OperationID: verb, Method: http.MethodPost, Path: "/v1/jobs/{id}:" + verb, Summary: summary, Tags: []string{"work"},
		Description:  description + " 409 with lease-lost when the lease is over: stop, and throw away what was done.",
		MaxBodyBytes: 16 << 10, Errors: []int{400, 401, 403, 404, 409, 413, 415, 503},
	}
}

func (q *Queue) registerAttempt() {
	huma.Register(q.plane.API, q.attempt("heartbeat", "Keep a lease", "Prolongs the lease, notes progress, and tells whether to stop."), q.heartbeat)
	huma.Register(q.plane.API, q.attempt("fail", "End a lease with an error", "The job is tried again, or is dead, as the queue's retry says; again with the same token, the answer is the same."), q.fail)
	release := q.attempt("release", "Hand a job back", "The attempt does not count, and the job is due again.")
	release.DefaultStatus = http.StatusNoContent
	huma.Register(q.plane.API, release, q.release)
	complete := q.attempt("complete", "End a lease with a result", "The job has succeeded; again with the same token, the answer is the same. "+
		"413 with result-too-large leaves the lease as it is: complete the job with less, or fail it.")
	complete.MaxBodyBytes, complete.BodyReadTimeout = q.plane.Config.HTTP.MaxBodyBytes, plane.BodyTimeout
	complete.SkipValidateBody, complete.RequestBody = true, bodyOf[jobs.CompleteRequest](q, "CompleteRequest")
	huma.Register(q.plane.API, complete, q.complete)
}

func (q *Queue) heartbeat(ctx context.Context, in *heartbeatInput) (*heartbeatOutput, error) {
	if problem := needJob(ctx, in.ID, plane.RightWork); problem != nil {
		return nil, problem
	}
	now := q.now()
	if p := in.Body.Progress; p != nil {
		p.Message, p.At = clean(p.Message, maxProgress), now
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	expires, cancelled, err := q.store.Extend(ctx, now, Claim{in.ID, in.Body.Token}, in.Body.Progress)
	if err != nil {
		return nil, plane.Fail(ctx, q.problem("heartbeat", err))
	}
	return &heartbeatOutput{Body: jobs.HeartbeatReply{ExpiresAt: expires, Cancelled: cancelled}}, nil
}

// clean makes text of a worker fit to be shown: without control characters but line breaks and tabs, and not too long.
func clean(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	return text
}

func (q *Queue) complete(ctx context.Context, in *completeInput) (*jobOutput, error) {
	if problem := needJob(ctx, in.ID, plane.RightWork); problem != nil {
		return nil, problem
	}
	var r jobs.CompleteRequest
	if problem := decode(in.ContentType, in.RawBody, &r); problem != nil {
		return nil, problem
	}
	result, problem := q.live.Load().result("body", r)
	if problem != nil {
		return nil, problem
	}
	results, err := q.completes.do(ctx, Completion{Claim{in.ID, r.Token}, result})
	if err == nil {
		err = results[0].Err
	}
	if err != nil {
		return nil, plane.Fail(ctx, q.problem("complete", err))
	}
	q.metrics.ended(results[0].Job)
	return answerJob(results[0].Job, false), nil
}

// completeNow is one call of the store.
func (q *Queue) completeNow(ctx context.Context, batch []Completion) ([]CompleteResult, error) {
	return q.store.Complete(ctx, q.now(), batch)
}

// result checks what a job came to. at is where a problem says that it is.
func (l *live) result(at string, r jobs.CompleteRequest) (Body, *plane.Problem) {
	f := faultsAt(at)
	out := Body{ContentType: typeJSON, Data: compact(r.Value)}
	switch {
	case r.Value != nil && r.Base64 != nil:
		f.Add("base64", "and value exclude each other: send JSON as value, or bytes as base64")
	case r.Base64 != nil:
		out = Body{ContentType: r.ContentType, Data: r.Base64}
		if out.ContentType == "" {
			out.ContentType = typeBytes
		}
		f.MediaType("contentType", r.ContentType)
		f.asItSays("base64", out)
	case r.ContentType != "" && r.ContentType != typeJSON:
		f.Add("contentType", "goes with base64; a value is application/json")
	}
	if limit := l.cfg.Limits.ResultBytes; int64(len(out.Data)) > limit {
		f.payload = problemResult(len(out.Data), limit)
	}
	return out, f.problem()
}

func (q *Queue) fail(ctx context.Context, in *failInput) (*jobOutput, error) {
	if problem := needJob(ctx, in.ID, plane.RightWork); problem != nil {
		return nil, problem
	}
	f := Failure{Outcome: jobs.OutcomeFailed, Reason: clean(in.Body.Reason, maxReason), Error: clean(in.Body.Error, maxError), Permanent: in.Body.Permanent}
	switch f.Reason {
	case reasonTimeout:
		f.Outcome = jobs.OutcomeTimeout
	case reasonCancelled:
		f.Outcome = jobs.OutcomeCancelled
	}
	if text := in.Body.RetryAfter; text != "" {
		var err error
		if f.RetryAfter, err = time.ParseDuration(text); err != nil || f.RetryAfter < 0 || f.RetryAfter > maxRetryAfter {
			return nil, plane.Invalid("retryAfter must be a duration such as 30s, at most 24h", plane.ProblemError{Location: "body.retryAfter", Message: "not a duration up to 24h"})
		}
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	job, err := q.store.Fail(ctx, q.now(), Claim{in.ID, in.Body.Token}, f)
	if err != nil {
		return nil, plane.Fail(ctx, q.problem("fail", err))
	}
	q.metrics.failed(job)
	return answerJob(job, false), nil
}

func (q *Queue) release(ctx context.Context, in *releaseInput) (*struct{}, error) {
	if problem := needJob(ctx, in.ID, plane.RightWork); problem != nil {
		return nil, problem
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	if err := q.store.Release(ctx, q.now(), Claim{in.ID, in.Body.Token}); err != nil {
		return nil, plane.Fail(ctx, q.problem("release", err))
	}
	return nil, nil
}
