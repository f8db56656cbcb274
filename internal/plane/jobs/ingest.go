package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/danielgtaylor/huma/v2"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/sinks"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// Extension attributes by which an event says more about its job.
const (
	attributePriority    = "priority"
	attributeOrderingKey = "orderingkey"
)

type eventsOutput struct {
	Replayed string `header:"Idempotent-Replayed"`
}

func (q *Queue) registerEvents() {
	huma.Register(q.plane.API, huma.Operation{
		OperationID: "receive-events", Method: http.MethodPost, Path: planeconfig.EventsPath, Summary: "Submit CloudEvents", Tags: []string{"events"},
		Description: "CloudEvents 1.0 over HTTP: binary, structured or batched. One event is one job: its type is the job's type, its data the payload, " +
			"source and id together are the idempotency key, and its subject, where there is one, the metadata subject (as source is source). The extension attributes priority and orderingkey " +
			"say the job's. Acknowledged with 204 once the engine has stored all of them; of a batch, one that is not taken refuses the rest: send the whole of it again.",
		DefaultStatus: http.StatusNoContent, MaxBodyBytes: q.plane.Config.HTTP.MaxBodyBytes, BodyReadTimeout: plane.BodyTimeout,
		SkipValidateBody: true, RequestBody: plane.EventsBody("A CloudEvent 1.0; it becomes a job."),
		Errors: []int{400, 401, 403, 413, 415, 422, 503},
	}, q.receiveEvents)
}

func (q *Queue) receiveEvents(ctx context.Context, in *plane.EventsInput) (*eventsOutput, error) {
	if problem := need(ctx, plane.RightSubmit); problem != nil {
		return nil, problem
	}
	batch, problem := q.decodeEvents(in.Header(), in.RawBody)
	if problem != nil {
		return nil, problem
	}
	if len(batch) == 0 {
		return &eventsOutput{}, nil
	}
	results, problem := q.accept(ctx, batch...)
	if problem != nil {
		return nil, plane.Fail(ctx, problem)
	}
	out := &eventsOutput{Replayed: "true"}
	for _, r := range results {
		// A known source and id with another content is the same event all the same (section 3.1 of the specification).
		if r.Err != nil && !errors.Is(r.Err, ErrKeyReused) {
			return nil, plane.Fail(ctx, q.problem("submit", r.Err))
		}
		if r.Err == nil && !r.Existing {
			out.Replayed = ""
		}
	}
	return out, nil
}

func (q *Queue) decodeEvents(header http.Header, body []byte) ([]NewJob, *plane.Problem) {
	events, problem := plane.DecodeEvents(header, body, maxBatch)
	if problem != nil {
		return nil, problem
	}
	l, now := q.live.Load(), q.now()
	batch := make([]NewJob, len(events))
	for i := range events {
		s, problem := submissionOf(events[i].At, &events[i].Event)
		if problem != nil {
			return nil, problem
		}
		if batch[i], problem = l.newJob(events[i].At, s, now); problem != nil {
			return nil, problem
		}
		if trace, ok := events[i].Extensions()["traceparent"].(string); ok {
			batch[i].TraceParent = plane.ParseTraceParent(trace)
		}
	}
	return batch, nil
}

// submissionOf is the job that an event asks for.
func submissionOf(at string, e *event.Event) (jobs.Submission, *plane.Problem) {
	s := jobs.Submission{Type: e.Type(), IdempotencyKey: plane.EventKey(e), Metadata: map[string]string{}}
	for name, value := range map[string]string{"source": e.Source(), "subject": e.Subject()} {
		// What is too long to be found by is no fault of an event.
		if value != "" && plane.ValidMetadata(name, value) {
			s.Metadata[name] = value
		}
	}
	for name, field := range map[string]*string{attributePriority: &s.Priority, attributeOrderingKey: &s.OrderingKey} {
		switch value := e.Extensions()[name].(type) {
		case nil:
		case string:
			*field = value
		default:
			return s, plane.InvalidEvent(at+"."+name, "must be a string")
		}
	}
	if problem := countHops(at, e, s.Metadata); problem != nil {
		return s, problem
	}
	data, media := e.Data(), e.DataContentType()
	switch {
	case len(data) == 0:
	case !e.DataBase64 && isJSON(media, data):
		s.Payload = data
	case media == typeJSON && !isJSON(media, data):
		return s, plane.InvalidEvent(at+".data", "must be JSON, as datacontenttype says")
	default:
		s.PayloadBase64, s.ContentType = data, media
	}
	return s, nil
}

// countHops keeps how many sinks an event has come through with the job that it becomes.
func countHops(at string, e *event.Event, metadata map[string]string) *plane.Problem {
	value, sent := e.Extensions()[sinks.AttributeHops]
	if !sent {
		return nil
	}
	n, err := types.ToInteger(value)
	if err != nil || n < 0 {
		return plane.InvalidEvent(at+"."+sinks.AttributeHops, "must be how many sinks the event has come through, a number")
	}
	if n > sinks.MaxHops {
		return plane.InvalidEvent(at+"."+sinks.AttributeHops, fmt.Sprintf("is %d, and %d sinks are the most: they lead round, remove one of them", n, sinks.MaxHops))
	}
	if n > 0 {
		metadata[metadataHops] = strconv.Itoa(int(n))
	}
	return nil
}

// isJSON reports whether data is JSON by its media type, and by itself.
func isJSON(media string, data []byte) bool {
	parsed, _, err := mime.ParseMediaType(media)
	if media != "" && (err != nil || parsed != typeJSON && !strings.HasSuffix(parsed, "+json")) {
		return false
	}
	return utf8.Valid(data) && json.Valid(data)
}
