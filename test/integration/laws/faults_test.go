//go:build integration

package laws

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/test/integration/framework"
)

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

var errDead = errors.New("the operator is dead")

// dieAfter lets the n-th write reach the API server and then cuts the operator off:
// it does not even see the answer. died is closed when that happened.
func dieAfter(n int64, died chan<- struct{}) func(http.RoundTripper) http.RoundTripper {
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

// fault is an answer that the API server may give instead of the right one.
type fault struct {
	name   string
	status metav1.Status
	// after is true when the call was carried out nevertheless.
	after bool
}

var faults = []fault{
	{"conflict", metav1.Status{Code: http.StatusConflict, Reason: metav1.StatusReasonConflict}, false},
	{"timeout", metav1.Status{Code: http.StatusGatewayTimeout, Reason: metav1.StatusReasonTimeout}, true},
	{"too many requests", metav1.Status{Code: http.StatusTooManyRequests, Reason: metav1.StatusReasonTooManyRequests}, false},
	{"forbidden", metav1.Status{Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden}, false},
}

// failOnce answers the n-th call to the kinds of the API, watches aside, with the fault.
// hit says whether there was an n-th call.
func failOnce(n int64, f fault, hit *atomic.Bool) func(http.RoundTripper) http.RoundTripper {
	var calls atomic.Int64
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if framework.IsWatch(r) || isStartUp(r) || calls.Add(1) != n {
				return next.RoundTrip(r)
			}
			hit.Store(true)
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
	return r.Method == http.MethodGet && (r.URL.Query().Has("limit") || r.URL.Query().Has("resourceVersion") || !bytes.Contains([]byte(r.URL.Path), []byte("/namespaces/")))
}

func answer(r *http.Request, status metav1.Status) *http.Response {
	status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	status.Status, status.Message = metav1.StatusFailure, "planted by the test"
	body, _ := json.Marshal(status)
	return &http.Response{
		StatusCode: int(status.Code), Request: r, ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   io.NopCloser(bytes.NewReader(body)),
	}
}

// lateWatches delays every watch event by up to most, in order, and cuts a stream now and
// then, so that the operator works on an old cache and misses events in between.
func lateWatches(seed uint64, most time.Duration) func(http.RoundTripper) http.RoundTripper {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, seed))
	draw := func(n int64) int64 {
		mu.Lock()
		defer mu.Unlock()
		return random.Int64N(n)
	}
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err != nil || !framework.IsWatch(r) || resp.StatusCode != http.StatusOK {
				return resp, err
			}
			resp.Body = late(resp.Body, most, draw)
			return resp, nil
		})
	}
}

func late(body io.ReadCloser, most time.Duration, draw func(int64) int64) io.ReadCloser {
	out, in := io.Pipe()
	go func() {
		lines := bufio.NewReader(body)
		for {
			line, err := lines.ReadBytes('\n')
			if err == nil && draw(20) == 0 {
				err = io.EOF
			}
			<-time.After(time.Duration(draw(int64(most))))
			if err != nil {
				_ = in.CloseWithError(err)
				return
			}
			if _, err := in.Write(line); err != nil {
				return
			}
		}
	}()
	return struct {
		io.Reader
		io.Closer
	}{out, closers{body, out}}
}

type closers []io.Closer

// Close implements io.Closer.
func (c closers) Close() error {
	for _, closer := range c {
		_ = closer.Close()
	}
	return nil
}
