package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

// requests that a server has seen.
type requests struct {
	mu  sync.Mutex
	all []string
}

func (r *requests) add(request string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, request)
	return len(r.all) - 1
}

func (r *requests) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// served is a client of a handler that answers the n-th request, from 0.
func served(t *testing.T, answer func(n int, w http.ResponseWriter, r *http.Request)) (*jobs.Client, *requests) {
	t.Helper()
	seen := &requests{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(seen.add(r.Method+" "+r.URL.RequestURI()+" "+r.Header.Get("Authorization")), w, r)
	}))
	t.Cleanup(server.Close)
	client, err := jobs.NewClient(jobs.Options{URL: server.URL + "/", Token: jobs.StaticToken("t"), HTTPClient: server.Client(), MaxBodyBytes: 4096})
	if err != nil {
		t.Fatal(err)
	}
	return client, seen
}

func TestClientTriesAgainWhatIsSafe(t *testing.T) {
	t.Parallel()
	get := func(c *jobs.Client) error { _, err := c.Get(t.Context(), "1"); return err }
	submit := func(c *jobs.Client) error { _, err := c.Submit(t.Context(), jobs.Submission{}); return err }
	keyed := func(c *jobs.Client) error {
		_, err := c.Submit(t.Context(), jobs.Submission{IdempotencyKey: "k"})
		return err
	}
	tests := map[string]struct {
		call   func(*jobs.Client) error
		status int
		tries  int
	}{
		"get, unavailable":            {call: get, status: 503, tries: 3},
		"get, not found":              {call: get, status: 404, tries: 1},
		"get, broken":                 {call: get, status: 500, tries: 1},
		"submit, unavailable":         {call: submit, status: 503, tries: 1},
		"submit, refused":             {call: submit, status: 429, tries: 3},
		"submit with key":             {call: keyed, status: 503, tries: 3},
		"complete":                    {call: func(c *jobs.Client) error { return c.Complete(t.Context(), "1", jobs.CompleteRequest{}) }, status: 502, tries: 3},
		"fenced":                      {call: func(c *jobs.Client) error { return c.Complete(t.Context(), "1", jobs.CompleteRequest{}) }, status: 409, tries: 1},
		"cancel":                      {call: func(c *jobs.Client) error { _, err := c.Cancel(t.Context(), "1"); return err }, status: 503, tries: 1},
		"redirected, with the token":  {call: get, status: 302, tries: 1},
		"connection cut, get":         {call: get, status: -1, tries: 3},
		"connection cut, no key":      {call: submit, status: -1, tries: 1},
		"a delete is not made twice":  {call: func(c *jobs.Client) error { return c.Delete(t.Context(), "1") }, status: 504, tries: 1},
		"asked to wait for long, get": {call: get, status: -2, tries: 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, seen := served(t, func(n int, w http.ResponseWriter, _ *http.Request) {
				switch {
				case n == 2:
					_, _ = w.Write([]byte("{}"))
				case tt.status == -1:
					panic(http.ErrAbortHandler)
				case tt.status == -2:
					w.Header().Set("Retry-After", "3600")
					w.WriteHeader(503)
				default:
					w.Header().Set("Location", "http://127.0.0.1:1/")
					w.WriteHeader(tt.status)
				}
			})
			err := tt.call(client)
			if len(seen.list()) != tt.tries || (err == nil) != (tt.tries == 3) {
				t.Errorf("%d tries, ending in %v", len(seen.list()), err)
			}
		})
	}
}

func TestClientHonoursRetryAfterAndDeadline(t *testing.T) {
	t.Parallel()
	client, seen := served(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 0 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(503)
			return
		}
		_, _ = w.Write([]byte("{}"))
	})
	began := time.Now()
	if _, err := client.Get(t.Context(), "1"); err != nil || time.Since(began) < time.Second || len(seen.list()) != 2 {
		t.Errorf("after %s and %d tries: %v", time.Since(began), len(seen.list()), err)
	}
	busy, _ := served(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "10")
		w.WriteHeader(503)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
	defer cancel()
	if _, err := busy.Get(ctx, "1"); !jobs.IsOverloaded(err) {
		t.Errorf("the queue's word is lost: %v", err)
	}
}

func TestClientErrors(t *testing.T) {
	t.Parallel()
	problem := func(slug string) string {
		return `{"type":"https://patterns.trellis.dev/problems/` + slug + `","title":"T","status":1,"detail":"D","errors":[{"location":"body.a","message":"m"}]}`
	}
	tests := map[string]struct {
		status int
		body   string
		want   string
		is     string
	}{
		"fenced":       {status: 409, body: problem("lease-lost"), want: "409 T: D", is: "fenced conflict"},
		"wrong status": {status: 409, body: problem("wrong-status"), want: "409 T: D", is: "conflict"},
		"not found":    {status: 404, body: problem("no-such-job"), want: "404 T: D", is: "missing"},
		"a proxy's":    {status: 413, body: "<html>\x00\xff", want: "413 Request Entity Too Large: <html>\uFFFD\uFFFD"},
		"too long":     {status: 200, body: `{"id":"` + strings.Repeat("x", 5000) + `"}`, want: "more than 4096 bytes"},
		"no JSON":      {status: 200, body: `{`, want: "not one of a queue's"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, _ := served(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.body))
			})
			_, err := client.Get(t.Context(), "1")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%q does not say %q", err, tt.want)
			}
			var is []string
			for word, ok := range map[string]bool{"conflict": jobs.IsConflict(err), "fenced": jobs.IsFenced(err), "missing": jobs.IsNotFound(err)} {
				if ok && strings.Contains(tt.is, word) {
					is = append(is, word)
				} else if ok {
					t.Errorf("it is %s too", word)
				}
			}
			if len(is) != len(strings.Fields(tt.is)) {
				t.Errorf("it is %v, not %s", is, tt.is)
			}
		})
	}
	var e *jobs.Error
	client, _ := served(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(400)
		_, _ = w.Write([]byte(problem("invalid-request")))
	})
	_, err := client.Get(t.Context(), "1")
	if !errors.As(err, &e) || cmp.Diff([]jobs.Place{{Location: "body.a", Message: "m"}}, e.Places) != "" {
		t.Errorf("%+v", e)
	}
}

func TestClientListsAllPages(t *testing.T) {
	t.Parallel()
	client, seen := served(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		page := jobs.Page{Jobs: []jobs.Job{{ID: fmt.Sprint(2 * n)}, {ID: fmt.Sprint(2*n + 1)}}}
		if n < 2 {
			page.Cursor = fmt.Sprintf("c%d", n)
		}
		_ = json.NewEncoder(w).Encode(page)
	})
	var ids []string
	for job, err := range client.Dead(t.Context(), jobs.Filter{Type: "a b", Metadata: map[string]string{"k": "v"}}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, job.ID)
	}
	if diff := cmp.Diff([]string{"0", "1", "2", "3", "4", "5"}, ids); diff != "" {
		t.Error(diff)
	}
	want := []string{
		"GET /v1/dead?limit=100&metadata.k=v&type=a+b Bearer t",
		"GET /v1/dead?cursor=c0&limit=100&metadata.k=v&type=a+b Bearer t",
		"GET /v1/dead?cursor=c1&limit=100&metadata.k=v&type=a+b Bearer t",
	}
	if diff := cmp.Diff(want, seen.list()); diff != "" {
		t.Error(diff)
	}
}

func TestClientWatchesAcrossBrokenStreams(t *testing.T) {
	t.Parallel()
	client, seen := served(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 1 {
			w.WriteHeader(503)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		events := [][]jobs.Job{{{ID: "1", Revision: 1, Status: jobs.StatusQueued}, {ID: "1", Revision: 2, Status: jobs.StatusRunning}}, nil,
			{{ID: "1", Revision: 2, Status: jobs.StatusRunning}, {ID: "1", Revision: 5, Status: jobs.StatusSucceeded}, {ID: "1", Revision: 6}}}[n]
		_, _ = fmt.Fprint(w, ": hello\r\n\r\n")
		for _, job := range events {
			data, _ := json.Marshal(job)
			_, _ = fmt.Fprintf(w, "event: job\nid: %d\ndata: %s\n\n", job.Revision, data)
		}
	})
	var got []int64
	for job, err := range client.Watch(t.Context(), "1") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, job.Revision)
	}
	if diff := cmp.Diff([]int64{1, 2, 5}, got); diff != "" || len(seen.list()) != 3 {
		t.Errorf("%d streams: %s", len(seen.list()), diff)
	}
	gone, _ := served(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) })
	if _, err := gone.Wait(t.Context(), "1"); !jobs.IsNotFound(err) {
		t.Errorf("a job that is gone: %v", err)
	}
}

func TestTokenFileIsReadAgain(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	source := jobs.TokenFile(file)
	if _, err := source(); err == nil {
		t.Error("no file, and a token")
	}
	for _, want := range []string{"one", "two"} {
		if err := os.WriteFile(file, []byte(want+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := source(); err != nil || got != want {
			t.Errorf("%q, %v", got, err)
		}
	}
}
