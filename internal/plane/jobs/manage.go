package jobs

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

type idInput struct {
	ID string `path:"id" maxLength:"64"`
}

func (q *Queue) registerManage() {
	operation := func(verb, summary, description string) huma.Operation {
		return huma.Operation{
			OperationID: verb, Method: http.MethodPost, Path: "/v1/jobs/{id}:" + verb, Summary: summary, Description: description,
			Tags: []string{"jobs"}, Errors: []int{400, 401, 403, 404, 409, 503},
		}
	}
	huma.Register(q.plane.API, operation("cancel", "Cancel a job",
		"One that waits ends at once. Of one that runs, the worker is told with its next heartbeat, and it is fenced when its lease ends."),
		func(ctx context.Context, in *idInput) (*jobOutput, error) {
			return q.change(ctx, "cancel", in.ID, q.store.Cancel)
		})
	huma.Register(q.plane.API, operation("retry", "Try a job again",
		"A dead or cancelled job starts anew, with all its attempts; one that waits for its time or its next attempt starts at once."),
		func(ctx context.Context, in *idInput) (*jobOutput, error) {
			return q.change(ctx, "retry", in.ID, q.store.Retry)
		})
	huma.Register(q.plane.API, huma.Operation{
		OperationID: "delete-job", Method: http.MethodDelete, Path: "/v1/jobs/{id}", Summary: "Forget a job", Tags: []string{"jobs"},
		Description: "A job that runs is to be cancelled first.", DefaultStatus: http.StatusNoContent, Errors: []int{400, 401, 403, 404, 409, 503},
	}, q.forget)
}

func (q *Queue) change(ctx context.Context, verb, id string, do func(context.Context, time.Time, string) (jobs.Job, error)) (*jobOutput, error) {
	if problem := needJob(ctx, id, plane.RightManage); problem != nil {
		return nil, problem
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	job, err := do(ctx, q.now(), id)
	if err != nil {
		return nil, plane.Fail(ctx, q.problem(verb, err))
	}
	return answerJob(job, false), nil
}

func (q *Queue) forget(ctx context.Context, in *idInput) (*struct{}, error) {
	if problem := needJob(ctx, in.ID, plane.RightManage); problem != nil {
		return nil, problem
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	if err := q.store.Delete(ctx, in.ID); err != nil {
		return nil, plane.Fail(ctx, q.problem("delete", err))
	}
	return nil, nil
}

type redriveInput struct {
	Body jobs.RedriveRequest `required:"false"`
}

type redriveOutput struct {
	Body jobs.RedriveReply
}

func (q *Queue) registerRedrive() {
	huma.Register(q.plane.API, huma.Operation{
		OperationID: "redrive", Method: http.MethodPost, Path: "/v1/dead:redrive", Summary: "Bring dead jobs back", Tags: []string{"dead"},
		Description:  "Those that match start anew, the oldest first, with all their attempts; perSecond spreads their starts.",
		MaxBodyBytes: 16 << 10, Errors: []int{400, 401, 403, 413, 415, 503},
	}, q.redrive)
}

func (q *Queue) redrive(ctx context.Context, in *redriveInput) (*redriveOutput, error) {
	if problem := need(ctx, plane.RightManage); problem != nil {
		return nil, problem
	}
	f := faultsAt("body")
	f.filter(in.Body.Filter)
	if s := in.Body.Status; s != "" && s != jobs.StatusDead {
		f.Add("status", "must be dead or left out: only dead jobs are redriven")
	}
	if problem := f.problem(); problem != nil {
		return nil, problem
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	n, err := q.store.Redrive(ctx, q.now(), in.Body)
	if err != nil {
		return nil, plane.Fail(ctx, q.problem("redrive", err))
	}
	return &redriveOutput{Body: jobs.RedriveReply{Redriven: n}}, nil
}

func (q *Queue) registerPause() {
	for verb, paused := range map[string]bool{"pause": true, "resume": false} {
		summary := "Hand jobs out again"
		if paused {
			summary = "Hand out no jobs"
		}
		huma.Register(q.plane.API, huma.Operation{
			OperationID: verb, Method: http.MethodPost, Path: "/v1/queue:" + verb, Summary: summary, Tags: []string{"queue"},
			Description:   "Counts for all replicas, and outlives them. Jobs are accepted all the same, and those that run go on.",
			DefaultStatus: http.StatusNoContent, Errors: []int{401, 403, 503},
		}, func(ctx context.Context, _ *struct{}) (*struct{}, error) { return nil, q.setPaused(ctx, paused) })
	}
}

func (q *Queue) setPaused(ctx context.Context, paused bool) error {
	if problem := need(ctx, plane.RightManage); problem != nil {
		return problem
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	if err := q.store.SetPaused(ctx, paused); err != nil {
		return plane.Fail(ctx, q.problem("pause", err))
	}
	q.desk.due()
	return nil
}
