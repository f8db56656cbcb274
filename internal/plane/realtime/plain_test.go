package realtime_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/realtime/conformance"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// asked is one request; its room is written as ROOM, its epoch as EPOCH.
type asked struct {
	method, path, body string
	header             map[string]string
}

// TestPlainAndTypedAnswerAlike sends the same requests twice, each way to rooms
// of its own: as they are, and with a header that has the typed layer read them.
func TestPlainAndTypedAnswerAlike(t *testing.T) {
	t.Parallel()
	l := newLocal(t, conformance.Options{}, planeconfig.Engine{Type: "Memory"})
	r := l.Start(t)
	contracttest.AwaitReady(t, r)
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	plain := &speaker{client: &http.Client{Transport: tr}, url: r.URL, room: "by-hand"}
	typed := &speaker{client: plain.client, url: r.URL, room: "by-type", accept: "application/json;q=1"}
	for _, s := range []*speaker{plain, typed} {
		reply := s.ask(t, asked{method: http.MethodPost, path: "/v1/rooms/ROOM/messages", body: `{"data":0}`})
		found := regexp.MustCompile(`"position":"(\w+):1"`).FindStringSubmatch(reply)
		if found == nil {
			t.Fatalf("the first message: %s", reply)
		}
		s.epoch = found[1]
	}
	for _, a := range append(publishes(), polls()...) {
		if diff := cmp.Diff(typed.ask(t, a), plain.ask(t, a)); diff != "" {
			t.Errorf("%s %s %s %v (-typed +plain):\n%s", a.method, a.path, a.body, a.header, diff)
		}
	}
}

func publishes() []asked {
	const path = "/v1/rooms/ROOM/messages"
	key := func(key string) map[string]string { return map[string]string{"Idempotency-Key": key} }
	out := []asked{}
	for _, body := range []string{
		`{"data":{"a":[1, 2, "<&>"]}}`, `{"messages":[{"data":1},{"data":"two","idempotencyKey":"k2"}]}`, ` {"data" : null} `,
		`{"data":1}x`, `{"data":1,"data2":2}`, `{}`, `[]`, `{"data":`, `{"messages":[]}`, `{"messages":[{}]}`, `nonsense`, "{\"data\":\"\xff\"}", ` `,
		`{"data":"` + strings.Repeat("x", conformance.MessageBytes) + `"}`, `{"data":"` + strings.Repeat("x", 100<<10) + `"}`,
	} {
		out = append(out, asked{method: http.MethodPost, path: path, body: body})
	}
	return append(out,
		asked{method: http.MethodPost, path: path, body: `{"data":1}`, header: key("one")},
		asked{method: http.MethodPost, path: path, body: `{"data":1}`, header: key("one")},
		asked{method: http.MethodPost, path: path, body: `{"data":2}`, header: key("one")},
		asked{method: http.MethodPost, path: path, body: `{"data":2}`, header: key(strings.Repeat("k", 200))},
		asked{method: http.MethodPost, path: path, body: `{"data":2}`, header: key("\x80")},
		asked{method: http.MethodPost, path: path, body: `{"messages":[{"data":1},{"data":2}]}`, header: key("many")},
		asked{method: http.MethodPost, path: path, body: `{"messages":[{"data":1},{"data":2}]}`, header: key("many")},
		asked{method: http.MethodPost, path: path, body: `{"data":1}`, header: map[string]string{"Content-Type": "application/json; charset=utf-8"}},
		asked{method: http.MethodPost, path: path, body: `{"data":1}`, header: map[string]string{"Content-Type": "text/plain"}},
		asked{method: http.MethodPost, path: path, body: `{"data":1}`, header: map[string]string{"Authorization": "Bearer wrong"}},
		asked{method: http.MethodPost, path: path + "?x=1", body: `{"data":1}`},
		asked{method: http.MethodPost, path: path},
		asked{method: http.MethodPost, path: "/v1/rooms/-ROOM/messages", body: `{"data":1}`},
		asked{method: http.MethodPost, path: "/v1/rooms/" + strings.Repeat("r", 600) + "/messages", body: `{"data":1}`},
	)
}

func polls() []asked {
	const path = "/v1/rooms/ROOM/messages"
	out := []asked{}
	for _, query := range []string{
		"", "?", "?since=oldest", "?since=latest", "?since=EPOCH:1", "?since=EPOCH:3&limit=2", "?limit=1&since=EPOCH:0", "?since=EPOCH%3A2", "?since=EPOCH:99",
		"?since=other:1", "?since=EPOCH:01", "?since=EPOCH:", "?since=", "?since", "?since=EPOCH:1&since=EPOCH:2", "?since=" + strings.Repeat("e", 65) + ":1",
		"?limit=0", "?limit=1000", "?limit=1001", "?limit=-1", "?limit=+1", "?limit=01", "?limit=x", "?limit=", "?limit=2&limit=3", "?limit=5&",
		"?other=1", "?&&limit=1", "?wait=", "?wait=61s", "?wait=1ms&since=latest", "?since=a;b", "?since=%zz",
	} {
		out = append(out, asked{method: http.MethodGet, path: path + query})
	}
	return append(out,
		asked{method: http.MethodGet, path: path, header: map[string]string{"If-None-Match": "*"}},
		asked{method: http.MethodGet, path: path + "?since=EPOCH:1&limit=2", header: map[string]string{"If-None-Match": `W/"x", "EPOCH:1-3+"`}},
		asked{method: http.MethodGet, path: path, header: map[string]string{"Authorization": "Bearer wrong"}},
		asked{method: http.MethodGet, path: path, header: map[string]string{"Origin": "https://elsewhere.example"}},
		asked{method: http.MethodGet, path: "/v1/rooms/!/messages"},
		asked{method: http.MethodGet, path: "/v1/rooms/never-ROOM/messages?since=latest&limit=5"},
	)
}

// speaker asks about its room.
type speaker struct {
	client                   *http.Client
	url, room, epoch, accept string
}

var times = regexp.MustCompile(`"\d{4}-[^"]*Z"`)

// newEpoch is that of a room that was never used.
var newEpoch = regexp.MustCompile(`\b[A-Za-z]{8}:0\b`)

// ask returns status, headers and body, with what is the speaker's own replaced.
func (s *speaker) ask(t *testing.T, a asked) string {
	t.Helper()
	own := func(text string) string {
		return strings.NewReplacer("ROOM", s.room, "EPOCH", s.epoch).Replace(text)
	}
	req, err := http.NewRequestWithContext(t.Context(), a.method, s.url+own(a.path), strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bindingToken)
	if a.method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	if s.accept != "" {
		req.Header.Set("Accept", s.accept)
	}
	for k, v := range a.header {
		req.Header.Set(k, own(v))
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return "the client does not send it"
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	text.WriteString(resp.Status + "\n")
	resp.Header.Del("Date")
	// Either counts the bytes, or sends them in chunks.
	resp.Header.Del("Content-Length")
	if err := resp.Header.Write(&text); err != nil {
		t.Fatal(err)
	}
	text.Write(body)
	general := text.String()
	if s.epoch != "" {
		general = strings.NewReplacer(s.room, "ROOM", s.epoch, "EPOCH").Replace(general)
		general = newEpoch.ReplaceAllString(general, "NEW:0")
	}
	return times.ReplaceAllString(general, `"TIME"`)
}

// TestABodyThatBreaksOff is told so by both layers alike.
func TestABodyThatBreaksOff(t *testing.T) {
	t.Parallel()
	l := newLocal(t, conformance.Options{}, planeconfig.Engine{Type: "Memory"})
	r := l.Start(t)
	contracttest.AwaitReady(t, r)
	answer := func(accept string) string {
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := fmt.Fprintf(conn, "POST /v1/rooms/a/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nAccept: %s\r\n"+
			"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"data\":", bindingToken, accept); err != nil {
			t.Fatal(err)
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.Status + " " + string(body)
	}
	typed, plain := answer("application/json;q=1"), answer("*/*")
	if diff := cmp.Diff(typed, plain); diff != "" || !strings.HasPrefix(plain, "400 ") {
		t.Errorf("answered %s (-typed +plain):\n%s", plain, diff)
	}
}
