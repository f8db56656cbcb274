//go:build integration

package laws

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/test/integration/framework"
)

// transport wraps what carries an operator's calls.
type transport = func(http.RoundTripper) http.RoundTripper

// chain puts transports behind one another; the first is the nearest to the operator.
func chain(links ...transport) transport {
	return func(next http.RoundTripper) http.RoundTripper {
		for i := len(links) - 1; i >= 0; i-- {
			if links[i] != nil {
				next = links[i](next)
			}
		}
		return next
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

var errDead = errors.New("the operator is dead")

// dieAfter lets the n-th write reach the API server and then cuts the operator off:
// it does not even see the answer. died is closed when that happened.
func dieAfter(n int64, died chan<- struct{}) transport {
	var writes atomic.Int64
	var dead atomic.Bool
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if dead.Load() {
				return nil, errDead
			}
			if !framework.IsWrite(r) {
				return next.RoundTrip(r)
			}
			mine := writes.Add(1)
			if mine > n {
				return nil, errDead
			}
			resp, err := next.RoundTrip(r)
			if mine == n && err == nil {
				_ = resp.Body.Close()
				if dead.CompareAndSwap(false, true) {
					close(died)
				}
				return nil, errDead
			}
			return resp, err
		})
	}
}

// pause is a stop of an operator, as a suspended machine makes one: its n-th write and all that it asks after that
// wait until resume is closed. The writes are carried out then, although their contexts have ended long ago. An
// operator has a client of its own for its lease, and it stops with the other.
type pause struct {
	n      int64
	writes atomic.Int64
	asleep atomic.Bool
	notice sync.Once
	// begun is closed when it stops, noticed when it has given up what waits.
	begun, noticed, resume chan struct{}
}

func pauseBefore(n int64) *pause {
	return &pause{n: n, begun: make(chan struct{}), noticed: make(chan struct{}), resume: make(chan struct{})}
}

func (p *pause) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if framework.IsWrite(r) && p.writes.Add(1) >= p.n && p.asleep.CompareAndSwap(false, true) {
			close(p.begun)
		}
		if !p.asleep.Load() {
			return next.RoundTrip(r)
		}
		select {
		case <-p.resume:
		case <-r.Context().Done():
			if !framework.IsWrite(r) {
				return nil, r.Context().Err()
			}
			p.notice.Do(func() { close(p.noticed) })
			<-p.resume
		}
		if framework.IsWrite(r) {
			r = r.Clone(context.WithoutCancel(r.Context()))
		}
		return next.RoundTrip(r)
	})
}

// fault is an answer that the API server may give instead of the right one.
type fault struct {
	name   string
	status metav1.Status
	// after is true when the call was carried out nevertheless.
	after bool
}

var (
	conflict = fault{"conflict", metav1.Status{Code: http.StatusConflict, Reason: metav1.StatusReasonConflict}, false}
	timedOut = fault{"timeout", metav1.Status{Code: http.StatusGatewayTimeout, Reason: metav1.StatusReasonTimeout}, true}
	tooMany  = fault{"too many requests", metav1.Status{Code: http.StatusTooManyRequests, Reason: metav1.StatusReasonTooManyRequests}, false}
	denied   = fault{"forbidden", metav1.Status{Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden}, false}
	missing  = metav1.Status{Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound}
	faults   = []fault{conflict, timedOut, tooMany, denied}
)

// nth chooses the n-th call after the start, watches aside.
func nth(n int64) func(*http.Request) bool {
	var calls atomic.Int64
	return func(*http.Request) bool { return calls.Add(1) == n }
}

// failOnce answers a chosen call with the fault.
func failOnce(chosen func(*http.Request) bool, f fault) transport {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if framework.IsWatch(r) || isStartUp(r) || !chosen(r) {
				return next.RoundTrip(r)
			}
			if f.after {
				if resp, err := next.RoundTrip(r); err == nil {
					_ = resp.Body.Close()
				}
			}
			return answer(r, f.status), nil
		})
	}
}

// isStartUp is true for what an operator asks before it works: discovery and the first lists.
func isStartUp(r *http.Request) bool {
	return r.Method == http.MethodGet && (r.URL.Query().Has("limit") || r.URL.Query().Has("resourceVersion") ||
		!strings.Contains(r.URL.Path, "/namespaces/"))
}

func answer(r *http.Request, status metav1.Status) *http.Response {
	status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	status.Status, status.Message = metav1.StatusFailure, "planted by the test"
	body, _ := json.Marshal(status)
	return reply(r, int(status.Code), body)
}

func reply(r *http.Request, code int, body []byte) *http.Response {
	return &http.Response{
		StatusCode: code, Request: r, ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   io.NopCloser(bytes.NewReader(body)),
	}
}
