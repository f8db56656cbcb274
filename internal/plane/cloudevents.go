package plane

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
	"github.com/danielgtaylor/huma/v2"
)

// Media types of the CloudEvents HTTP protocol binding, version 1.0.
const (
	typeEvent  = event.ApplicationCloudEventsJSON
	typeEvents = event.ApplicationCloudEventsBatchJSON
	// headerVersion marks an event whose attributes are headers.
	headerVersion = "Ce-Specversion"
)

// EventAt is an event of a request, and where it is there.
type EventAt struct {
	event.Event
	At string
}

// DecodeEvents reads the events of a request, at most most of them, in whichever of the three modes it sends them.
func DecodeEvents(header http.Header, body []byte, most int) ([]EventAt, *Problem) {
	media, params, _ := mime.ParseMediaType(header.Get("Content-Type"))
	if charset := params["charset"]; strings.HasPrefix(media, "application/cloudevents") && charset != "" && !strings.EqualFold(charset, "utf-8") {
		return nil, problemEventType()
	}
	switch {
	case media == typeEvent:
		return oneEvent("body", func() (event.Event, *Problem) { return structuredEvent("body", body) })
	case media == typeEvents:
		return decodeEventBatch(body, most)
	case strings.HasPrefix(media, "application/cloudevents") || header.Get(headerVersion) == "":
		return nil, problemEventType()
	}
	return oneEvent("event", func() (event.Event, *Problem) { return binaryEvent(header, body) })
}

func oneEvent(at string, read func() (event.Event, *Problem)) ([]EventAt, *Problem) {
	e, problem := read()
	if problem == nil {
		problem = checkEvent(at, &e)
	}
	if problem != nil {
		return nil, problem
	}
	return []EventAt{{e, at}}, nil
}

func checkEvent(at string, e *event.Event) *Problem {
	if e.SpecVersion() != event.CloudEventsVersionV1 {
		return InvalidEvent(at+".specversion", "must be 1.0")
	}
	if err := e.Validate(); err != nil {
		return problemEventFault(at, err)
	}
	return nil
}

func decodeEventBatch(body []byte, most int) ([]EventAt, *Problem) {
	var parts []json.RawMessage
	if !utf8.Valid(body) || json.Unmarshal(body, &parts) != nil {
		return nil, InvalidEvent("body", "a batch is a JSON array of events")
	}
	if len(parts) > most {
		return nil, Invalid(fmt.Sprintf("a batch has at most %d events", most))
	}
	events := make([]EventAt, 0, len(parts))
	for i, part := range parts {
		at := fmt.Sprintf("body[%d]", i)
		one, problem := oneEvent(at, func() (event.Event, *Problem) { return structuredEvent(at, part) })
		if problem != nil {
			return nil, problem
		}
		events = append(events, one...)
	}
	return events, nil
}

// structuredEvent reads an event in the JSON format. The members are read by
// the standard library first: the SDK trusts names to be unique, and data_base64
// to be a string.
func structuredEvent(at string, body []byte) (event.Event, *Problem) {
	var e event.Event
	var members map[string]json.RawMessage
	if !utf8.Valid(body) || json.Unmarshal(body, &members) != nil || members == nil {
		return e, InvalidEvent(at, "an event is a JSON object in UTF-8")
	}
	// The JSON format lets an attribute that is null be as one that is absent.
	maps.DeleteFunc(members, func(_ string, value json.RawMessage) bool { return string(value) == "null" })
	if problem := checkMembers(at, members); problem != nil {
		return e, problem
	}
	unique, err := json.Marshal(members)
	if err != nil {
		return e, InvalidEvent(at, "an event is a JSON object in UTF-8").Because(err)
	}
	if err := json.Unmarshal(unique, &e); err != nil {
		return e, problemEventFault(at, err)
	}
	return e, nil
}

func checkMembers(at string, members map[string]json.RawMessage) *Problem {
	for name, value := range members {
		switch {
		case name == "" || name == "data_base64" && members["data"] != nil:
			return InvalidEvent(at, "an event has data or data_base64, and no member without a name")
		case name != "data" && (value[0] == '{' || value[0] == '['):
			return InvalidEvent(at+"."+attributeName(name), "an attribute is a string, a number or a boolean")
		case name == "data_base64" && value[0] != '"':
			return InvalidEvent(at+".data_base64", "must be a string")
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
func binaryEvent(header http.Header, body []byte) (event.Event, *Problem) {
	attributes := http.Header{}
	for name, values := range header {
		if !strings.HasPrefix(name, "Ce-") && name != "Content-Type" {
			continue
		}
		if len(values) > 1 {
			return event.Event{}, InvalidEvent("header."+name, "must be sent once")
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
			return event.Event{}, InvalidEvent("header."+name, "must be percent-encoded UTF-8")
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
// EventKey is the idempotency key of an event: source and id together say which
// event it is (section 3.1 of the specification).
func EventKey(e *event.Event) string {
	sum := sha256.Sum256([]byte(e.Source() + "\x00" + e.ID()))
	return "ce:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

func problemEventType() *Problem {
	return NewProblem(http.StatusUnsupportedMediaType, "unsupported-media-type", "The request's body is of a type not understood here",
		"send a CloudEvent 1.0: as "+typeEvent+", as a batch of "+typeEvents+", or with the attributes as ce- headers, ce-specversion among them; JSON in UTF-8")
}

// InvalidEvent is the problem of an event, or of an attribute of one, that can not be taken.
func InvalidEvent(location, message string) *Problem {
	p := NewProblem(http.StatusBadRequest, "invalid-event", "The event is not a valid CloudEvent", location+": "+message)
	p.Errors = []ProblemError{{Location: location, Message: message}}
	return p
}

// problemEventFault puts the SDK's error in order, and its length in bounds.
func problemEventFault(at string, err error) *Problem {
	var invalid event.ValidationError
	if !errors.As(err, &invalid) || len(invalid) == 0 {
		return InvalidEvent(at, clip(err.Error()))
	}
	name := slices.Sorted(maps.Keys(invalid))[0]
	return InvalidEvent(at+"."+attributeName(name), clip(invalid[name].Error()))
}

// clip keeps a fault, which may quote what it was sent, short and valid.
func clip(text string) string {
	const most = 200
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strings.ToValidUTF8(text, "?")
}

// EventsInput is a request that brings events.
type EventsInput struct {
	RawBody []byte `contentType:"application/cloudevents+json"`
	header  http.Header
}

// Resolve implements huma.Resolver: the attributes of an event may be headers
// that nobody can list beforehand.
func (in *EventsInput) Resolve(ctx huma.Context) []error {
	in.header = http.Header{}
	ctx.EachHeader(func(name, value string) { in.header.Add(name, value) })
	return nil
}

// Header has all headers of the request.
func (in *EventsInput) Header() http.Header { return in.header }

// EventsBody describes the three forms of a body that brings events.
func EventsBody(description string) *huma.RequestBody {
	schema := &huma.Schema{Type: huma.TypeObject, Description: description}
	return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		typeEvent:  {Schema: schema},
		typeEvents: {Schema: &huma.Schema{Type: huma.TypeArray, Items: schema}},
		"*/*":      {Schema: &huma.Schema{Description: "The data of an event whose attributes are ce- headers."}},
	}}
}

func notAlphanumeric(r rune) bool {
	return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
}
