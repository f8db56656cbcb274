package conformance

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// The slow requests last until their time is over, so they are first.
var hostileTests = []test{
	{"SlowRequests", testSlowRequests},
	{"BadRequests", testBadRequests},
	{"BadBytes", testBadBytes},
	{"Limits", testLimits},
	{"Overload", testOverload},
}

type badRequest struct {
	method, path, body string
	status             int
	slug               string
}

func badRequests(id string) []badRequest {
	job := func(body, slug string) badRequest { return badRequest{"POST", "/v1/jobs", body, 400, slug} }
	const invalid = "invalid-request"
	out := []badRequest{
		{"POST", "/v1/jobs", ``, 400, invalid}, job(`{`, invalid), job(`[]`, invalid), job(`null`+`x`, invalid), job(`{} {}`, invalid), job("{\"type\":\"\xff\"}", invalid),
		job(`{"typ":"a"}`, invalid), job(`{"type":5}`, invalid), job(`{"type":"`+strings.Repeat("t", 129)+`"}`, invalid), job(`{"type":"a\u0000"}`, invalid),
		job(`{"payload":`+strings.Repeat("[", 20000)+`}`, invalid), job(`{"payload":1,"payloadBase64":"AA=="}`, invalid), job(`{"payloadBase64":"%"}`, invalid),
		job(`{"contentType":"text/plain"}`, invalid), job(`{"payloadBase64":"AA==","contentType":"a b/"}`, invalid), job(`{"payloadBase64":"QQ==","contentType":"application/json"}`, invalid), job(`{"priority":"urgent"}`, invalid),
		job(`{"delay":"soon"}`, invalid), job(`{"delay":"-1s"}`, invalid), job(`{"delay":"10000h"}`, invalid), job(`{"delay":"1s","runAt":"2030-01-01T00:00:00Z"}`, invalid),
		job(`{"runAt":"tomorrow"}`, invalid), job(`{"runAt":"9999-01-01T00:00:00Z"}`, invalid), job(`{"runAt":"0000-01-01T00:00:00Z"}`, invalid), job(`{"timeout":"0s"}`, invalid),
		job(`{"timeout":"24h"}`, invalid), job(`{"timeout":"x"}`, invalid), job(`{"maxAttempts":-1}`, invalid), job(`{"maxAttempts":101}`, invalid), job(`{"maxAttempts":1e9}`, invalid),
		job(`{"metadata":{"":"a"}}`, invalid), job(`{"metadata":{"a b":"a"}}`, invalid), job(`{"metadata":{"a":1}}`, invalid), job(`{"metadata":{"a":"`+strings.Repeat("x", 257)+`"}}`, invalid),
		job(`{"metadata":{`+many(17)+`}}`, invalid), job(`{"orderingKey":"`+strings.Repeat("x", 257)+`"}`, invalid), job(`{"orderingKey":"a\nb"}`, invalid),
		job(`{"idempotencyKey":"`+strings.Repeat("x", 256)+`"}`, invalid),
		{"POST", "/v1/jobs", `{"payload":"` + strings.Repeat("x", PayloadBytes) + `"}`, 413, "payload-too-large"},
		{"POST", "/v1/jobs", `{"payload":"` + strings.Repeat("x", 2<<20) + `"}`, 413, "too-large"},
		{"POST", "/v1/jobs:lease", `{}`, 400, invalid}, {"POST", "/v1/jobs:lease", `{"worker":""}`, 400, invalid}, {"POST", "/v1/jobs:lease", `{"worker":"w","max":101}`, 400, invalid},
		{"POST", "/v1/jobs:lease", `{"worker":"w","wait":"61s"}`, 400, invalid}, {"POST", "/v1/jobs:lease", `{"worker":"w","wait":"x"}`, 400, invalid},
		{"POST", "/v1/jobs:lease", `{"worker":"a\u0000"}`, 400, invalid}, {"POST", "/v1/jobs:lease", `{"worker":"w","types":"a"}`, 400, invalid},
		{"POST", "/v1/jobs:complete", `{}`, 400, invalid}, {"POST", "/v1/jobs:complete", `[]`, 400, invalid}, {"POST", "/v1/jobs:complete", `{"jobs":[]}`, 400, invalid},
		{"POST", "/v1/jobs:complete", `{"jobs":[{"id":"` + id + `","token":"1"}]}`, 400, invalid}, {"POST", "/v1/jobs:complete", `{"jobs":[{"id":"` + id + `","token":1,"error":"x"}]}`, 400, invalid},
		{"POST", "/v1/jobs:complete", `{"jobs":[` + strings.Repeat(`{},`, 1000) + `{}]}`, 400, invalid}, {"POST", "/v1/jobs:complete", "{\"jobs\":[{\"id\":\"\xff\"}]}", 400, invalid},
		{"POST", "/v1/jobs:complete", `{"jobs":` + strings.Repeat("[", 20000) + `}`, 400, invalid},
		{"POST", "/v1/jobs:complete", `{"jobs":[{"base64":"` + strings.Repeat("A", 2<<20) + `"}]}`, 413, "too-large"},
		{"POST", path(id, "heartbeat"), `{"token":"1"}`, 400, invalid}, {"POST", path(id, "heartbeat"), `{"token":1,"progress":{"percent":101}}`, 400, invalid},
		{"POST", path(id, "heartbeat"), `{"token":1,"progress":{"percent":1e999}}`, 400, invalid}, {"POST", path(id, "fail"), `{"token":1}`, 400, invalid},
		{"POST", path(id, "fail"), `{"token":1,"error":"` + strings.Repeat("x", 4097) + `"}`, 400, invalid}, {"POST", path(id, "complete"), `{"token":1,"value":}`, 400, invalid},
		{"POST", path(id, "complete"), `{"token":1,"value":1,"base64":"AA=="}`, 400, invalid}, {"POST", path(id, "complete"), `{"token":99999999999999999999}`, 400, invalid},
		{"POST", path(id, "complete"), `{"token":1,"value":"` + strings.Repeat("x", ResultBytes) + `"}`, 413, "result-too-large"},
		{"POST", "/v1/dead:redrive", `{"max":-1}`, 400, invalid}, {"POST", "/v1/dead:redrive", `{"perSecond":-1}`, 400, invalid}, {"POST", "/v1/dead:redrive", `{"metadata":{"a b":"c"}}`, 400, invalid},
		{"GET", "/v1/jobs/x", ``, 400, "invalid-id"}, {"GET", "/v1/jobs/" + strings.ToUpper(id), ``, 400, "invalid-id"}, {"GET", "/v1/jobs/%7B" + id + "%7D", ``, 400, "invalid-id"},
		{"GET", "/v1/jobs/" + strings.Repeat("a", 65), ``, 400, invalid}, {"GET", "/v1/jobs/" + id + "%00", ``, 400, "invalid-path"}, {"GET", "/v1/jobs/a%2Fb", ``, 400, "invalid-path"},
		{"GET", "/v1/jobs/..%5C", ``, 400, "invalid-path"}, {"GET", "/v1/jobs/../../etc/passwd", ``, 404, "not-found"}, {"GET", "/v1/jobs/" + id + "?revision=-1", ``, 400, invalid},
		{"GET", "/v1/jobs/" + id + "?revision=x", ``, 400, invalid}, {"GET", "/v1/jobs/" + id + "?last=1", ``, 400, invalid}, {"GET", "/v1/jobs/" + id + "/events?last=1", ``, 400, invalid},
		{"GET", "/v1/jobs/x/events", ``, 400, "invalid-id"}, {"GET", "/v2/jobs", ``, 404, "not-found"}, {"PATCH", "/v1/jobs", ``, 405, "method-not-allowed"}, {"BREW", "/v1/jobs", ``, 405, "method-not-allowed"},
		{"POST", path(id, "explode"), ``, 405, "method-not-allowed"}, {"POST", "/v1/jobs:explode", ``, 404, "not-found"},
	}
	return out
}

func many(n int) string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(`"k%d":"v"`, i))
	}
	return strings.Join(out, ",")
}

func testBadRequests(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	id := c.submit(jobs.Submission{Delay: "1h"}).ID
	for _, request := range badRequests(id) {
		text := body(request.body)
		if request.method == "POST" && text == nil {
			text = []byte{}
		}
		r := c.must(request.status, request.method, request.path, text)
		if p := r.problem(t); p.Slug() != request.slug {
			t.Errorf("%s %s %.80s: refused as %s, want %s: %.300s", request.method, request.path, request.body, p.Slug(), request.slug, r.body)
		}
		if len(r.body) > 4096 {
			t.Errorf("%s %s %.80s: the answer has %d bytes", request.method, request.path, request.body, len(r.body))
		}
	}
	for _, header := range [][2]string{{"Content-Type", "text/plain"}, {"Content-Type", "application/x-www-form-urlencoded"}, {"Content-Encoding", "gzip"}} {
		for _, at := range []string{"/v1/jobs", "/v1/jobs:batch", path(id, "complete"), "/v1/jobs:complete"} {
			c.must(http.StatusUnsupportedMediaType, http.MethodPost, at, []byte(`{"token":1}`), header[0], header[1]).problem(t)
		}
	}
	if got := c.list(); len(got.Jobs) != 1 {
		t.Errorf("something was accepted: %d jobs", len(got.Jobs))
	}
}

func testBadBytes(t *testing.T, start Factory) {
	target := start(t, Options{})
	post := func(headers ...string) string {
		return target.Request("POST /v1/jobs HTTP/1.1", append(headers, "Content-Type: application/json")...)
	}
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 64<<10, strings.Repeat(" ", 64<<10))
	target.Answers(t, contracttest.Exchanges{
		"too many bytes of headers": {post("X-Big: " + strings.Repeat("x", 64<<10)), " 431 "},
		"a path of 64 KiB":          {target.Request("GET /v1/jobs/" + strings.Repeat("a", 64<<10) + " HTTP/1.1"), " 431 "},
		"a huge Last-Event-ID":      {target.Request("GET /v1/jobs/0198a9e4-0000-7000-8000-000000000000/events HTTP/1.1", "Last-Event-ID: "+strings.Repeat("9", 20<<10)), " 400 "},
		"a huge key":                {post("Idempotency-Key: "+strings.Repeat("k", 20<<10), "Content-Length: 2") + "{}", " 400 "},
		"two lengths":               {post("Content-Length: 1", "Content-Length: 2") + "{}", " 400 "},
		"a length beyond the limit": {post("Content-Length: 9999999999"), " 413 "},
		"a coding that is none":     {post("Transfer-Encoding: xchunked"), " 501 "},
		"a bad chunk":               {post("Transfer-Encoding: chunked") + "zz\r\n", " 400 "},
		"chunks without an end":     {post("Transfer-Encoding: chunked") + strings.Repeat(chunk, 40), " 413 "},
		"a body that breaks off":    {post("Content-Length: 2", "Expect: nonsense") + "{}", " 417 "},
	})
	if got := target.client(t).list(); len(got.Jobs) != 0 {
		t.Errorf("something was accepted: %d jobs", len(got.Jobs))
	}
}

// testSlowRequests begins requests that never come to their end.
func testSlowRequests(t *testing.T, start Factory) {
	target := start(t, Options{})
	target.Unfinished(t, contracttest.Exchanges{
		"headers without an end": {"GET / HTTP/1.1\r\nHost: x\r\nX-A: b\r\n", ""},
		"half of a job":          {target.Request("POST /v1/jobs HTTP/1.1", "Content-Type: application/json", "Content-Length: 100") + `{"pa`, " 408 "},
		"half of a lease":        {target.Request("POST /v1/jobs:lease HTTP/1.1", "Content-Type: application/json", "Content-Length: 100") + `{"wo`, " 408 "},
	}, func() { target.client(t).submit(jobs.Submission{}) })
}

func testLimits(t *testing.T, start Factory) {
	c := start(t, Options{Configure: jobsSection(func(j *planeconfig.Jobs) { j.Limits.Waiting = 3 })}).client(t)
	c.submitN(3, jobs.Submission{})
	r := c.must(http.StatusServiceUnavailable, http.MethodPost, "/v1/jobs", []byte(`{}`))
	if p := r.problem(t); p.Slug() != "queue-full" || r.header.Get("Retry-After") == "" {
		t.Errorf("refused as %s, Retry-After %q", p.Slug(), r.header.Get("Retry-After"))
	}
	l := c.leaseOne()
	c.submit(jobs.Submission{})
	// What fits fits to the byte.
	c.complete(l, `"`+strings.Repeat("x", ResultBytes-2)+`"`)
	c.complete(c.leaseOne(), "1")
	c.submit(jobs.Submission{Payload: []byte(`"` + strings.Repeat("x", PayloadBytes-2) + `"`)})
}

// testOverload sends more at once than may be in memory: each is done, or told to come back, and none is lost.
func testOverload(t *testing.T, start Factory) {
	target := start(t, Options{Configure: func(c *planeconfig.Config) { c.HTTP.MaxInFlight, c.HTTP.MaxBodyBytesInFlight = 8, 1<<20 }})
	c := target.client(t)
	var mu sync.Mutex
	accepted := 0
	var all sync.WaitGroup
	big := `{"payload":1,"metadata":{"a":"b"}}` + strings.Repeat(" ", 512<<10)
	for range 64 {
		all.Go(func() {
			ctx, cancel := soon(t.Context())
			defer cancel()
			r, err := c.do(ctx, http.MethodPost, "/v1/jobs", []byte(big))
			if err != nil {
				// Refused before it had sent all.
				return
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case r.status == http.StatusAccepted:
				accepted++
			case r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "":
				t.Errorf("answered %d %s", r.status, r.body)
			}
		})
	}
	all.Wait()
	// What was cut off is read for a while still, and this may be refused meanwhile.
	eventually(t, "all that was accepted to be there", func() bool {
		ctx, cancel := soon(t.Context())
		defer cancel()
		r, err := c.do(ctx, http.MethodGet, "/v1/stats", nil)
		return err == nil && r.status == http.StatusOK && decode[jobs.Stats](t, r.body).Depth[jobs.StatusQueued] >= int64(accepted)
	})
	if accepted == 0 {
		t.Error("nothing was accepted")
	}
}
