package jobs

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// fuzzed is a queue without an engine: enough to read what it is sent.
func fuzzed(t testing.TB) *Queue {
	t.Helper()
	const day = planeconfig.Duration(24 * time.Hour)
	l, err := newLive(planeconfig.Jobs{
		Timeout: day, LeaseTTL: day, Retry: planeconfig.JobRetry{MaxAttempts: 3}, DeadRetention: day, ResultTTL: day,
		Limits: planeconfig.JobLimits{PayloadBytes: 4096, ResultBytes: 4096, Waiting: 10},
	})
	if err != nil {
		t.Fatal(err)
	}
	q := &Queue{clock: clocktesting.NewFakeClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))}
	q.live.Store(l)
	return q
}

// checkProblem holds whatever is refused to the form of a problem: complete, short, and fit to be sent.
func checkProblem(t *testing.T, p *plane.Problem) {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil || !utf8.Valid(text) || len(text) > 8192 {
		t.Fatalf("a problem of %d bytes, %v: %.200s", len(text), err, text)
	}
	if p.Status < 400 || p.Status > 499 || p.Detail == "" || !strings.HasPrefix(p.Type, plane.ProblemBase) {
		t.Fatalf("the problem is not one: %s", text)
	}
}

// checkStored holds what would be stored to what every store relies on.
func checkStored(t *testing.T, j NewJob) {
	t.Helper()
	for _, text := range []string{j.Type, j.Priority, j.OrderingKey, j.IdempotencyKey, j.Payload.ContentType} {
		if !plane.Printable(text) || len(text) > maxOrderingKey {
			t.Fatalf("%q would be stored", text)
		}
	}
	if len(j.Payload.Data) > 4096 || j.Payload.ContentType == typeJSON && !json.Valid(j.Payload.Data) {
		t.Fatalf("the payload is %q", j.Payload.Data)
	}
	if j.MaxAttempts < 1 || j.Timeout <= 0 || j.Priority == "" || (j.IdempotencyKey == "") != (j.Digest == nil) {
		t.Fatalf("the job is %+v", j)
	}
}

func FuzzSubmission(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"type":"a","payload":{"n":[1,"x",null]},"priority":"normal","delay":"1s","orderingKey":"k","timeout":"1m","maxAttempts":2,"metadata":{"a":"b"},"idempotencyKey":"k"}`,
		`{"payloadBase64":"AA==","contentType":"image/png"}`, `{"runAt":"2026-03-01T12:00:00Z"}`, `null`, `[]`, `{"payload":"\ud800"}`, `{"metadata":null}`, "{\"type\":\"\xff\"}", `{"delay":"9999999h"}`,
	} {
		f.Add([]byte(seed))
	}
	q := fuzzed(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		var s jobs.Submission
		problem := decode("", body, &s)
		var j NewJob
		if problem == nil {
			j, problem = q.live.Load().newJob("body", s, q.now())
		}
		if problem != nil {
			checkProblem(t, problem)
			return
		}
		checkStored(t, j)
	})
}

func FuzzCompleteBatch(f *testing.F) {
	const id = "0198a9e4-0000-7000-8000-000000000000"
	for _, seed := range []string{
		`{"jobs":[{"id":"` + id + `","token":1,"value":{"n":[1,"x",null]}},{"id":"` + id + `","token":2,"base64":"AA==","contentType":"image/png"}]}`,
		`{"jobs":[{"id":"x","token":-1}]}`, `{"jobs":null}`, `{"jobs":[null]}`, `[]`, `{"jobs":[{"token":1e99}]}`, `{"jobs":[{"value":1,"base64":"AA=="}]}`,
	} {
		f.Add([]byte(seed))
	}
	l := fuzzed(f).live.Load()
	f.Fuzz(func(t *testing.T, body []byte) {
		var batch jobs.CompleteBatch
		if problem := decode("", body, &batch); problem != nil {
			checkProblem(t, problem)
			return
		}
		for i := range batch.Jobs {
			c, problem := l.completion("body.jobs[0]", &batch.Jobs[i])
			if problem != nil {
				checkProblem(t, problem)
				continue
			}
			if !validID(c.ID) || len(c.Result.Data) > 4096 || c.Result.ContentType == typeJSON && !json.Valid(c.Result.Data) {
				t.Fatalf("%+v would be stored", c)
			}
		}
	})
}

func FuzzList(f *testing.F) {
	for _, seed := range []string{"status=dead&type=a&metadata.a=b&cursor=abc&limit=5", "limit=x", "metadata.=", "a=b&a=c", "type=%00", "cursor=%ff", "&&=;"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		l, problem := (&listInput{query: values}).read("status", "type", "cursor", "limit")
		if problem != nil {
			checkProblem(t, problem)
			return
		}
		if l.limit < 1 || l.limit > maxLimit || !plane.Printable(l.cursor) || !plane.Printable(l.filter.Type) || len(l.filter.Metadata) > plane.MaxMetadata {
			t.Fatalf("%q is read as %+v", query, l)
		}
	})
}

func FuzzEvents(f *testing.F) {
	head := `{"specversion":"1.0","id":"1","source":"/t","type":"t"`
	for _, seed := range []string{
		head + `}`, head + `,"data":{"a":1}}`, head + `,"data_base64":"AA=="}`, head + `,"datacontenttype":"text/plain","data":"x","priority":"normal","orderingkey":"k"}`, head + `,"priority":5}`,
		`[` + head + `},` + head + `}]`, `[]`, `null`, head + `,"subject":"a b","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}`,
	} {
		f.Add([]byte(seed), "application/cloudevents+json", "a")
		f.Add([]byte(seed), "application/cloudevents-batch+json", "a")
		f.Add([]byte(seed), "application/json", "%C3%BC")
		f.Add([]byte(seed), "text/plain; charset=\"", "\x00")
	}
	q := fuzzed(f)
	f.Fuzz(func(t *testing.T, body []byte, contentType, extension string) {
		header := http.Header{"Content-Type": {contentType}, "Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/t"}, "Ce-Type": {"t"}, "Ce-Orderingkey": {extension}}
		batch, problem := q.decodeEvents(header, body)
		if problem != nil {
			checkProblem(t, problem)
			return
		}
		for _, j := range batch {
			checkStored(t, j)
			if j.TraceParent != "" && plane.ParseTraceParent(j.TraceParent) != j.TraceParent {
				t.Fatalf("the trace is %q", j.TraceParent)
			}
		}
	})
}
