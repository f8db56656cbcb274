package realtime

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// fuzzed is a gateway without an engine: enough to read what it is sent.
func fuzzed() *Gateway {
	g := &Gateway{}
	g.setLimits(planeconfig.Limits{MessageBytes: 4096, RoomsPerConnection: 32})
	return g
}

// checkProblem holds whatever is refused to the form of a problem: complete,
// short, and fit to be sent.
func checkProblem(t *testing.T, p *plane.Problem) {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil || !utf8.Valid(text) || len(text) > 4096 {
		t.Fatalf("a problem of %d bytes, %v: %.200s", len(text), err, text)
	}
	if p.Status < 400 || p.Status > 499 || p.Detail == "" || !strings.HasPrefix(p.Type, plane.ProblemBase) {
		t.Fatalf("the problem is not one: %s", text)
	}
}

// checkStored holds what would be stored to what every protocol relies on.
func checkStored(t *testing.T, m NewMessage) {
	t.Helper()
	var compact bytes.Buffer
	if err := json.Compact(&compact, m.Data); err != nil || !bytes.Equal(compact.Bytes(), m.Data) {
		t.Fatalf("data is not compact JSON: %v %q", err, m.Data)
	}
	if !utf8.Valid(m.Data) || bytes.ContainsAny(m.Data, "\n\r") || len(m.Data) > 4096 {
		t.Fatalf("data cannot be a line of a stream: %q", m.Data)
	}
	if !printable(m.IdempotencyKey) || len(m.IdempotencyKey) > maxKey+4 {
		t.Fatalf("the key is %q", m.IdempotencyKey)
	}
}

func FuzzFrame(f *testing.F) {
	for _, seed := range []string{
		`{"id":1,"type":"subscribe","room":"lobby","since":"oldest"}`, `{"type":"publish","room":"a","data":{"n":[1,"x",null]},"idempotencyKey":"k"}`,
		`{"type":"ping"}`, `{"id":-1}`, `{"id":1e99}`, `null`, `[]`, `""`, `{"data":1,"data":2}`, "{\"room\":\"\xff\"}", `{"room":"a\"b\u2028"}`, ``, `{}{}`,
	} {
		f.Add([]byte(seed))
	}
	g := fuzzed()
	f.Fuzz(func(t *testing.T, data []byte) {
		cmd, problem := parseCommand(data)
		if problem != nil {
			checkProblem(t, problem)
			if answer := errorFrame(cmd.ID, cmd.Room, problem); !json.Valid(answer) {
				t.Fatalf("the answer is not JSON: %s", answer)
			}
			return
		}
		if validRoom(cmd.Room) != (checkRoom(cmd.Room) == nil) {
			t.Fatal("a room is valid, and is not")
		}
		m := NewMessage{Data: cmd.Data, IdempotencyKey: cmd.IdempotencyKey}
		if problem := g.checkMessage("frame", &m); problem != nil {
			checkProblem(t, problem)
			return
		}
		checkStored(t, m)
		if text := encodeFrame("room", "epoch", 1, map[string]string{}, m.Data).text; !json.Valid(text) {
			t.Fatalf("the message is not JSON: %s", text)
		}
	})
}

func FuzzPublish(f *testing.F) {
	for _, seed := range []string{
		`{"data":1}`, `{"messages":[{"data":1},{"data":"two","idempotencyKey":"k"}]}`, `{"messages":[]}`, `{"data":null}`, `{"data":1,"messages":[]}`,
		`{"data" : { "a" : [ 1 , 2 ] } }`, `{"data":"` + "\u2028" + `"}`, `{"data":"\ud800"}`, strings.Repeat("[", 50),
	} {
		f.Add([]byte(seed), "key")
	}
	g := fuzzed()
	f.Fuzz(func(t *testing.T, body []byte, key string) {
		messages, _, problem := g.decodePublish(body, key)
		if problem != nil {
			checkProblem(t, problem)
			return
		}
		for _, m := range messages {
			checkStored(t, m)
		}
	})
}

func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"room=a", "room=a&room=b&since=a=abc:1,b=abc:2", "room=a&since=abc:1", "since=oldest&room=a", "room=a&since=a=abc:18446744073709551615", "room=%00", "room=a&since=,=", "&&=;"} {
		f.Add(seed, "")
	}
	f.Add("room=a&room=b", "a=x:0,b=y:9223372036854775807")
	f.Fuzz(func(t *testing.T, query, lastID string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		rooms, problem := streamRooms(values)
		if problem != nil {
			checkProblem(t, problem)
			return
		}
		from := lastID
		if from == "" {
			from = values.Get("since")
		}
		starts, problem := parseEventID(from, rooms)
		if problem != nil {
			checkProblem(t, problem)
			return
		}
		if len(starts) != len(rooms) {
			t.Fatalf("%d starts for %d rooms", len(starts), len(rooms))
		}
		following := make([]*following, len(starts))
		for i, s := range starts {
			following[i] = followingOf(s)
		}
		// The id that the stream would send means the same places.
		again, problem := parseEventID(string(appendEventID(nil, following)), rooms)
		if problem != nil {
			t.Fatalf("an id of our own is refused: %v", problem)
		}
		for i, s := range starts {
			if s.since.kind == sincePosition && again[i] != s {
				t.Fatalf("room %s starts at %v, and then at %v", s.room, s, again[i])
			}
		}
	})
}

func followingOf(s start) *following {
	at := s.since.at
	if at.Epoch == "" {
		at.Epoch = "none"
	}
	return &following{room: s.room, pos: at}
}

func FuzzPosition(f *testing.F) {
	for _, seed := range []string{"abc:1", "a:0", ":1", "a:", "a:01", "a:+1", "a:-1", "a:9223372036854775808", "a:1:2", strings.Repeat("a", 33) + ":1", "oldest", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		p, ok := ParsePosition(token)
		if ok && p.String() != token {
			t.Fatalf("%q is read as %q", token, p)
		}
		s, problem := parseSince(token, sinceLatest)
		if problem != nil {
			checkProblem(t, problem)
			return
		}
		if token != "" && s.String() != token {
			t.Fatalf("%q is read as %v", token, s)
		}
	})
}

func FuzzEvents(f *testing.F) {
	head := `{"specversion":"1.0","id":"1","source":"/t","type":"t","subject":"a"`
	for _, seed := range []string{
		head + `}`, head + `,"data":{"a":1}}`, head + `,"data_base64":"AA=="}`, head + `,"data_base64":5}`, head + `,"datacontenttype":"text/plain","data":"x"}`,
		head + `,"":1}`, head + `,"time":"2026-03-01T12:00:00Z","n":1.5,"b":true,"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}`,
		`[` + head + `},` + head + `}]`, `[]`, `null`, `{"specversion":"0.3"}`, `{"data_base64":"A","specversion":"1.0"}`, `{"data_base64":"","specversion":"1.0","dataschema":{}}`,
	} {
		f.Add([]byte(seed), "application/cloudevents+json", "a", "1")
		f.Add([]byte(seed), "application/cloudevents-batch+json", "a", "1")
		f.Add([]byte(seed), "application/json", "a", "%C3%BC")
		f.Add([]byte(seed), "text/plain; charset=\"", "%", "\x00")
	}
	g := fuzzed()
	f.Fuzz(func(t *testing.T, body []byte, contentType, subject, extension string) {
		header := http.Header{"Content-Type": {contentType}, "Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/t"}, "Ce-Type": {"t"}, "Ce-Subject": {subject}, "Ce-Ext": {extension}}
		messages, problem := g.decodeEvents(header, body)
		if problem != nil {
			checkProblem(t, problem)
			return
		}
		for _, m := range messages {
			checkStored(t, m.NewMessage)
			if !validRoom(m.room) {
				t.Fatalf("the room is %q", m.room)
			}
			if m.traceParent != "" && plane.ParseTraceParent(m.traceParent) != m.traceParent {
				t.Fatalf("the trace is %q", m.traceParent)
			}
			// What is delivered is an event to whoever reads it, and for the same room.
			var e event.Event
			if err := json.Unmarshal(m.Data, &e); err != nil || e.Subject() != m.room {
				t.Fatalf("delivered is %s: %v", m.Data, err)
			}
		}
	})
}
