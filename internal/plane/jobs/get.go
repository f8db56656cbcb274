package jobs

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// maxWait bounds a waiting request.
const maxWait = 60 * time.Second

type getInput struct {
	ID          string `path:"id" maxLength:"64"`
	Wait        string `query:"wait" maxLength:"16" doc:"How long to wait for a change, at most 60s. A job at its end is answered at once."`
	Revision    int64  `query:"revision" minimum:"0" doc:"The revision that is known: the answer waits until it is another. Without it and If-None-Match, the one of now."`
	IfNoneMatch string `header:"If-None-Match" maxLength:"128" doc:"The ETag that is known; the answer is 304 while it is the same."`
}

type jobOutput struct {
	Status       int
	ETag         string `header:"ETag"`
	CacheControl string `header:"Cache-Control"`
	Body         *jobs.Job
}

func (q *Queue) registerGet() {
	huma.Register(q.plane.API, huma.Operation{
		OperationID: "get-job", Method: http.MethodGet, Path: "/v1/jobs/{id}", Summary: "Look at a job", Tags: []string{"jobs"},
		Description: "With wait, the answer comes when the job changes: send the revision, or the ETag, of the answer before, and no change between two requests is missed. " +
			"Workers may look at jobs that run.",
		Errors: []int{400, 401, 403, 404, 503},
	}, q.get)
}

func (q *Queue) get(ctx context.Context, in *getInput) (*jobOutput, error) {
	if problem := needJob(ctx, in.ID, plane.RightRead, plane.RightWork); problem != nil {
		return nil, problem
	}
	wait, problem := parseWait("query.wait", in.Wait)
	if problem != nil {
		return nil, problem
	}
	known, conditional := in.Revision, false
	if known == 0 {
		known, conditional = parseETag(in.IfNoneMatch)
	}
	job, err := q.awaitChange(ctx, in.ID, known, wait)
	if err != nil {
		return nil, plane.Fail(ctx, q.problem("get", err))
	}
	if !plane.IdentityOf(ctx).Grant.Has(plane.RightRead) && job.Status != jobs.StatusRunning {
		return nil, problemForbidden(plane.RightRead)
	}
	return answerJob(job, conditional && job.Revision == known), nil
}

func answerJob(job jobs.Job, same bool) *jobOutput {
	out := &jobOutput{Status: http.StatusOK, ETag: `"` + strconv.FormatInt(job.Revision, 10) + `"`, CacheControl: "private, no-cache"}
	if same {
		out.Status = http.StatusNotModified
		return out
	}
	out.Body = &job
	return out
}

// parseETag reads a revision from If-None-Match.
func parseETag(text string) (revision int64, ok bool) {
	text = strings.TrimPrefix(strings.TrimSpace(text), "W/")
	n, err := strconv.ParseInt(strings.Trim(text, `"`), 10, 64)
	return max(n, 0), err == nil && n > 0
}

// parseWait reads how long to wait; nothing is no time.
func parseWait(at, text string) (time.Duration, *plane.Problem) {
	if text == "" {
		return 0, nil
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait < 0 || wait > maxWait {
		return 0, plane.Invalid("wait must be a duration such as 30s, at most 60s", plane.ProblemError{Location: at, Message: "not a duration up to 60s"})
	}
	return wait, nil
}

// awaitChange returns the job once its revision is not the known one, it is at its end, or the time is over. known 0 is
// the revision of now.
func (q *Queue) awaitChange(ctx context.Context, id string, known int64, wait time.Duration) (jobs.Job, error) {
	// Before the first look, so that no change falls between that and the wait.
	changed, end := q.watchers.watch(id)
	defer end()
	job, err := q.read(ctx, id)
	if known == 0 {
		known = job.Revision
	}
	if err != nil || wait <= 0 || job.Revision != known || job.Status.Terminal() {
		return job, err
	}
	release, problem := q.held.hold(ctx, labelPoll)
	if problem != nil {
		return job, problem
	}
	defer release()
	defer plane.AnswerLater(ctx)
	timer := q.clock.NewTimer(wait)
	defer timer.Stop()
	for job.Revision == known {
		select {
		case <-changed:
		case <-timer.C():
			return q.read(ctx, id)
		case <-q.held.draining:
			return job, nil
		case <-ctx.Done():
			return job, ctx.Err()
		}
		if job, err = q.looks.get(ctx, id); err != nil {
			return job, err
		}
	}
	return job, nil
}

// read gets a job from the store.
func (q *Queue) read(ctx context.Context, id string) (jobs.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	return q.store.Get(ctx, id)
}
