package jobs

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// maxBatch bounds the jobs of one request.
const maxBatch = 1000

type submitInput struct {
	Key         string `header:"Idempotency-Key" maxLength:"255" doc:"A key of your own: a job submitted again under the same key, with the same content, is the same job for as long as that is kept."`
	ContentType string `header:"Content-Type"`
	RawBody     []byte `contentType:"application/json"`
}

type submitOutput struct {
	Location string `header:"Location"`
	Replayed string `header:"Idempotent-Replayed"`
	Body     jobs.Accepted
}

func (q *Queue) registerSubmit() {
	huma.Register(q.plane.API, huma.Operation{
		OperationID: "submit", Method: http.MethodPost, Path: "/v1/jobs", Summary: "Submit a job", Tags: []string{"jobs"},
		Description: "Acknowledged with 202 once the engine has stored it: from then on it ends exactly once, as succeeded, dead or cancelled. " +
			"Try again with the same Idempotency-Key where there was no answer: it is not accepted twice.",
		DefaultStatus: http.StatusAccepted, MaxBodyBytes: q.plane.Config.HTTP.MaxBodyBytes, BodyReadTimeout: plane.BodyTimeout,
		// The body is read strictly and once, without a generic copy of the payload.
		SkipValidateBody: true, RequestBody: bodyOf[jobs.Submission](q, "Submission"),
		Errors: []int{400, 401, 403, 413, 415, 422, 503},
	}, q.submit)
}

// bodyOf describes a body that a handler decodes by itself.
func bodyOf[T any](q *Queue, name string) *huma.RequestBody {
	schema := q.plane.API.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, name)
	return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{typeJSON: {Schema: schema}}}
}

func (q *Queue) submit(ctx context.Context, in *submitInput) (*submitOutput, error) {
	if problem := need(ctx, plane.RightSubmit); problem != nil {
		return nil, problem
	}
	var s jobs.Submission
	if problem := decode(in.ContentType, in.RawBody, &s); problem != nil {
		return nil, problem
	}
	if s.IdempotencyKey == "" {
		s.IdempotencyKey = in.Key
	}
	job, problem := q.live.Load().newJob("body", s, q.now())
	if problem != nil {
		return nil, problem
	}
	results, problem := q.accept(ctx, job)
	if problem != nil {
		return nil, plane.Fail(ctx, problem)
	}
	if err := results[0].Err; err != nil {
		return nil, plane.Fail(ctx, q.problem("submit", err))
	}
	out := &submitOutput{Location: "/v1/jobs/" + results[0].ID, Body: results[0].Accepted}
	if results[0].Existing {
		out.Replayed = "true"
	}
	return out, nil
}

// accept stores checked jobs, in their order.
func (q *Queue) accept(ctx context.Context, batch ...NewJob) ([]SubmitResult, *plane.Problem) {
	if !q.enter() {
		q.metrics.refused.WithLabelValues("draining").Add(float64(len(batch)))
		return nil, problemDraining()
	}
	defer q.leave()
	trace := plane.TraceParent(ctx)
	for i := range batch {
		batch[i].ID = q.newID()
		if batch[i].TraceParent == "" {
			batch[i].TraceParent = trace
		}
	}
	results, err := q.submits.do(ctx, batch...)
	if err != nil {
		return nil, q.problem("submit", err)
	}
	for _, r := range results {
		q.metrics.submitted(r)
	}
	return results, nil
}

// submitNow is one call of the store. Where workers wait, it hands out as well.
func (q *Queue) submitNow(ctx context.Context, batch []NewJob) ([]SubmitResult, error) {
	now := q.now()
	store, hands := q.store.(Handing)
	if !hands || q.live.Load().cfg.Paused {
		return q.store.Submit(ctx, now, batch)
	}
	group, news := q.desk.takeFor(batch)
	if len(group) == 0 {
		return q.store.Submit(ctx, now, batch)
	}
	results, leased, err := store.SubmitAndLease(ctx, now, batch, queriesOf(group))
	if err != nil || len(leased) != len(group) {
		// They go on waiting: what comes of it is told by the store's changes.
		leased = make([][]Leased, len(group))
	}
	q.started(now, leased)
	q.desk.giveBack(q.desk.answer(group, news, leased, nil))
	// What became due meanwhile was not looked at for those that were asked for.
	poke(q.desk.wake)
	return results, err
}

// decode reads a body of JSON strictly.
func decode(contentType string, body []byte, into any) *plane.Problem {
	if contentType != "" {
		if media, _, err := mime.ParseMediaType(contentType); err != nil || media != typeJSON {
			return plane.NewProblem(http.StatusUnsupportedMediaType, "unsupported-media-type", "The request's body is of a type not understood here",
				"send Content-Type: application/json")
		}
	}
	return plane.DecodeStrict(body, into)
}

type batchInput struct {
	ContentType string `header:"Content-Type"`
	RawBody     []byte `contentType:"application/json"`
}

type batchOutput struct {
	Status int
	Body   jobs.BatchReply
}

func (q *Queue) registerBatch() {
	huma.Register(q.plane.API, huma.Operation{
		OperationID: "submit-batch", Method: http.MethodPost, Path: "/v1/jobs:batch", Summary: "Submit up to 1,000 jobs", Tags: []string{"jobs"},
		Description: "results[i] says what became of jobs[i]: its id, or the problem why it was not accepted; the others are accepted all the same, in their order. " +
			"The status is 202 where all were accepted, and 207 where some were not.",
		DefaultStatus: http.StatusAccepted, MaxBodyBytes: q.plane.Config.HTTP.MaxBodyBytes, BodyReadTimeout: plane.BodyTimeout,
		SkipValidateBody: true, RequestBody: bodyOf[jobs.Batch](q, "Batch"),
		Errors: []int{400, 401, 403, 413, 415, 503},
	}, q.submitBatch)
}

func (q *Queue) submitBatch(ctx context.Context, in *batchInput) (*batchOutput, error) {
	if problem := need(ctx, plane.RightSubmit); problem != nil {
		return nil, problem
	}
	var batch jobs.Batch
	if problem := decode(in.ContentType, in.RawBody, &batch); problem != nil {
		return nil, problem
	}
	if len(batch.Jobs) == 0 || len(batch.Jobs) > maxBatch {
		return nil, plane.Invalid(fmt.Sprintf("jobs has 1 to %d members; send more in several requests", maxBatch))
	}
	out := &batchOutput{Status: http.StatusAccepted}
	out.Body.Results = make([]jobs.BatchResult, len(batch.Jobs))
	l, now := q.live.Load(), q.now()
	var checked []NewJob
	var places []int
	for i, s := range batch.Jobs {
		job, problem := l.newJob(fmt.Sprintf("body.jobs[%d]", i), s, now)
		if problem != nil {
			out.refuse(i, problem)
			continue
		}
		checked, places = append(checked, job), append(places, i)
	}
	if len(checked) == 0 {
		return out, nil
	}
	results, problem := q.accept(ctx, checked...)
	if problem != nil {
		return nil, plane.Fail(ctx, problem)
	}
	for i, r := range results {
		if r.Err != nil {
			out.refuse(places[i], q.problem("submit", r.Err))
			continue
		}
		out.Body.Results[places[i]] = jobs.BatchResult{ID: r.ID, Status: r.Status, Existing: r.Existing}
	}
	return out, nil
}

func (o *batchOutput) refuse(i int, p *plane.Problem) {
	o.Status = http.StatusMultiStatus
	o.Body.Results[i].Problem = refusal(p)
}

// refusal is a problem within the answer to a batch.
func refusal(p *plane.Problem) *jobs.Refusal {
	return &jobs.Refusal{Type: p.Type, Title: p.Title, Status: p.Status, Detail: p.Detail, RetryAfter: p.RetryAfter}
}
