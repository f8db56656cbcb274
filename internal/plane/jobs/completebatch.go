package jobs

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

type completeBatchInput struct {
	ContentType string `header:"Content-Type"`
	RawBody     []byte `contentType:"application/json"`
}

type completeBatchOutput struct {
	Status int
	Body   jobs.CompleteBatchReply
}

func (q *Queue) registerCompleteBatch() {
	huma.Register(q.plane.API, huma.Operation{
		OperationID: "complete-batch", Method: http.MethodPost, Path: "/v1/jobs:complete", Summary: "End up to 1,000 leases with results", Tags: []string{"work"},
		Description: "results[i] says what became of jobs[i]: the job's status, or the problem that a completion of its own would have been refused with; the others are completed " +
			"all the same. The status is 200 where all were completed, and 207 where some were not. Again with the same tokens, the answer is the same.",
		MaxBodyBytes: q.plane.Config.HTTP.MaxBodyBytes, BodyReadTimeout: plane.BodyTimeout,
		SkipValidateBody: true, RequestBody: bodyOf[jobs.CompleteBatch](q, "CompleteBatch"),
		Errors: []int{400, 401, 403, 413, 415, 503},
	}, q.completeBatch)
}

func (q *Queue) completeBatch(ctx context.Context, in *completeBatchInput) (*completeBatchOutput, error) {
	if problem := need(ctx, plane.RightWork); problem != nil {
		return nil, problem
	}
	var batch jobs.CompleteBatch
	if problem := decode(in.ContentType, in.RawBody, &batch); problem != nil {
		return nil, problem
	}
	if len(batch.Jobs) == 0 || len(batch.Jobs) > maxBatch {
		return nil, plane.Invalid(fmt.Sprintf("jobs has 1 to %d members; send more in several requests", maxBatch))
	}
	out := &completeBatchOutput{Status: http.StatusOK}
	out.Body.Results = make([]jobs.Completed, len(batch.Jobs))
	l := q.live.Load()
	checked, places := make([]Completion, 0, len(batch.Jobs)), make([]int, 0, len(batch.Jobs))
	for i := range batch.Jobs {
		c, problem := l.completion(fmt.Sprintf("body.jobs[%d]", i), &batch.Jobs[i])
		out.Body.Results[i].ID = c.ID
		if problem != nil {
			out.refuse(i, problem)
			continue
		}
		checked, places = append(checked, c), append(places, i)
	}
	if len(checked) == 0 {
		return out, nil
	}
	results, err := q.completes.do(ctx, checked...)
	if err != nil {
		return nil, plane.Fail(ctx, q.problem("complete", err))
	}
	for i, r := range results {
		if r.Err != nil {
			out.refuse(places[i], q.problem("complete", r.Err))
			continue
		}
		q.metrics.ended(r.Job)
		out.Body.Results[places[i]].Status = r.Job.Status
	}
	return out, nil
}

// completion checks one of a batch. What is no id is not said again.
func (l *live) completion(at string, c *jobs.Completion) (Completion, *plane.Problem) {
	if !validID(c.ID) {
		return Completion{}, problemID()
	}
	result, problem := l.result(at, c.CompleteRequest)
	return Completion{Claim{c.ID, c.Token}, result}, problem
}

func (o *completeBatchOutput) refuse(i int, p *plane.Problem) {
	o.Status = http.StatusMultiStatus
	o.Body.Results[i].Problem = refusal(p)
}
