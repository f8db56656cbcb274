package eventcel

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func sample(t *testing.T) Event {
	t.Helper()
	data, err := Data([]byte(`{"id":"j1","attempt":2,"rate":0.5,"metadata":{"user":"ann"},"tags":["a","b"],"none":null,"big":12345678901234567890}`))
	if err != nil {
		t.Fatal(err)
	}
	return Event{
		ID: "e1", Type: "dev.trellis.job.dead", Source: "/trellis/apps/jobqueues/q", Subject: "j1",
		Time: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), Data: data,
	}
}

func TestFilter(t *testing.T) {
	for text, want := range map[string]string{
		"true":                            "true",
		"event.type.endsWith('.dead')":    "true",
		"event.data.attempt > 2":          "false",
		"event.data.attempt + 1 == 3":     "true",
		"event.data.rate < 1":             "true",
		"event.data.metadata.user == 'b'": "false",
		"has(event.data.metadata.team)":   "false",
		"'a' in event.data.tags":          "true",
		"event.time > timestamp('2026-01-01T00:00:00Z') && event.source.contains('/apps/') && event.subject == event.data.id": "true",
		"event.data.metadata[?'team'].orValue('x') == 'x'":                                                                    "true",
		"event.data.metadata.team == 'x'":                                                                                     "error: no such key: team",
		"bool(event.data.tags)":                                                                                               "error: no such overload: bool(list)",
		"[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, [1,2,3,4,5,6,7,8,9].all(d, [1,2,3,4,5,6,7,8,9].all(e, [1,2,3,4,5,6,7,8,9].all(f, a+b+c+d+e+f > 0))))))": "error: operation cancelled: actual cost limit exceeded",
	} {
		f, err := CompileFilter(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		wants, err := f.Wants(sample(t))
		got := map[bool]string{true: "true", false: "false"}[wants]
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}

func TestWhatIsNoExpression(t *testing.T) {
	filter := func(text string) error { _, err := CompileFilter(text); return err }
	subject := func(text string) error { _, err := CompileSubject(text); return err }
	content := func(text string) error { _, err := CompileContent(text); return err }
	for _, c := range []struct {
		compile    func(string) error
		text, want string
	}{
		{filter, "event.typ == 'a'", "column 6: undefined field 'typ': an event has id, type, source, subject, time and data"},
		{filter, "type == 'a'", "found no matching overload"},
		{filter, "job.id == 'a'", "column 1: undeclared reference to 'job' (in container ''): what there is is called event"},
		{filter, "event.data.ok", "it is of the type dyn: write one that gives a bool, such as"},
		{filter, "event.id +", "Syntax error"},
		{filter, strings.Repeat("(", 60) + "true" + strings.Repeat(")", 60), "recursion"},
		{subject, "event.time", "it is of the type google.protobuf.Timestamp: write one that gives a string"},
		{subject, "1", "it is of the type int: write one that gives a string"},
		{content, "event", "it is of the type trellis.Event: write one that gives what JSON has, such as event.data"},
		{content, "optional.of(1)", "it is of the type optional_type(int)"},
	} {
		if err := c.compile(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %q", c.text, err, c.want)
		}
	}
}

func TestSubject(t *testing.T) {
	for text, want := range map[string]string{
		"'user-' + event.data.metadata.user":             "user-ann",
		"event.data.id":                                  "j1",
		"string(event.data.attempt)":                     "2",
		"event.data.metadata[?'user'].orValue('nobody')": "ann",
		"event.data.attempt":                             "error: the subject is a int, not a string",
		"''":                                             "error: the subject is empty",
		"event.data.missing":                             "error: no such key: missing",
		"'" + strings.Repeat("x", 1025) + "'":            "error: the subject has 1025 bytes, and 1024 are the most",
		"event.data.attempt > 1 ? 'again' : event.data.id + '-one'": "again",
	} {
		s, err := CompileSubject(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := s.Of(sample(t))
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}

func TestContent(t *testing.T) {
	for text, want := range map[string]string{
		"event.data.tags": `["a","b"]`,
		"{'id': event.data.id, 'n': event.data.attempt, 'r': event.data.rate, 'at': event.time, 'of': {'who': event.data.metadata}, 'none': event.data.none}": `{"at":"2026-01-02T03:04:05.000006Z","id":"j1","n":2,"none":null,"of":{"who":{"user":"ann"}},"r":0.5}`,
		"event.data.metadata.transformMap(k, v, v + '!')": `{"user":"ann!"}`,
		"[1, 1.5, 2u, b'ab', duration('90s'), true]":      `[1,1.5,2,"YWI=","1m30s",true]`,
		"'text'": `"text"`,
		"{?'a': event.data.?metadata.?user, ?'b': event.data.?other}": `{"a":"ann"}`,
		"{1: 'a'}":  "error: the data is not JSON: a key is a int, not a string",
		"1.0 / 0.0": "error: the data is not JSON: a number is not finite",
		"[type(1)]": "error: the data is not JSON: it has a type",
	} {
		c, err := CompileContent(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := c.Of(sample(t))
		text2 := string(got)
		if err != nil {
			text2 = "error: " + err.Error()
		}
		if diff := cmp.Diff(want, text2); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestData(t *testing.T) {
	for text, want := range map[string]any{
		"": nil, "null": nil, "1": int64(1), "1.5": 1.5, "1e3": 1000.0, `[1,{"a":2}]`: []any{int64(1), map[string]any{"a": int64(2)}},
	} {
		got, err := Data([]byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
	for _, text := range []string{"{", "1 2", "a"} {
		if _, err := Data([]byte(text)); err == nil {
			t.Errorf("%q is taken for JSON", text)
		}
	}
}
