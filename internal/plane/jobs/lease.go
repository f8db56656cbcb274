package jobs

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

const (
	maxTypes = 32
	// leaseBytes bounds what the payloads of one answer may come to at worst.
	leaseBytes = 8 << 20
)

type leaseInput struct {
	Body jobs.LeaseRequest
}

type leaseOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         jobs.LeaseReply
}

func (q *Queue) registerLease() {
	huma.Register(q.plane.API, huma.Operation{
		OperationID: "lease", Method: http.MethodPost, Path: "/v1/jobs:lease", Summary: "Lease jobs to run", Tags: []string{"work"},
		Description: "Answers with up to max jobs that are due, and waits for the first one where wait says so. Each is this worker's until its lease ends: " +
			"a heartbeat prolongs it, complete, fail and release end it, all with its token. Who waits longest is served first.",
		MaxBodyBytes: 16 << 10, Errors: []int{400, 401, 403, 413, 415, 503},
	}, q.lease)
}

func (q *Queue) lease(ctx context.Context, in *leaseInput) (*leaseOutput, error) {
	if problem := need(ctx, plane.RightWork); problem != nil {
		return nil, problem
	}
	wait, problem := q.checkLease(&in.Body)
	if problem != nil {
		return nil, problem
	}
	if wait > 0 {
		release, problem := q.held.hold(ctx, labelLease)
		if problem != nil {
			return nil, problem
		}
		defer release()
		defer plane.AnswerLater(ctx)
	}
	query := LeaseQuery{Worker: in.Body.Worker, Max: in.Body.Max, Types: in.Body.Types}
	leased, sent, err := q.desk.lease(ctx, query, wait)
	plane.Afterwards(ctx, sent)
	if err != nil {
		return nil, plane.Fail(ctx, q.problem("lease", err))
	}
	out := &leaseOutput{CacheControl: "no-store", Body: jobs.LeaseReply{Leases: make([]jobs.Lease, len(leased))}}
	every := q.live.Load().heartbeatEvery().String()
	for i, l := range leased {
		out.Body.Leases[i] = leaseOf(l, every)
	}
	return out, nil
}

// checkLease checks a request, and puts its bounds in order.
func (q *Queue) checkLease(r *jobs.LeaseRequest) (wait time.Duration, problem *plane.Problem) {
	f := faultsAt("body")
	f.Text("worker", r.Worker, 253)
	if len(r.Types) > maxTypes {
		f.Add("types", "may have at most %d members", maxTypes)
	}
	for _, name := range r.Types {
		f.Text("types", name, maxType)
	}
	if problem := f.problem(); problem != nil {
		return 0, problem
	}
	largest := max(1, q.live.Load().cfg.Limits.PayloadBytes)
	r.Max = int(min(int64(max(1, r.Max)), max(1, leaseBytes/largest)))
	return parseWait("body.wait", r.Wait)
}

func leaseOf(l Leased, every string) jobs.Lease {
	out := jobs.Lease{
		Job: l.Job, ContentType: l.Payload.ContentType, Token: l.Token, ExpiresAt: l.Expires, HeartbeatEvery: every,
		DeadlineAt: l.Deadline, TraceParent: l.TraceParent,
	}
	if l.Payload.ContentType == typeJSON {
		out.Payload = l.Payload.Data
	} else {
		out.PayloadBase64 = l.Payload.Data
	}
	return out
}

// leaseNow is one call of the store.
func (q *Queue) leaseNow(ctx context.Context, now time.Time, queries []LeaseQuery) ([][]Leased, time.Time, error) {
	if q.live.Load().cfg.Paused {
		return make([][]Leased, len(queries)), time.Time{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	leased, again, err := q.store.Lease(ctx, now, queries)
	if err == nil && len(leased) != len(queries) {
		err = errors.New("the store answered for another number of requests")
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	q.started(now, leased)
	return leased, again, nil
}

// started notes what was handed out.
func (q *Queue) started(now time.Time, leased [][]Leased) {
	for _, some := range leased {
		for _, l := range some {
			q.metrics.started(l.Job, now)
			q.sweeper.by(l.Expires)
			q.sweeper.by(l.Deadline)
		}
	}
}
