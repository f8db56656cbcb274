package jobs

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

const maxCursor = 512

var statuses = []jobs.Status{
	jobs.StatusScheduled, jobs.StatusQueued, jobs.StatusRunning, jobs.StatusRetrying, jobs.StatusSucceeded, jobs.StatusDead, jobs.StatusCancelled,
}

const metadataPrefix = "metadata."

// filterInput reads metadata.<key>=<value>, whose names nobody can list beforehand.
type filterInput struct {
	Type   string `query:"type" maxLength:"128"`
	Cursor string `query:"cursor" maxLength:"512" doc:"The member cursor of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50"`

	metadata map[string]string
	unknown  []string
}

// readQuery takes what the typed layer does not know: it lets unknown parameters pass for these operations.
func (in *filterInput) readQuery(u url.URL, known ...string) {
	for name, values := range u.Query() {
		key, ok := strings.CutPrefix(name, metadataPrefix)
		switch {
		case ok && len(values) == 1:
			if in.metadata == nil {
				in.metadata = map[string]string{}
			}
			in.metadata[key] = values[0]
		case !slices.Contains(known, name) || len(values) > 1:
			in.unknown = append(in.unknown, name)
		}
	}
}

func (in *filterInput) filter(status string) (jobs.Filter, *plane.Problem) {
	f := &faults{at: "query"}
	if len(in.unknown) > 0 {
		slices.Sort(in.unknown)
		name := in.unknown[0]
		f.add(name[:min(len(name), maxReason)], "is not a parameter of this, or is there twice; known are status, type, metadata.<key>, cursor and limit")
	}
	out := jobs.Filter{Status: jobs.Status(status), Type: in.Type, Metadata: in.metadata}
	f.filter(out)
	return out, f.problem()
}

func (f *faults) filter(of jobs.Filter) {
	if of.Status != "" && !slices.Contains(statuses, of.Status) {
		f.add("status", "must be one of %s", fmt.Sprint(statuses))
	}
	f.text("type", of.Type, maxType)
	f.metadata(of.Metadata)
}

type listInput struct {
	Status string `query:"status" maxLength:"16" doc:"scheduled, queued, running, retrying, succeeded, dead or cancelled."`
	filterInput
}

// Resolve implements huma.Resolver.
func (in *listInput) Resolve(ctx huma.Context) []error {
	in.readQuery(ctx.URL(), "status", "type", "cursor", "limit")
	return nil
}

type deadInput struct {
	filterInput
}

// Resolve implements huma.Resolver.
func (in *deadInput) Resolve(ctx huma.Context) []error {
	in.readQuery(ctx.URL(), "type", "cursor", "limit")
	return nil
}

type listOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         jobs.Page
}

func (q *Queue) registerList() {
	const filters = " metadata.<key>=<value> chooses by metadata, and may be there for several keys."
	huma.Register(q.plane.API, huma.Operation{
		OperationID: "list-jobs", Method: http.MethodGet, Path: "/v1/jobs", Summary: "List jobs", Tags: []string{"jobs"},
		Description: "The newest first, without attempts and results." + filters, SkipValidateParams: false, Errors: []int{400, 401, 403, 503},
		Parameters: []*huma.Param{metadataParam()},
	}, func(ctx context.Context, in *listInput) (*listOutput, error) {
		return q.list(ctx, &in.filterInput, in.Status)
	})
	huma.Register(q.plane.API, huma.Operation{
		OperationID: "list-dead", Method: http.MethodGet, Path: "/v1/dead", Summary: "List the jobs that failed for good", Tags: []string{"dead"},
		Description: "The newest first, without attempts and results." + filters, Errors: []int{400, 401, 403, 503},
		Parameters: []*huma.Param{metadataParam()},
	}, func(ctx context.Context, in *deadInput) (*listOutput, error) {
		return q.list(ctx, &in.filterInput, string(jobs.StatusDead))
	})
}

func metadataParam() *huma.Param {
	return &huma.Param{Name: "metadata.<key>", In: "query", Description: "Only jobs whose metadata has this value for the key.", Schema: &huma.Schema{Type: huma.TypeString}}
}

func (q *Queue) list(ctx context.Context, in *filterInput, status string) (*listOutput, error) {
	if problem := need(ctx, plane.RightRead); problem != nil {
		return nil, problem
	}
	filter, problem := in.filter(status)
	if problem != nil {
		return nil, problem
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	page, err := q.store.List(ctx, filter, in.Cursor, in.Limit)
	if err != nil {
		return nil, plane.Fail(ctx, q.problem("list", err))
	}
	if page.Jobs == nil {
		page.Jobs = []jobs.Job{}
	}
	return &listOutput{CacheControl: "private, no-cache", Body: page}, nil
}
