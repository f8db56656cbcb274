package realtime

import (
	"net/http"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/trellis-dev/trellis/internal/plane"
)

// decodeEvents makes each event of a request a message for the room that its subject names.
func (g *Gateway) decodeEvents(header http.Header, body []byte) ([]addressed, *plane.Problem) {
	events, problem := plane.DecodeEvents(header, body, maxBatch)
	if problem != nil {
		return nil, problem
	}
	out := make([]addressed, len(events))
	for i := range events {
		if out[i], problem = g.messageOfEvent(events[i].At, &events[i].Event); problem != nil {
			return nil, problem
		}
	}
	return out, nil
}

func (g *Gateway) messageOfEvent(at string, e *event.Event) (addressed, *plane.Problem) {
	room := e.Subject()
	if room == "" {
		return addressed{}, plane.InvalidEvent(at+".subject", "is missing: set it to the name of the room that the event is for")
	}
	if problem := checkRoom(room); problem != nil {
		problem.Errors = []plane.ProblemError{{Location: at + ".subject", Message: "names the room, and is not the name of one"}}
		return addressed{}, problem
	}
	data, err := e.MarshalJSON()
	if err != nil || !utf8.Valid(data) {
		return addressed{}, plane.InvalidEvent(at, "cannot be put into JSON").Because(err)
	}
	m := addressed{room: room, NewMessage: NewMessage{Data: data, IdempotencyKey: plane.EventKey(e), identified: true}}
	if trace, ok := e.Extensions()["traceparent"].(string); ok {
		m.traceParent = plane.ParseTraceParent(trace)
	}
	return m, g.checkMessage(at, &m.NewMessage)
}
