package jobs_test

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/jobs/conformance"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// collector takes spans and looks for one trace among them.
type collector struct {
	*httptest.Server
	trace []byte
	mu    sync.Mutex
	seen  bool
}

func newCollector(t *testing.T, trace string) *collector {
	t.Helper()
	id, err := hex.DecodeString(trace)
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{trace: id}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		spans, _ := io.ReadAll(r.Body)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.seen = c.seen || bytes.Contains(spans, c.trace)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) found() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

// TestOneTraceThroughTwoQueues: the spans of a queue that gets another one's events are of the trace that submitted there,
// and so is the job that it makes of one.
func TestOneTraceThroughTwoQueues(t *testing.T) {
	t.Parallel()
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	first, second := newCollector(t, trace), newCollector(t, trace)
	behind := memory(t, conformance.Options{Configure: func(c *planeconfig.Config) {
		c.Name, c.Tracing = "behind", planeconfig.Tracing{Endpoint: second.URL}
	}})
	token := t.TempDir() + "/token"
	contracttest.Write(t, token, behind.Token)
	front := memory(t, conformance.Options{Configure: func(c *planeconfig.Config) {
		c.Tracing = planeconfig.Tracing{Endpoint: first.URL}
		c.Jobs.Sinks = []planeconfig.Sink{{
			Name: "behind", URL: behind.URL() + planeconfig.EventsPath, TokenFile: token, Types: []string{jobs.EventAccepted},
		}}
	}})
	call := func(url, body string, header ...string) string {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+behind.Token)
		req.Header.Set("Content-Type", "application/json")
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode >= 300 {
			t.Fatalf("%s: %s", resp.Status, text)
		}
		return string(text)
	}
	call(front.URL()+"/v1/jobs", `{"type":"render","payload":1}`, "Traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
	leased := ""
	contracttest.Eventually(t, "the job behind", func() bool {
		leased = call(behind.URL()+"/v1/jobs:lease", `{"worker":"w","max":1}`)
		return strings.Contains(leased, jobs.EventAccepted)
	})
	if !strings.Contains(leased, trace) {
		t.Errorf("the job behind is of another trace: %s", leased)
	}
	contracttest.Eventually(t, "the spans of the first", first.found)
	contracttest.Eventually(t, "the spans of the second", second.found)
}
