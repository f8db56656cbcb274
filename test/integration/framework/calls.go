//go:build integration

package framework

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Call is a request of an operator that reached the API server.
type Call struct {
	At     time.Time
	Method string
	// URL is the path and the query.
	URL string
	// Body that was sent.
	Body []byte
	// Code of the answer, 0 where none came.
	Code int
}

// String shows a call without what it sent, which may be secret.
func (c Call) String() string {
	return fmt.Sprintf("%s %s %s -> %d", c.At.Format("15:04:05.000"), c.Method, c.URL, c.Code)
}

// keptCalls is how many calls are kept; an example's run has fewer than a tenth of them.
const keptCalls = 4096

// recorder keeps the calls of an operator, watches aside.
type recorder struct {
	mu    sync.Mutex
	calls []Call
}

func (r *recorder) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		if IsWatch(req) {
			return next.RoundTrip(req)
		}
		call := Call{At: time.Now(), Method: req.Method, URL: req.URL.RequestURI(), Body: bodyOf(req)}
		resp, err := next.RoundTrip(req)
		if err == nil {
			call.Code = resp.StatusCode
		}
		r.add(call)
		return resp, err
	})
}

func (r *recorder) add(c Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.calls) == keptCalls {
		r.calls = r.calls[1:]
	}
	r.calls = append(r.calls, c)
}

// bodyOf reads what a request sends and leaves it to be sent.
func bodyOf(r *http.Request) []byte {
	if r.Body == nil {
		return nil
	}
	data, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil {
		return nil
	}
	r.Body = io.NopCloser(bytes.NewReader(data))
	return data
}

// Calls of the operator so far, oldest first, watches aside.
func (op *Operator) Calls() []Call {
	op.recorder.mu.Lock()
	defer op.recorder.mu.Unlock()
	return slices.Clone(op.recorder.calls)
}

// LastCalls shows the operator's last n calls but those to its lease.
func (op *Operator) LastCalls(n int) string {
	var lines []string
	for _, c := range op.Calls() {
		if !IsLeaseURL(c.URL) {
			lines = append(lines, c.String())
		}
	}
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
