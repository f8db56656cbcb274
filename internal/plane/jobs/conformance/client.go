package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

// patience is how long a test waits for a condition before it fails: far longer
// than any takes, so that a machine that stalls fails none.
const patience = 2 * time.Minute

// Problem is a problem document.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// Slug is the last segment of the problem's type.
func (p Problem) Slug() string { return p.Type[strings.LastIndexByte(p.Type, '/')+1:] }

// client speaks to one replica with one token.
type client struct {
	t     *testing.T
	base  string
	token string
	http  *http.Client
}

func newClient(t *testing.T, base, token string) *client {
	tr := &http.Transport{MaxIdleConnsPerHost: 32}
	t.Cleanup(tr.CloseIdleConnections)
	return &client{t: t, base: base, token: token, http: &http.Client{Transport: tr}}
}

func (g *Target) client(t *testing.T) *client { return newClient(t, g.URL(), g.Token) }

func (c *client) with(token string) *client { return newClient(c.t, c.base, token) }

type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) problem(t *testing.T) Problem {
	t.Helper()
	var p Problem
	if err := json.Unmarshal(r.body, &p); err != nil {
		t.Fatalf("status %d, not a problem document: %s", r.status, r.body)
	}
	if got := r.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type of the problem is %q", got)
	}
	if p.Status != r.status || p.Title == "" || p.Detail == "" || !strings.HasPrefix(p.Type, "https://") {
		t.Errorf("the problem document is not complete, or not of status %d: %s", r.status, r.body)
	}
	return p
}

// do sends a request; body may be nil. headers are name, value, name, value…
func (c *client) do(ctx context.Context, method, path string, body []byte, headers ...string) (reply, error) {
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, reader)
	if err != nil {
		return reply{}, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	return reply{status: resp.StatusCode, header: resp.Header, body: data}, err
}

// must is do, and fails the test unless the status is want.
func (c *client) must(want int, method, path string, body []byte, headers ...string) reply {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := c.do(ctx, method, path, body, headers...)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	if r.status != want {
		c.t.Fatalf("%s %s: status %d, want %d: %s", method, path, r.status, want, r.body)
	}
	return r
}

func encode(v any) []byte {
	out, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return out
}

func decode[T any](t *testing.T, data []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("decode %s: %v", data, err)
	}
	return v
}

// submit submits a job and fails the test unless it is accepted.
func (c *client) submit(s jobs.Submission, headers ...string) jobs.Accepted {
	c.t.Helper()
	r := c.must(http.StatusAccepted, http.MethodPost, "/v1/jobs", encode(s), headers...)
	a := decode[jobs.Accepted](c.t, r.body)
	if got := r.header.Get("Location"); got != "/v1/jobs/"+a.ID {
		c.t.Errorf("Location is %q", got)
	}
	return a
}

// submitN submits n jobs like s, with the numbers from 0 as their payloads, in one order of acceptance.
func (c *client) submitN(n int, s jobs.Submission) (ids []string) {
	c.t.Helper()
	for len(ids) < n {
		var batch jobs.Batch
		for i := len(ids); i < n && len(batch.Jobs) < 1000; i++ {
			s.Payload = fmt.Appendf(nil, "%d", i)
			batch.Jobs = append(batch.Jobs, s)
		}
		r := c.must(http.StatusAccepted, http.MethodPost, "/v1/jobs:batch", encode(batch))
		for _, one := range decode[jobs.BatchReply](c.t, r.body).Results {
			ids = append(ids, one.ID)
		}
	}
	return ids
}

// get looks at a job.
func (c *client) get(id string) jobs.Job {
	c.t.Helper()
	return decode[jobs.Job](c.t, c.must(http.StatusOK, http.MethodGet, "/v1/jobs/"+id, nil).body)
}

// lease asks for up to n jobs, and waits for the first.
func (c *client) lease(n int, types ...string) []jobs.Lease {
	c.t.Helper()
	return c.leaseFor(n, "30s", types...)
}

// leaseNow asks for up to n jobs, and does not wait.
func (c *client) leaseNow(n int) []jobs.Lease {
	c.t.Helper()
	return c.leaseFor(n, "")
}

func (c *client) leaseFor(n int, wait string, types ...string) []jobs.Lease {
	c.t.Helper()
	r := c.must(http.StatusOK, http.MethodPost, "/v1/jobs:lease", encode(jobs.LeaseRequest{Worker: "w", Max: n, Types: types, Wait: wait}))
	return decode[jobs.LeaseReply](c.t, r.body).Leases
}

// leaseOne leases a job, which there must be.
func (c *client) leaseOne(types ...string) jobs.Lease {
	c.t.Helper()
	leases := c.lease(1, types...)
	if len(leases) != 1 {
		c.t.Fatalf("%d jobs were leased, want one", len(leases))
	}
	return leases[0]
}

func path(id, verb string) string { return "/v1/jobs/" + id + ":" + verb }

func (c *client) complete(l jobs.Lease, value string) jobs.Job {
	c.t.Helper()
	r := c.must(http.StatusOK, http.MethodPost, path(l.Job.ID, "complete"), encode(jobs.CompleteRequest{Token: l.Token, Value: json.RawMessage(value)}))
	return decode[jobs.Job](c.t, r.body)
}

func (c *client) fail(l jobs.Lease, f jobs.FailRequest) jobs.Job {
	c.t.Helper()
	f.Token = l.Token
	if f.Error == "" {
		f.Error = "broken"
	}
	return decode[jobs.Job](c.t, c.must(http.StatusOK, http.MethodPost, path(l.Job.ID, "fail"), encode(f)).body)
}

func (c *client) heartbeat(l jobs.Lease, p *jobs.Progress) jobs.HeartbeatReply {
	c.t.Helper()
	r := c.must(http.StatusOK, http.MethodPost, path(l.Job.ID, "heartbeat"), encode(jobs.HeartbeatRequest{Token: l.Token, Progress: p}))
	return decode[jobs.HeartbeatReply](c.t, r.body)
}

func (c *client) stats() jobs.Stats {
	c.t.Helper()
	return decode[jobs.Stats](c.t, c.must(http.StatusOK, http.MethodGet, "/v1/stats", nil).body)
}

// awaitStatus waits until a job has a status, and returns it.
func (c *client) awaitStatus(id string, status jobs.Status) (job jobs.Job) {
	c.t.Helper()
	eventually(c.t, "job "+id+" to be "+string(status), func() bool {
		job = c.get(id)
		return job.Status == status
	})
	return job
}

// mint makes a client token.
func (c *client) mint(subject string, rights ...string) string {
	c.t.Helper()
	r := c.must(http.StatusCreated, http.MethodPost, "/v1/tokens", encode(map[string]any{"subject": subject, "rights": rights, "ttl": "10m"}))
	return decode[struct{ Token string }](c.t, r.body).Token
}

// eventually waits until ok, looking again at short intervals.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("gave up waiting: %s", what)
		case <-tick.C:
		}
	}
}

// soon bounds what is to be over before long.
func soon(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, patience)
}
