package jobs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

const (
	// streamWrite is how long one write to a client may take.
	streamWrite = 10 * time.Second
	// streamBeat is how often a stream says something where nothing changes.
	streamBeat = 15 * time.Second
	// streamRetry is how long a client waits before it comes back by itself.
	streamRetry = 2 * time.Second
)

func (q *Queue) registerStream() {
	schema := q.plane.API.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[plane.Problem](), true, "Problem")
	q.plane.API.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "follow-job", Method: http.MethodGet, Path: "/v1/jobs/{id}/events", Summary: "Follow a job as Server-Sent Events", Tags: []string{"jobs"},
		Description: "Events named job, whose data is the job as it is now and whose id is its revision, until the job is at its end: then the stream ends. " +
			"A client that sends the last id as Last-Event-ID sees no revision twice; where the job has long ended with it, the answer is 204, which has an EventSource stop.",
		Parameters: []*huma.Param{
			{Name: "id", In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}},
			{Name: "Last-Event-ID", In: "header", Description: "The id of the last event seen; EventSource sends it by itself.", Schema: &huma.Schema{Type: huma.TypeString}},
		},
		Responses: map[string]*huma.Response{
			"200":     {Description: "The stream.", Content: map[string]*huma.MediaType{"text/event-stream": {}}},
			"204":     {Description: "The job is at its end, and nothing came after that event."},
			"default": {Description: "Error", Content: map[string]*huma.MediaType{plane.ProblemContentType: {Schema: schema}}},
		},
	})
	q.plane.Router.Get("/v1/jobs/{id}/events", q.stream)
}

func (q *Queue) stream(w http.ResponseWriter, r *http.Request) {
	id := chi.URLParam(r, "id")
	if problem := needJob(r.Context(), id, plane.RightRead); problem != nil {
		plane.WriteProblem(w, problem)
		return
	}
	if len(r.URL.Query()) > 0 {
		plane.WriteProblem(w, plane.Invalid("unknown query parameter; this takes none"))
		return
	}
	var seen int64
	if text := r.Header.Get("Last-Event-ID"); text != "" {
		var err error
		if seen, err = strconv.ParseInt(text, 10, 64); err != nil || seen < 0 {
			plane.WriteProblem(w, plane.Invalid("Last-Event-ID is the id of an event of this stream", plane.ProblemError{Location: "header.Last-Event-ID", Message: "not a revision"}))
			return
		}
	}
	changed, end := q.watchers.watch(id)
	defer end()
	job, err := q.read(r.Context(), id)
	if err != nil {
		plane.WriteError(w, r, q.problem("get", err))
		return
	}
	if job.Status.Terminal() && job.Revision == seen {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	release, problem := q.held.hold(r.Context(), labelStream)
	if problem != nil {
		plane.WriteProblem(w, problem)
		return
	}
	defer release()
	s := &jobStream{out: w, control: http.NewResponseController(w), seen: seen}
	s.open()
	q.followJob(r, s, job, changed)
}

// followJob sends what a job comes to until its end, or that of the client, its token or the plane.
func (q *Queue) followJob(r *http.Request, s *jobStream, job jobs.Job, changed <-chan struct{}) {
	beat := q.clock.NewTicker(streamBeat)
	defer beat.Stop()
	var expired <-chan time.Time
	if at := plane.IdentityOf(r.Context()).ExpiresAt; !at.IsZero() {
		timer := q.clock.NewTimer(at.Sub(q.now()))
		defer timer.Stop()
		expired = timer.C()
	}
	for {
		if err := s.send(job); err != nil || job.Status.Terminal() {
			return
		}
		select {
		case <-changed:
			// An engine that does not answer may in a moment: the next look is at the next change or beat.
			if next, err := q.looks.get(r.Context(), job.ID); err == nil {
				job = next
			} else if !passing(err) {
				return
			}
		case <-beat.C():
			if next, err := q.read(r.Context(), job.ID); err == nil {
				job = next
			}
			if s.write([]byte(":\n\n")) != nil {
				return
			}
		case <-expired:
			return
		case <-q.held.draining:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// jobStream writes Server-Sent Events.
type jobStream struct {
	out     http.ResponseWriter
	control *http.ResponseController
	seen    int64
}

func (s *jobStream) open() {
	h := s.out.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-cache, no-store, no-transform")
	// Proxies that buffer would hold events back.
	h.Set("X-Accel-Buffering", "no")
	s.out.WriteHeader(http.StatusOK)
	_ = s.write(fmt.Appendf(nil, "retry: %d\n\n", streamRetry.Milliseconds()))
}

// send writes the job unless its revision was seen.
func (s *jobStream) send(job jobs.Job) error {
	if job.Revision == s.seen {
		return nil
	}
	var data bytes.Buffer
	fmt.Fprintf(&data, "id: %d\nevent: job\ndata: ", job.Revision)
	// The encoder writes one line.
	if err := json.NewEncoder(&data).Encode(job); err != nil {
		return fmt.Errorf("encode a job: %w", err)
	}
	data.WriteByte('\n')
	s.seen = job.Revision
	return s.write(data.Bytes())
}

func (s *jobStream) write(data []byte) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(streamWrite))
	if _, err := s.out.Write(data); err != nil {
		return err
	}
	return s.control.Flush()
}
