package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/google/go-cmp/cmp"
)

var eventTests = []test{
	{"EventsInEveryMode", testEventModes},
	{"EventsSentAgainArePublishedOnce", testEventsAgain},
	{"EventsOfSeveralRoomsInOneBatch", testEventBatch},
	{"EventsThatAreRefused", testEventsRefused},
	{"EventsCarryTheirTrace", testEventTrace},
}

const (
	structured = "application/cloudevents+json"
	batched    = "application/cloudevents-batch+json"
)

// newEvent is an event for a room, with data of a content type.
func newEvent(t *testing.T, id, room, contentType string, data []byte) event.Event {
	t.Helper()
	e := event.New()
	e.SetID(id)
	e.SetSource("/tests")
	e.SetType("example.made")
	e.SetSubject(room)
	e.SetExtension("tenant", "ü 1")
	if err := e.SetData(contentType, data); err != nil {
		t.Fatal(err)
	}
	e.DataBase64 = contentType == "application/octet-stream"
	return e
}

// sendEvents sends as the official SDK does, and returns the answer.
func (c *client) sendEvents(t *testing.T, mode string, events ...event.Event) reply {
	t.Helper()
	ctx, cancel := soon(context.Background())
	defer cancel()
	var req *http.Request
	var err error
	switch mode {
	case "batched":
		req, err = cehttp.NewHTTPRequestFromEvents(ctx, c.base+"/v1/events", events)
	case "structured":
		req, err = cehttp.NewHTTPRequestFromEvent(binding.WithForceStructured(ctx), c.base+"/v1/events", events[0])
	default:
		req, err = cehttp.NewHTTPRequestFromEvent(ctx, c.base+"/v1/events", events[0])
		// The SDK does not encode what is not ASCII, as the binding says to.
		req.Header.Set("Ce-Tenant", "%C3%BC%201")
	}
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{status: resp.StatusCode, header: resp.Header, body: body}
}

// testEventModes sends one event in each mode and with each kind of data: the
// message is the same event, whichever way it came.
func testEventModes(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	for _, mode := range []string{"binary", "structured", "batched"} {
		for name, data := range map[string]struct{ contentType, data, want string }{
			"json":  {"application/json", `{"text": "h\u00e4"}`, `{"text":"h\u00e4"}`},
			"text":  {"text/plain; charset=utf-8", "a \"line\"\nand another", `"a \"line\"\nand another"`},
			"bytes": {"application/octet-stream", "\xff\x00", `"/wA="`},
		} {
			room := mode + "." + name
			e := newEvent(t, "1", room, data.contentType, []byte(data.data))
			if r := c.sendEvents(t, mode, e); r.status != http.StatusNoContent || len(r.body) != 0 {
				t.Errorf("%s: status %d %s, want 204 without a body", room, r.status, r.body)
				continue
			}
			page := c.poll(room)
			if len(page.Messages) != 1 {
				t.Errorf("%s: the room has %d messages", room, len(page.Messages))
				continue
			}
			want := map[string]string{
				"specversion": `"1.0"`, "id": `"1"`, "source": `"/tests"`, "type": `"example.made"`, "subject": `"` + room + `"`,
				"tenant": `"ü 1"`, "datacontenttype": `"` + data.contentType + `"`, "data": data.want,
			}
			if name == "bytes" {
				want["data_base64"] = want["data"]
				delete(want, "data")
			}
			got := map[string]string{}
			for k, v := range decode[map[string]json.RawMessage](t, page.Messages[0].Data) {
				got[k] = string(v)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", room, diff)
			}
			var back event.Event
			if err := json.Unmarshal(page.Messages[0].Data, &back); err != nil || string(back.Data()) != data.data && name != "json" {
				t.Errorf("%s: the SDK reads back %q, %v", room, back.Data(), err)
			}
		}
	}
}

func testEventsAgain(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	e := newEvent(t, "same", "a", "application/json", []byte(`1`))
	for i, mode := range []string{"binary", "structured", "batched", "binary"} {
		r := c.sendEvents(t, mode, e)
		if r.status != http.StatusNoContent || (r.header.Get("Idempotent-Replayed") == "true") != (i > 0) {
			t.Errorf("time %d, %s: status %d, replayed %q", i+1, mode, r.status, r.header.Get("Idempotent-Replayed"))
		}
	}
	other := newEvent(t, "same", "a", "application/json", []byte(`1`))
	other.SetSource("/elsewhere")
	c.sendEvents(t, "binary", other)
	// Source and id say that it is the same event, whatever else it carries now.
	e.SetExtension("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	if r := c.sendEvents(t, "structured", e); r.status != http.StatusNoContent {
		t.Errorf("the same event with a trace: status %d %s", r.status, r.body)
	}
	if n := len(c.poll("a").Messages); n != 2 {
		t.Errorf("the room has %d messages, want one of each source", n)
	}
}

func testEventBatch(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	var events []event.Event
	for i := range 6 {
		events = append(events, newEvent(t, fmt.Sprint(i), []string{"a", "b"}[i%2], "application/json", fmt.Append(nil, i)))
	}
	if r := c.sendEvents(t, "batched", events...); r.status != http.StatusNoContent {
		t.Fatalf("status %d %s", r.status, r.body)
	}
	for room, want := range map[string][]string{"a": {"0", "2", "4"}, "b": {"1", "3", "5"}} {
		var got []string
		for _, m := range c.poll(room).Messages {
			got = append(got, string(decode[struct{ Data json.RawMessage }](t, m.Data).Data))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("room %s (-want +got):\n%s", room, diff)
		}
	}
	if r := c.sendEvents(t, "batched"); r.status != http.StatusBadRequest && r.status != http.StatusNoContent {
		t.Errorf("an empty batch: status %d %s", r.status, r.body)
	}
	// One event that may not be published keeps all of its batch back.
	only := c.with(c.mint("ann", "publish", "a"))
	if r := only.sendEvents(t, "batched", newEvent(t, "x", "a", "application/json", []byte(`9`)), newEvent(t, "y", "b", "application/json", []byte(`9`))); r.status != http.StatusForbidden {
		t.Errorf("a batch with a room not allowed: status %d", r.status)
	}
	if n := len(c.poll("a").Messages); n != 3 {
		t.Errorf("a refused batch left %d messages, want 3", n)
	}
}

func testEventsRefused(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	head := `{"specversion":"1.0","id":"1","source":"/t","type":"t"`
	good := head + `,"subject":"a"`
	for name, r := range map[string]struct {
		contentType, body string
		status            int
		slug              string
	}{
		"not an event":             {"application/json", `{"data":1}`, 415, "unsupported-media-type"},
		"another format":           {"application/cloudevents+avro", "x", 415, "unsupported-media-type"},
		"another charset":          {structured + "; charset=latin1", good + `}`, 415, "unsupported-media-type"},
		"no JSON":                  {structured, good, 400, "invalid-event"},
		"a list":                   {structured, `[` + good + `}]`, 400, "invalid-event"},
		"null":                     {structured, `null`, 400, "invalid-event"},
		"invalid UTF-8":            {structured, good + ",\"data\":\"\xff\"}", 400, "invalid-event"},
		"no subject":               {structured, head + `}`, 400, "invalid-event"},
		"an empty subject":         {structured, head + `,"subject":""}`, 400, "invalid-event"},
		"a null subject":           {structured, head + `,"subject":null}`, 400, "invalid-event"},
		"a subject that is a path": {structured, head + `,"subject":"/a/b"}`, 400, "invalid-room"},
		"a subject of a type":      {structured, head + `,"subject":5}`, 400, "invalid-event"},
		"no id":                    {structured, `{"specversion":"1.0","source":"/t","type":"t","subject":"a"}`, 400, "invalid-event"},
		"no source":                {structured, `{"specversion":"1.0","id":"1","type":"t","subject":"a"}`, 400, "invalid-event"},
		"no type":                  {structured, `{"specversion":"1.0","id":"1","source":"/t","subject":"a"}`, 400, "invalid-event"},
		"no version":               {structured, `{"id":"1","source":"/t","type":"t","subject":"a"}`, 400, "invalid-event"},
		"an old version":           {structured, strings.Replace(good, "1.0", "0.3", 1) + `}`, 400, "invalid-event"},
		"a bad time":               {structured, good + `,"time":"soon"}`, 400, "invalid-event"},
		"base64 of a number":       {structured, good + `,"data_base64":5}`, 400, "invalid-event"},
		"base64 that is none":      {structured, good + `,"data_base64":"***"}`, 400, "invalid-event"},
		"two sorts of data":        {structured, good + `,"data":1,"data_base64":"AA=="}`, 400, "invalid-event"},
		"a member without a name":  {structured, good + `,"":1}`, 400, "invalid-event"},
		"an attribute in capitals": {structured, good + `,"Tenant-1":"x"}`, 400, "invalid-event"},
		"an attribute with depth":  {structured, good + `,"tenant":{"a":1}}`, 400, "invalid-event"},
		"data beyond the limit":    {structured, good + `,"data":"` + strings.Repeat("x", MessageBytes) + `"}`, 413, "message-too-large"},
		"data beyond all nesting":  {structured, good + `,"data":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, 400, "invalid-event"},
		"text that is no string":   {structured, good + `,"datacontenttype":"text/plain","data":{"a":1}}`, 400, "invalid-event"},
		"a batch that is none":     {batched, good + `}`, 400, "invalid-event"},
		"a batch with a hole":      {batched, `[` + good + `},null]`, 400, "invalid-event"},
		"a batch too long":         {batched, `[` + repeat(good+`}`, 101) + `]`, 400, "invalid-request"},
	} {
		p := c.must(r.status, http.MethodPost, "/v1/events", []byte(r.body), "Content-Type", r.contentType).problem(t)
		if p.Slug() != r.slug || len(p.Detail) > 600 {
			t.Errorf("%s: refused as %s, want %s: %s", name, p.Slug(), r.slug, p.Detail)
		}
	}
	// With the attributes in headers: data that is not what it says, and an attribute sent twice.
	binary := []string{"Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "/t", "Ce-Type", "t", "Ce-Subject", "a", "Content-Type", "application/json"}
	if p := c.must(http.StatusBadRequest, http.MethodPost, "/v1/events", []byte(`{`), binary...).problem(t); p.Slug() != "invalid-request" {
		t.Errorf("broken data: refused as %s", p.Slug())
	}
	if p := c.must(http.StatusBadRequest, http.MethodPost, "/v1/events", []byte(`1`), append(binary, "Ce-Subject", "%FF")...).problem(t); p.Slug() != "invalid-event" {
		t.Errorf("a subject that is not UTF-8: refused as %s", p.Slug())
	}
	c.with(c.mint("ann", "subscribe", "*")).must(http.StatusForbidden, http.MethodPost, "/v1/events", []byte(good+`}`), "Content-Type", structured)
	c.with("").must(http.StatusUnauthorized, http.MethodPost, "/v1/events", []byte(good+`}`), "Content-Type", structured)
	if page := c.poll("a"); len(page.Messages) != 0 {
		t.Errorf("something was published: %s", page.Messages[0].Data)
	}
}

func testEventTrace(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	const own, outer = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	send := func(id, trace string, headers ...string) {
		t.Helper()
		e := newEvent(t, id, "a", "application/json", []byte(`1`))
		e.SetExtension("traceparent", trace)
		body, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		c.must(http.StatusNoContent, http.MethodPost, "/v1/events", body, append(headers, "Content-Type", structured)...)
	}
	send("1", own)
	send("2", own, "Traceparent", outer)
	send("3", `00-"},"x":"`)
	var got []string
	for _, m := range decode[struct {
		Messages []struct{ TraceParent string }
	}](t, c.must(http.StatusOK, http.MethodGet, messagesPath("a"), nil).body).Messages {
		got = append(got, m.TraceParent)
	}
	if diff := cmp.Diff([]string{own, outer, ""}, got); diff != "" {
		t.Errorf("traces of the messages (-want +got):\n%s", diff)
	}
}
