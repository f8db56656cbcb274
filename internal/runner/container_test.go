package runner

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// posting has a runner that posts to port.
func posting(t *testing.T, port int32) *rig {
	t.Helper()
	return run(t, func(cfg *planeconfig.Runner) { cfg.HTTP = &planeconfig.RunnerHTTP{Port: port, Path: "/work"} })
}

func portOf(t *testing.T, server *httptest.Server) int32 {
	t.Helper()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return int32(port)
}

func answered(status int, header, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if name, value, ok := strings.Cut(header, ": "); ok {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestContainersAndWhatTheyAnswer(t *testing.T) {
	t.Parallel()
	succeeded, dead := jobs.StatusSucceeded, jobs.StatusDead
	tests := map[string]struct {
		handler http.HandlerFunc
		timeout string
		after   string
		want    verdict
	}{
		"JSON":         {handler: answered(200, "Content-Type: application/json; charset=utf-8", ` {"a":1} `), want: verdict{status: succeeded, kind: "application/json", result: `{"a":1}`}},
		"not JSON":     {handler: answered(200, "Content-Type: application/json", `{`), want: verdict{status: succeeded, kind: text, result: `{`}},
		"another type": {handler: answered(201, "Content-Type: image/png", "\xff"), want: verdict{status: succeeded, kind: "image/png", result: "\xff"}},
		"nothing":      {handler: answered(204, "", ""), want: verdict{status: succeeded}},
		"its headers": {handler: func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("Content-Type", "text/x")
			_, _ = fmt.Fprint(w, r.Method, " ", r.URL.Path, " ", string(body), " ", r.Header["Content-Type"], r.Header["Trellis-Job-Type"], r.Header["Trellis-Job-Attempt"],
				r.Header["Trellis-Job-Token"], len(r.Header["Trellis-Job-Id"]), len(r.Header["Trellis-Job-Deadline"]), r.Header["Traceparent"])
		}, want: verdict{status: succeeded, kind: "text/x",
			result: "POST /work [1] [application/json] [its headers] [1] [1] 1 1 [00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01]"}},
		"400":       {handler: answered(400, "", "bad\x00\xff"), want: verdict{status: dead, reason: "http:400", permanent: true, text: "^400 Bad Request: bad\uFFFD\uFFFD$"}},
		"404":       {handler: answered(404, "", ""), want: verdict{status: dead, reason: "http:404", permanent: true, text: "^404 Not Found$"}},
		"redirect":  {handler: answered(307, "Location: /elsewhere", ""), want: verdict{status: dead, reason: "http:307", permanent: true, text: "to /elsewhere"}},
		"408":       {handler: answered(408, "", ""), want: verdict{status: dead, attempts: 2, reason: "http:408"}},
		"425":       {handler: answered(425, "", ""), want: verdict{status: dead, attempts: 2, reason: "http:425"}},
		"429":       {handler: answered(429, "Retry-After: 1", "slow"), after: "1s", want: verdict{status: dead, attempts: 2, reason: "http:429", text: "slow"}},
		"500":       {handler: answered(500, "", strings.Repeat("x", 1<<20)), want: verdict{status: dead, attempts: 2, reason: "http:500", text: "^500 Internal Server Error: x+$"}},
		"503":       {handler: answered(503, "Retry-After: 1", ""), after: "1s", want: verdict{status: dead, attempts: 2, reason: "http:503"}},
		"too large": {handler: answered(200, "", strings.Repeat("x", resultLimit+1)), want: verdict{status: dead, reason: "result-too-large", permanent: true, text: "more than"}},
		"endless": {handler: func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		}, want: verdict{status: dead, reason: "result-too-large", permanent: true, text: "more than"}},
		"closes the connection": {handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			want: verdict{status: dead, attempts: 2, reason: "error", text: "EOF"}},
		"dies amid its answer": {handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, want: verdict{status: dead, attempts: 2, reason: "error", text: "read the result"}},
		"hangs": {timeout: "1s", handler: func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done() // the connection is closed
		}, want: verdict{status: dead, attempts: 2, text: "timeout"}},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tests[r.Header.Get("Trellis-Job-Type")].handler(w, r)
	}))
	defer server.Close()
	r := posting(t, portOf(t, server))
	t.Run("all", func(t *testing.T) {
		for name, tt := range tests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				id := r.queue.Add(jobs.Submission{Type: name, Timeout: tt.timeout, MaxAttempts: 2, Payload: []byte("[1]")})
				r.check(t, id, tt.want)
				if after := r.queue.Failure(id).RetryAfter; after != tt.after {
					t.Errorf("again after %q", after)
				}
			})
		}
	})
	r.end()
}

func TestContainerThatStartsLateAndStopsMeanwhile(t *testing.T) {
	t.Parallel()
	port := int32(enginetest.Port(t, "127.0.0.1"))
	r := posting(t, port)
	id := r.queue.Add(jobs.Submission{Timeout: "5m"})
	r.becomes(503, "container: ")
	if calls := r.queue.Calls("lease"); calls != 0 {
		t.Errorf("it asked for jobs %d times with nobody to run them", calls)
	}
	served := listen(t, port, answered(200, "", "1"))
	r.check(t, id, verdict{status: jobs.StatusSucceeded, kind: text, result: "1"})
	r.becomes(200, "true")
	served()
	// One long request for jobs is under way: what it brings waits for the container.
	id = r.queue.Add(jobs.Submission{Timeout: "5m"})
	r.reach(id, jobs.StatusRunning)
	r.becomes(503, "container: ")
	defer listen(t, port, answered(200, "", "2"))()
	r.check(t, id, verdict{status: jobs.StatusSucceeded, kind: text, result: "2"})
	r.end()
}

func listen(t *testing.T, port int32, handler http.Handler) (stop func()) {
	t.Helper()
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}}
	server.Start()
	return server.Close
}

func TestCancelClosesTheConnection(t *testing.T) {
	t.Parallel()
	began, ended := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		close(ended)
	}))
	defer server.Close()
	r := posting(t, portOf(t, server))
	id := r.queue.Add(jobs.Submission{MaxAttempts: 1})
	<-began
	r.queue.Cancel(id)
	<-ended
	r.reach(id, jobs.StatusCancelled)
	r.end()
}
