package conformance

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

var eventTests = []test{{"CloudEventsBecomeJobs", testCloudEvents}}

func testCloudEvents(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	binary := func(id string, data string, headers ...string) reply {
		return c.must(http.StatusNoContent, http.MethodPost, "/v1/events", []byte(data), append([]string{"Ce-Specversion", "1.0", "Ce-Id", id, "Ce-Source", "/shop", "Ce-Type", "order"}, headers...)...)
	}
	binary("1", `{"a": 1}`, "Ce-Subject", "order 7", "Ce-Priority", "high", "Ce-Orderingkey", "k", "Ce-Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	if r := binary("1", `{"a": 1}`); r.header.Get("Idempotent-Replayed") != "true" {
		t.Error("an event that comes again is not told so")
	}
	c.must(http.StatusNoContent, http.MethodPost, "/v1/events", []byte(`{"specversion":"1.0","id":"2","source":"/shop","type":"order","datacontenttype":"image/png","data_base64":"AAH/"}`),
		"Content-Type", "application/cloudevents+json")
	event := func(id string) string {
		return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/shop","type":"order","data":%q}`, id, id)
	}
	c.must(http.StatusNoContent, http.MethodPost, "/v1/events", []byte("["+event("3")+","+event("4")+","+event("3")+"]"), "Content-Type", "application/cloudevents-batch+json")
	leases := map[string]jobs.Lease{}
	for len(leases) < 4 {
		for _, l := range c.lease(10) {
			leases[string(l.Payload)+string(l.PayloadBase64)] = l
		}
	}
	first := leases[`{"a":1}`]
	if first.Job.Type != "order" || first.Job.Priority != "high" || first.Job.OrderingKey != "k" || first.TraceParent == "" {
		t.Errorf("leased %+v", first)
	}
	if diff := cmp.Diff(map[string]string{"source": "/shop", "subject": "order 7"}, first.Job.Metadata); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	if l := leases["\x00\x01\xff"]; l.ContentType != "image/png" {
		t.Errorf("leased %+v", l)
	}
	if got := c.list(); len(got.Jobs) != 4 {
		t.Errorf("%d jobs were made of four events", len(got.Jobs))
	}
	for _, bad := range []string{`{`, `{}`, `{"specversion":"0.3","id":"1","source":"/s","type":"t"}`, `{"specversion":"1.0","id":"9","source":"/s","type":"t","priority":"urgent"}`,
		`{"specversion":"1.0","id":"9","source":"/s","type":"t","priority":5}`} {
		c.must(http.StatusBadRequest, http.MethodPost, "/v1/events", []byte(bad), "Content-Type", "application/cloudevents+json").problem(t)
	}
	c.must(http.StatusUnsupportedMediaType, http.MethodPost, "/v1/events", []byte(`{}`)).problem(t)
}
