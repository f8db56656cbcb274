package jobs

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
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

// Bounds of a page.
const (
	defaultLimit = 50
	maxLimit     = 200
)

// listInput is a query with metadata.<key>=<value>, whose names nobody can list beforehand: it is read by hand.
type listInput struct {
	query url.Values
}

// Resolve implements huma.Resolver.
func (in *listInput) Resolve(ctx huma.Context) []error {
	u := ctx.URL()
	in.query = u.Query()
	return nil
}

// listing is what a request asks for.
type listing struct {
	filter jobs.Filter
	cursor string
	limit  int
}

// read takes the parameters that are known, each of which may be there once.
func (in *listInput) read(known ...string) (l listing, problem *plane.Problem) {
	f := faultsAt("query")
	l.limit = defaultLimit
	for _, name := range slices.Sorted(maps.Keys(in.query)) {
		value := in.query.Get(name)
		key, isMetadata := strings.CutPrefix(name, metadataPrefix)
		switch {
		case len(in.query[name]) > 1 || !isMetadata && !slices.Contains(known, name):
			f.Add(clean(name, maxReason), "is not a parameter of this, or is there twice; known are %s and metadata.<key>", strings.Join(known, ", "))
		case isMetadata:
			if l.filter.Metadata == nil {
				l.filter.Metadata = map[string]string{}
			}
			l.filter.Metadata[key] = value
		default:
			l.set(f, name, value)
		}
	}
	f.filter(l.filter)
	if problem = f.problem(); problem == nil && (len(l.cursor) > maxCursor || !plane.Printable(l.cursor)) {
		problem = problemCursor()
	}
	return l, problem
}

func (f *faults) filter(of jobs.Filter) {
	if of.Status != "" && !slices.Contains(statuses, of.Status) {
		f.Add("status", "must be one of %s", fmt.Sprint(statuses))
	}
	f.Text("type", of.Type, maxType)
	f.Metadata("metadata", of.Metadata)
}

type listOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         jobs.Page
}

func (q *Queue) registerList() {
	const description = "The newest first, without attempts and results. metadata.<key>=<value> chooses by metadata, and may be there for several keys."
	operation := huma.Operation{
		OperationID: "list-jobs", Method: http.MethodGet, Path: "/v1/jobs", Summary: "List jobs", Tags: []string{"jobs"},
		Description: description, SkipValidateParams: true, Errors: []int{400, 401, 403, 503},
		Parameters: append([]*huma.Param{queryParam("status", fmt.Sprint("One of ", statuses, "."))}, listParams()...),
	}
	huma.Register(q.plane.API, operation, func(ctx context.Context, in *listInput) (*listOutput, error) {
		return q.list(ctx, in, "", "status", "type", "cursor", "limit")
	})
	operation.OperationID, operation.Path, operation.Summary, operation.Tags = "list-dead", "/v1/dead", "List the jobs that failed for good", []string{"dead"}
	operation.Parameters = listParams()
	huma.Register(q.plane.API, operation, func(ctx context.Context, in *listInput) (*listOutput, error) {
		return q.list(ctx, in, jobs.StatusDead, "type", "cursor", "limit")
	})
}

func (l *listing) set(f *faults, name, value string) {
	switch name {
	case "status":
		l.filter.Status = jobs.Status(value)
	case "type":
		l.filter.Type = value
	case "cursor":
		l.cursor = value
	case "limit":
		var err error
		if l.limit, err = strconv.Atoi(value); err != nil || l.limit < 1 || l.limit > maxLimit {
			f.Add("limit", "must be a number from 1 to %d", maxLimit)
		}
	}
}

func queryParam(name, description string) *huma.Param {
	return &huma.Param{Name: name, In: "query", Description: description, Schema: &huma.Schema{Type: huma.TypeString}}
}

func listParams() []*huma.Param {
	return []*huma.Param{
		queryParam("type", "Only jobs of this type."),
		queryParam("metadata.<key>", "Only jobs whose metadata has this value for the key."),
		queryParam("cursor", "The member cursor of the page before."),
		queryParam("limit", fmt.Sprintf("The most jobs of a page, %d by default and %d at most.", defaultLimit, maxLimit)),
	}
}

func (q *Queue) list(ctx context.Context, in *listInput, status jobs.Status, known ...string) (*listOutput, error) {
	if problem := need(ctx, plane.RightRead); problem != nil {
		return nil, problem
	}
	l, problem := in.read(known...)
	if problem != nil {
		return nil, problem
	}
	if status != "" {
		l.filter.Status = status
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	page, err := q.store.List(ctx, l.filter, l.cursor, l.limit)
	if err != nil {
		return nil, plane.Fail(ctx, q.problem("list", err))
	}
	if page.Jobs == nil {
		page.Jobs = []jobs.Job{}
	}
	return &listOutput{CacheControl: "private, no-cache", Body: page}, nil
}
