package conformance

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

var hostileTests = []test{
	// First, as it waits the longest.
	{"SlowRequests", testSlowRequests},
	{"BadRequests", testBadRequests},
	{"BadFrames", testBadFrames},
	{"BadBytes", testBadBytes},
	{"BadSockets", testBadSockets},
	{"Pipelines", testPipelines},
	{"OddButAllowed", testOdd},
	{"ManyRooms", testManyRooms},
}

// badRequest is a request that is refused, and how.
type badRequest struct {
	name, method, path, body string
	status                   int
	slug                     string
}

func badRequests() []badRequest {
	deep := strings.Repeat("[", 20000) + strings.Repeat("]", 20000)
	return []badRequest{
		{"not JSON", "POST", messagesPath("a"), `{`, 400, "invalid-request"},
		{"half of a value", "POST", messagesPath("a"), `{"data":`, 400, "invalid-request"},
		{"two values", "POST", messagesPath("a"), `{"data":1}{"data":2}`, 400, "invalid-request"},
		{"an unknown member", "POST", messagesPath("a"), `{"data":1,"idempotency_key":"k"}`, 400, "invalid-request"},
		{"a member of a wrong type", "POST", messagesPath("a"), `{"data":1,"idempotencyKey":5}`, 400, "invalid-request"},
		{"a list", "POST", messagesPath("a"), `[1,2]`, 400, "invalid-request"},
		{"invalid UTF-8", "POST", messagesPath("a"), "{\"data\":\"\xff\xfe\"}", 400, "invalid-request"},
		{"deep nesting", "POST", messagesPath("a"), `{"data":` + deep + `}`, 400, "invalid-request"},
		{"no body", "POST", messagesPath("a"), "", 400, "invalid-request"},
		{"a huge body", "POST", messagesPath("a"), `{"data":"` + strings.Repeat("x", 2<<20) + `"}`, 413, "too-large"},
		{"an unknown parameter", "GET", messagesPath("a", "sinse", "x"), "", 400, "invalid-request"},
		{"a limit of zero", "GET", messagesPath("a", "limit", "0"), "", 400, "invalid-request"},
		{"a limit too high", "GET", messagesPath("a", "limit", "100000"), "", 400, "invalid-request"},
		{"a limit that is no number", "GET", messagesPath("a", "limit", "1e3"), "", 400, "invalid-request"},
		{"a wait too long", "GET", messagesPath("a", "wait", "61s"), "", 400, "invalid-request"},
		{"a negative wait", "GET", messagesPath("a", "wait", "-1s"), "", 400, "invalid-request"},
		{"a wait that is none", "GET", messagesPath("a", "wait", "long"), "", 400, "invalid-request"},
		{"a position that is none", "GET", messagesPath("a", "since", "x"), "", 400, "invalid-position"},
		{"a negative offset", "GET", messagesPath("a", "since", "abc:-1"), "", 400, "invalid-position"},
		{"an offset too high", "GET", messagesPath("a", "since", "abc:18446744073709551615"), "", 400, "invalid-position"},
		{"an offset beyond 64 bits", "GET", messagesPath("a", "since", "abc:99999999999999999999999"), "", 400, "invalid-position"},
		{"a position with a line break", "GET", messagesPath("a", "since", "abc:1\n"), "", 400, "invalid-position"},
		{"a very long position", "GET", messagesPath("a", "since", strings.Repeat("a", 1000)+":1"), "", 400, "invalid-request"},
		{"an encoded slash", "GET", "/v1/rooms/a%2Fb/messages", "", 400, "invalid-path"},
		{"an encoded backslash", "GET", "/v1/rooms/a%5Cb/messages", "", 400, "invalid-path"},
		{"an encoded NUL", "GET", "/v1/rooms/a%00b/messages", "", 400, "invalid-path"},
		{"encoded dots", "GET", "/v1/rooms/%2e%2e/messages", "", 400, "invalid-room"},
		{"a room with a space", "GET", "/v1/rooms/a%20b/messages", "", 400, "invalid-room"},
		{"a room that is the probe's", "GET", "/v1/rooms/!probe/messages", "", 400, "invalid-room"},
		{"a room that is too long", "GET", messagesPath(strings.Repeat("r", 129)), "", 400, "invalid-room"},
		{"a room beyond all bounds", "GET", messagesPath(strings.Repeat("r", 5000)), "", 400, "invalid-request"},
		{"a room in another script", "GET", "/v1/rooms/" + url.PathEscape("räume") + "/messages", "", 400, "invalid-room"},
		{"a stream without rooms", "GET", "/v1/stream", "", 400, "invalid-request"},
		{"a stream of an empty room", "GET", "/v1/stream?room=", "", 400, "invalid-room"},
		{"a stream with a bad id", "GET", "/v1/stream?room=a&room=b&since=abc:1", "", 400, "invalid-position"},
		{"a stream with half an id", "GET", "/v1/stream?room=a&since=a=abc:1,b", "", 400, "invalid-position"},
		{"a stream with an unknown parameter", "GET", "/v1/stream?room=a&last=1", "", 400, "invalid-request"},
		{"a socket without a handshake", "GET", "/v1/ws", "", 426, "upgrade-required"},
		{"the SDK's socket without a handshake", "GET", "/connection/websocket", "", 426, "upgrade-required"},
		{"a path that is none", "GET", "/v2/rooms", "", 404, "not-found"},
		{"a path to climb", "GET", "/v1/rooms/a/../../../etc/passwd", "", 404, "not-found"},
		{"a method that is none", "DELETE", messagesPath("a"), "", 405, "method-not-allowed"},
		{"a method of its own", "BREW", messagesPath("a"), "", 405, "method-not-allowed"},
	}
}

func testBadRequests(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	for _, request := range badRequests() {
		t.Run(request.name, func(t *testing.T) {
			c := newClient(t, c.base, c.token)
			r := c.must(request.status, request.method, request.path, body(request.body))
			if p := r.problem(t); p.Slug() != request.slug {
				t.Errorf("refused as %s, want %s: %s", p.Slug(), request.slug, r.body)
			}
			if len(r.body) > 4096 {
				t.Errorf("the answer has %d bytes", len(r.body))
			}
		})
	}
	for _, header := range [][2]string{{"Content-Type", "text/plain"}, {"Content-Type", "application/x-www-form-urlencoded"}, {"Content-Encoding", "gzip"}} {
		p := c.must(http.StatusUnsupportedMediaType, http.MethodPost, messagesPath("a"), []byte(`{"data":1}`), header[0], header[1]).problem(t)
		if p.Slug() != "unsupported-media-type" {
			t.Errorf("%v: refused as %s", header, p.Slug())
		}
	}
	if page := c.poll("a"); len(page.Messages) != 0 {
		t.Errorf("something was published: %d messages", len(page.Messages))
	}
}

func testBadFrames(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	ctx, cancel := soon(context.Background())
	defer cancel()
	for name, f := range map[string]struct {
		kind websocket.MessageType
		data string
		code int
	}{
		"not JSON":      {websocket.MessageText, `{"type"`, 3501},
		"empty":         {websocket.MessageText, ``, 3501},
		"binary":        {websocket.MessageBinary, `{"type":"ping"}`, 3501},
		"invalid UTF-8": {websocket.MessageText, "{\"type\":\"\xff\"}", 3501},
		"huge":          {websocket.MessageText, `{"type":"` + strings.Repeat("x", 1<<20) + `"}`, 1009},
	} {
		s, err := c.openSocket(ctx)
		if err != nil {
			t.Fatal(err)
		}
		s.sendLast(ctx, f.kind, f.data)
		if code := s.closeCode(ctx); code != f.code {
			t.Errorf("%s: closed with %d, want %d", name, code, f.code)
		}
		s.close()
	}
	s, err := c.openSocket(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for _, text := range []string{`null`, `[]`, `"ping"`, `{"id":-1,"type":"ping"}`, `{"id":1e99,"type":"ping"}`, `{"type":5}`, `{"type":"publish","room":"a\"b","data":1}`} {
		if err := s.send(ctx, text); err != nil {
			t.Fatal(err)
		}
		if f, err := s.next(ctx); err != nil || f.Type != "error" {
			t.Errorf("%s: %v %s, want an error", text, err, f.raw)
		}
	}
	// Whoever asks faster than can be done is cut, and not queued without end.
	for i := range 5000 {
		if err := s.send(ctx, fmt.Sprintf(`{"type":"subscribe","room":"r%d"}`, i%40)); err != nil {
			break
		}
		if err := s.send(ctx, fmt.Sprintf(`{"type":"unsubscribe","room":"r%d"}`, i%40)); err != nil {
			break
		}
	}
	eventually(t, "the other sockets to be gone", func() bool { return target.connections(t, "websocket") <= 1 })
	c.publish("a", "1")
}

func testManyRooms(t *testing.T, start Factory) {
	c := start(t, Options{Configure: limits(func(l *planeconfig.Limits) { l.RoomsPerConnection = 100 })}).client(t)
	var q strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&q, "&room=r%d", i)
	}
	p := c.must(http.StatusUnprocessableEntity, http.MethodGet, "/v1/stream?"+q.String()[1:], nil).problem(t)
	if p.Slug() != "too-many-rooms" {
		t.Errorf("refused as %s", p.Slug())
	}
	for i := range 1000 {
		c.poll(fmt.Sprintf("r%d", i))
	}
}
