package plane

import (
	"encoding/json"
	"errors"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// ProblemBase is what the type URI of every problem starts with. The last path
// segment is the problem's slug; both are stable.
const ProblemBase = "https://patterns.trellis.dev/problems/"

// Problem is an RFC 9457 problem document and an error. Detail says what to
// change; Errors names the places, when there are several.
type Problem struct {
	Type   string `json:"type" doc:"A stable URI that names the kind of problem." example:"https://patterns.trellis.dev/problems/invalid-request"`
	Title  string `json:"title" doc:"The kind of problem in words; the same for every occurrence."`
	Status int    `json:"status" doc:"The HTTP status of the response."`
	Detail string `json:"detail" doc:"What is wrong with this request, and what to change."`
	// RetryAfter, in seconds, is also sent as the Retry-After header.
	RetryAfter int            `json:"retryAfter,omitempty" doc:"Seconds to wait before trying again."`
	Errors     []ProblemError `json:"errors,omitempty" doc:"The places at fault, when there are several."`

	cause   error
	headers http.Header
	more    map[string]any
}

// ProblemError is one place at fault.
type ProblemError struct {
	Location string `json:"location,omitempty" doc:"Where, e.g. body.messages[3].data."`
	Message  string `json:"message" doc:"What is wrong there."`
}

// NewProblem makes a problem. slug is the last segment of its type URI.
func NewProblem(status int, slug, title, detail string) *Problem {
	return &Problem{Type: ProblemBase + slug, Title: title, Status: status, Detail: detail}
}

// Error implements error.
func (p *Problem) Error() string { return p.Title + ": " + p.Detail }

// Unwrap returns what caused the problem; it is logged and never sent.
func (p *Problem) Unwrap() error { return p.cause }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return ProblemContentType }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.headers != nil {
		h = p.headers.Clone()
	}
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	h.Set("Cache-Control", "no-store")
	return h
}

// Because records the cause and returns p.
func (p *Problem) Because(err error) *Problem {
	p.cause = err
	return p
}

// After asks the client to wait, rounded up to a second, and returns p.
func (p *Problem) After(d time.Duration) *Problem {
	p.RetryAfter = max(1, int((d+time.Second-1)/time.Second))
	return p
}

// Header adds a response header and returns p.
func (p *Problem) Header(key, value string) *Problem {
	if p.headers == nil {
		p.headers = http.Header{}
	}
	p.headers.Set(key, value)
	return p
}

// With adds an extension member and returns p.
func (p *Problem) With(key string, value any) *Problem {
	p.more = maps.Clone(p.more)
	if p.more == nil {
		p.more = map[string]any{}
	}
	p.more[key] = value
	return p
}

// MarshalJSON puts the extension members beside the standard ones.
func (p *Problem) MarshalJSON() ([]byte, error) {
	type plain Problem
	out, err := json.Marshal((*plain)(p))
	if err != nil || len(p.more) == 0 {
		return out, err
	}
	more, err := json.Marshal(p.more)
	if err != nil {
		return nil, err
	}
	out[len(out)-1] = ','
	return append(out, more[1:]...), nil
}

// ProblemContentType is the media type of problem documents.
const ProblemContentType = "application/problem+json"

// WriteProblem sends p to w.
func WriteProblem(w http.ResponseWriter, p *Problem) {
	body, err := json.Marshal(p)
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	for k, v := range p.GetHeaders() {
		h[k] = v
	}
	h.Set("Content-Type", ProblemContentType)
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n'))
}

// Invalid is the problem of a request that breaks the contract; detail says what to change.
func Invalid(detail string, errs ...ProblemError) *Problem {
	p := NewProblem(http.StatusBadRequest, "invalid-request", "The request is not valid", detail)
	p.Errors = errs
	return p
}

// statusProblems names the problems that the typed layer reports by status only.
var statusProblems = map[int][2]string{
	http.StatusBadRequest:            {"invalid-request", "The request is not valid"},
	http.StatusUnprocessableEntity:   {"invalid-request", "The request is not valid"},
	http.StatusNotFound:              {"not-found", "There is nothing at this path"},
	http.StatusMethodNotAllowed:      {"method-not-allowed", "This path has no such method"},
	http.StatusNotAcceptable:         {"not-acceptable", "The response cannot be given in that form"},
	http.StatusRequestTimeout:        {"request-timeout", "The request's body came too slowly"},
	http.StatusRequestEntityTooLarge: {"too-large", "The request is too large"},
	http.StatusUnsupportedMediaType:  {"unsupported-media-type", "The request's body is of a type not understood here"},
}

// brokenBody is how the typed layer reports a body that breaks off, or is
// framed wrongly: as its own fault, which it is not.
const brokenBody = "cannot read request body"

// BrokenBody is the problem of a body that could not be read to its end.
func BrokenBody(err error) *Problem {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fromStatus(http.StatusRequestTimeout, "request body read timeout", err).(*Problem)
	}
	return fromStatus(http.StatusInternalServerError, brokenBody, err).(*Problem)
}

// fromStatus turns what the typed layer reports into a problem of ours. Its 422
// becomes 400: 422 is kept for requests that are well-formed and still cannot be done.
func fromStatus(status int, msg string, errs ...error) huma.StatusError {
	if status == http.StatusInternalServerError && msg == brokenBody {
		status, msg = http.StatusBadRequest, "the request's body could not be read to its end"
	}
	named, ok := statusProblems[status]
	if !ok {
		named = [2]string{"internal", "Something went wrong here"}
		if status < http.StatusInternalServerError {
			named = [2]string{"invalid-request", http.StatusText(status)}
		}
	}
	if status == http.StatusUnprocessableEntity {
		status = http.StatusBadRequest
	}
	p := NewProblem(status, named[0], named[1], msg)
	for _, err := range errs {
		if err == nil {
			continue
		}
		if d, ok := err.(huma.ErrorDetailer); ok {
			// The value is left out: it may be a secret or very long.
			p.Errors = append(p.Errors, ProblemError{Location: d.ErrorDetail().Location, Message: d.ErrorDetail().Message})
			continue
		}
		p.cause = err
	}
	p.Detail = detailed(status, msg, p.Errors)
	if status >= http.StatusInternalServerError {
		p.Errors = nil
		p.Detail = "The request could not be finished. Try again; if it stays so, look at the plane's log."
	}
	return p
}

// detailed says what to change, where the typed layer only says that something is wrong.
func detailed(status int, msg string, errs []ProblemError) string {
	switch {
	case status == http.StatusUnsupportedMediaType:
		return "send the body as JSON, with Content-Type: application/json"
	case len(errs) == 0:
		return msg
	}
	said := make([]string, len(errs))
	for i, e := range errs {
		said[i] = strings.TrimPrefix(e.Location+": "+e.Message, ": ")
	}
	return strings.Join(said, "; ")
}
