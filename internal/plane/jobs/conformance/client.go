package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// patience is how long a test waits for a condition before it fails.
const patience = contracttest.Patience

// client speaks to one replica with one token.
type client struct {
	t     *testing.T
	base  string
	token string
	http  *http.Client
}

func newClient(t *testing.T, base, token string) *client {
	return &client{t: t, base: base, token: token, http: contracttest.NewHTTP(t)}
}

func (g *Target) client(t *testing.T) *client { return newClient(t, g.URL(), g.Token) }

func (c *client) with(token string) *client { return newClient(c.t, c.base, token) }

type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) problem(t *testing.T) contracttest.Problem {
	t.Helper()
	return contracttest.ReadProblem(t, r.status, r.header, r.body)
}

// do sends a request; body may be nil. headers are name, value, name, value…
func (c *client) do(ctx context.Context, method, path string, body []byte, headers ...string) (reply, error) {
	r := contracttest.Request{Method: method, URL: c.base + path, Token: c.token, Body: body, Headers: headers}
	status, header, data, err := r.Send(ctx, c.http)
	return reply{status: status, header: header, body: data}, err
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

func encode(v any) []byte { return contracttest.Encode(v) }

func decode[T any](t *testing.T, data []byte) T {
	t.Helper()
	return contracttest.Decode[T](t, data)
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

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	contracttest.Eventually(t, what, ok)
}

func soon(ctx context.Context) (context.Context, context.CancelFunc) { return contracttest.Soon(ctx) }
