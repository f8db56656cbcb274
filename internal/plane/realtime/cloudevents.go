package realtime

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/trellis-dev/trellis/internal/plane"
)

// Media types of the CloudEvents HTTP protocol binding, version 1.0.
const (
	typeEvent  = event.ApplicationCloudEventsJSON
	typeEvents = event.ApplicationCloudEventsBatchJSON
	// headerVersion marks an event whose attributes are headers.
	headerVersion = "Ce-Specversion"
)

// decodeEvents reads the events of a request, in whichever of the three modes
// it sends them, and makes each a message for the room that its subject names.
func (g *Gateway) decodeEvents(header http.Header, body []byte) ([]addressed, *plane.Problem) {
	media, params, _ := mime.ParseMediaType(header.Get("Content-Type"))
	if charset := params["charset"]; strings.HasPrefix(media, "application/cloudevents") && charset != "" && !strings.EqualFold(charset, "utf-8") {
		return nil, problemEventType()
	}
	switch {
	case media == typeEvent:
		e, problem := structuredEvent("body", body)
		if problem != nil {
			return nil, problem
		}
		return g.messagesOf([]event.Event{e}, "body")
	case media == typeEvents:
		return g.decodeEventBatch(body)
	case strings.HasPrefix(media, "application/cloudevents") || header.Get(headerVersion) == "":
		return nil, problemEventType()
	}
	e, problem := binaryEvent(header, body)
	if problem != nil {
		return nil, problem
	}
	return g.messagesOf([]event.Event{e}, "event")
}

func (g *Gateway) decodeEventBatch(body []byte) ([]addressed, *plane.Problem) {
	var parts []json.RawMessage
	if !utf8.Valid(body) || json.Unmarshal(body, &parts) != nil {
		return nil, problemEvent("body", "a batch is a JSON array of events")
	}
	if len(parts) > maxBatch {
		return nil, problemInvalid(fmt.Sprintf("a batch has at most %d events", maxBatch))
	}
	events := make([]event.Event, len(parts))
	for i, part := range parts {
		var problem *plane.Problem
		if events[i], problem = structuredEvent(fmt.Sprintf("body[%d]", i), part); problem != nil {
			return nil, problem
		}
	}
	return g.messagesOf(events, "body[%d]")
}

// structuredEvent reads an event in the JSON format. The members are read by
// the standard library first: the SDK trusts names to be unique, and data_base64
// to be a string.
func structuredEvent(at string, body []byte) (event.Event, *plane.Problem) {
	var e event.Event
	var members map[string]json.RawMessage
	if !utf8.Valid(body) || json.Unmarshal(body, &members) != nil || members == nil {
		return e, problemEvent(at, "an event is a JSON object in UTF-8")
	}
	// The JSON format lets an attribute that is null be as one that is absent.
	maps.DeleteFunc(members, func(_ string, value json.RawMessage) bool { return string(value) == "null" })
	if problem := checkMembers(at, members); problem != nil {
		return e, problem
	}
	unique, err := json.Marshal(members)
	if err != nil {
		return e, problemEvent(at, "an event is a JSON object in UTF-8").Because(err)
	}
	if err := json.Unmarshal(unique, &e); err != nil {
		return e, problemEventFault(at, err)
	}
	return e, nil
}

func checkMembers(at string, members map[string]json.RawMessage) *plane.Problem {
	for name, value := range members {
		switch {
		case name == "" || name == "data_base64" && members["data"] != nil:
			return problemEvent(at, "an event has data or data_base64, and no member without a name")
		case name != "data" && (value[0] == '{' || value[0] == '['):
			return problemEvent(at+"."+attributeName(name), "an attribute is a string, a number or a boolean")
		case name == "data_base64" && value[0] != '"':
			return problemEvent(at+".data_base64", "must be a string")
		}
	}
	return nil
}

// attributeName keeps what a problem echoes short and plain.
func attributeName(name string) string {
	if len(name) > maxAttribute || strings.ContainsFunc(name, notAlphanumeric) {
		return "attribute"
	}
	return name
}

const maxAttribute = 32

// binaryEvent reads an event whose attributes are headers and whose data is the body.
func binaryEvent(header http.Header, body []byte) (event.Event, *plane.Problem) {
	attributes := http.Header{}
	for name, values := range header {
		if !strings.HasPrefix(name, "Ce-") && name != "Content-Type" {
			continue
		}
		if len(values) > 1 {
			return event.Event{}, problemEvent("header."+name, "must be sent once")
		}
		value := values[0]
		if name != "Content-Type" {
			// Section 3.1.3.2 of the binding: what is not plain ASCII is percent-encoded.
			if plain, err := url.PathUnescape(value); err == nil {
				value = plain
			}
			value = strings.Trim(value, `"`)
		}
		if !utf8.ValidString(value) {
			return event.Event{}, problemEvent("header."+name, "must be percent-encoded UTF-8")
		}
		attributes.Set(name, value)
	}
	e, err := binding.ToEvent(context.Background(), cehttp.NewMessage(attributes, io.NopCloser(bytes.NewReader(body))))
	if err != nil {
		return event.Event{}, problemEventFault("event", err)
	}
	e.DataBase64 = len(body) > 0 && !isText(e, body)
	return *e, nil
}

// isText reports whether data may stand in JSON as it is: as JSON, or as a string.
func isText(e *event.Event, data []byte) bool {
	media, _, _ := mime.ParseMediaType(e.DataContentType())
	json := media == "" || media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json")
	return json || utf8.Valid(data) && (strings.HasPrefix(media, "text/") || media == "application/xml" || strings.HasSuffix(media, "+xml"))
}

// messagesOf makes messages of events. at is where a problem says that it is;
// with several events it has a verb for which one.
func (g *Gateway) messagesOf(events []event.Event, at string) ([]addressed, *plane.Problem) {
	out := make([]addressed, len(events))
	for i := range events {
		where := at
		if strings.Contains(at, "%d") {
			where = fmt.Sprintf(at, i)
		}
		m, problem := g.messageOfEvent(where, &events[i])
		if problem != nil {
			return nil, problem
		}
		out[i] = m
	}
	return out, nil
}

func (g *Gateway) messageOfEvent(at string, e *event.Event) (addressed, *plane.Problem) {
	if e.SpecVersion() != event.CloudEventsVersionV1 {
		return addressed{}, problemEvent(at+".specversion", "must be 1.0")
	}
	if err := e.Validate(); err != nil {
		return addressed{}, problemEventFault(at, err)
	}
	room := e.Subject()
	if room == "" {
		return addressed{}, problemEvent(at+".subject", "is missing: set it to the name of the room that the event is for")
	}
	if problem := checkRoom(room); problem != nil {
		problem.Errors = []plane.ProblemError{{Location: at + ".subject", Message: "names the room, and is not the name of one"}}
		return addressed{}, problem
	}
	data, err := e.MarshalJSON()
	if err != nil || !utf8.Valid(data) {
		return addressed{}, problemEvent(at, "cannot be put into JSON").Because(err)
	}
	m := addressed{room: room, NewMessage: NewMessage{Data: data, IdempotencyKey: eventKey(e), identified: true}}
	if trace, ok := e.Extensions()["traceparent"].(string); ok {
		m.traceParent = plane.ParseTraceParent(trace)
	}
	return m, g.checkMessage(at, &m.NewMessage)
}

// eventKey is the idempotency key of an event: source and id together say which
// event it is (section 3.1 of the specification).
func eventKey(e *event.Event) string {
	sum := sha256.Sum256([]byte(e.Source() + "\x00" + e.ID()))
	return "ce:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

func problemEventType() *plane.Problem {
	return plane.NewProblem(http.StatusUnsupportedMediaType, "unsupported-media-type", "The request's body is of a type not understood here",
		"send a CloudEvent 1.0: as "+typeEvent+", as a batch of "+typeEvents+", or with the attributes as ce- headers, ce-specversion among them; JSON in UTF-8")
}

func problemEvent(location, message string) *plane.Problem {
	p := plane.NewProblem(http.StatusBadRequest, "invalid-event", "The event is not a valid CloudEvent", location+": "+message)
	p.Errors = []plane.ProblemError{{Location: location, Message: message}}
	return p
}

// problemEventFault puts the SDK's error in order, and its length in bounds.
func problemEventFault(at string, err error) *plane.Problem {
	var invalid event.ValidationError
	if !errors.As(err, &invalid) || len(invalid) == 0 {
		return problemEvent(at, clip(err.Error()))
	}
	name := slices.Sorted(maps.Keys(invalid))[0]
	return problemEvent(at+"."+attributeName(name), clip(invalid[name].Error()))
}

// clip keeps a fault, which may quote what it was sent, short and valid.
func clip(text string) string {
	const most = 200
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strings.ToValidUTF8(text, "?")
}
