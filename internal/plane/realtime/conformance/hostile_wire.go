package conformance

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
)

// testBadBytes speaks HTTP by hand, where a client library would not.
func testBadBytes(t *testing.T, start Factory) {
	target := start(t, Options{})
	post := func(headers ...string) string {
		return target.Request("POST /v1/rooms/a/messages HTTP/1.1", append(headers, "Content-Type: application/json")...)
	}
	get := func(headers ...string) string { return target.Request("GET /v1/rooms/a/messages HTTP/1.1", headers...) }
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 64<<10, strings.Repeat(" ", 64<<10))
	target.Answers(t, contracttest.Exchanges{
		"too many bytes of headers": {get("X-Big: " + strings.Repeat("x", 64<<10)), " 431 "},
		"too many headers":          {get(strings.Split(strings.Repeat("X-A: b,", 10000), ",")[:10000]...), " 431 "},
		"a path of 64 KiB":          {target.Request("GET /v1/rooms/" + strings.Repeat("a", 64<<10) + " HTTP/1.1"), " 431 "},
		"a method of 64 KiB":        {target.Request(strings.Repeat("G", 64<<10) + " / HTTP/1.1"), " 431 "},
		"a huge Last-Event-ID":      {target.Request("GET /v1/stream?room=a HTTP/1.1", "Last-Event-ID: a="+strings.Repeat("9", 20<<10)), " 400 "},
		"no host":                   {"GET / HTTP/1.1\r\n\r\n", " 400 "},
		"two hosts":                 {get("Host: y"), " 400 "},
		"a bad version":             {"GET / HTTP/9.9\r\nHost: x\r\n\r\n", " 505 "},
		"a header without a colon":  {get("nonsense"), " 400 "},
		"a header with a space":     {get("X Y: z"), " 400 "},
		"a header with a NUL":       {get("X-Y: a\x00b"), " 400 "},
		"two lengths":               {post("Content-Length: 1", "Content-Length: 2") + "{}", " 400 "},
		"a negative length":         {post("Content-Length: -1"), " 400 "},
		"a length beyond 64 bits":   {post("Content-Length: 99999999999999999999"), " 400 "},
		"a length beyond the limit": {post("Content-Length: 9999999999"), " 413 "},
		"a coding that is none":     {post("Transfer-Encoding: xchunked"), " 501 "},
		"two codings":               {post("Transfer-Encoding: gzip, chunked"), " 501 "},
		"a bad chunk":               {post("Transfer-Encoding: chunked") + "zz\r\n", " 400 "},
		"a chunk beyond 64 bits":    {post("Transfer-Encoding: chunked") + "fffffffffffffffff\r\n", " 400 "},
		"a chunk's long extension":  {post("Transfer-Encoding: chunked") + "1;" + strings.Repeat("x", 64<<10) + "\r\n1\r\n0\r\n\r\n", " 400 "},
		"chunks without an end":     {post("Transfer-Encoding: chunked") + strings.Repeat(chunk, 40), " 413 "},
		"a compressed body":         {post("Content-Encoding: gzip", "Content-Length: 2") + "\x1f\x8b", " 415 "},
		"an absolute path":          {"GET http://evil/v1/rooms/a/messages HTTP/1.1\r\nHost: x\r\n\r\n", " 401 "},
		"a path without a slash":    {target.Request("GET v1/rooms HTTP/1.1"), " 400 "},
		"an asterisk":               {target.Request("OPTIONS * HTTP/1.1"), " 200 "},
		"a proxy's method":          {target.Request("CONNECT evil:443 HTTP/1.1"), " 404 "},
		"a token of 20 KiB":         {"GET /v1/rooms/a/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + strings.Repeat("a.", 10<<10) + "\r\n\r\n", " 401 "},
		"an upgrade to HTTP/2":      {get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"), " 200 "},
		"HTTP/2 from the start":     {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", " 401 "},
		"raw bytes":                 {"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", " 400 "},
	})
	if page := target.client(t).poll("a"); len(page.Messages) != 0 {
		t.Errorf("something was published: %s", page.Messages[0].Data)
	}
}

// testSlowRequests begins requests that never come to their end.
func testSlowRequests(t *testing.T, start Factory) {
	target := start(t, Options{})
	target.Unfinished(t, contracttest.Exchanges{
		"half of a request line": {"GET /v1/roo", ""},
		"headers without an end": {"GET / HTTP/1.1\r\nHost: x\r\nX-A: b\r\n", ""},
		"half of a body":         {target.Request("POST /v1/rooms/a/messages HTTP/1.1", "Content-Type: application/json", "Content-Length: 100") + `{"da`, " 408 "},
		"half of a chunk":        {target.Request("POST /v1/events HTTP/1.1", "Content-Type: application/cloudevents+json", "Transfer-Encoding: chunked") + "ff\r\n{", " 408 "},
	}, func() { target.client(t).publish("b", "1") })
}

// testPipelines sends many requests before the first is answered.
func testPipelines(t *testing.T, start Factory) {
	target := start(t, Options{})
	w := target.Wire(t)
	const n = 300
	sent := make(chan error, 1)
	go func() {
		one := target.Request("POST /v1/rooms/a/messages HTTP/1.1", "Content-Type: application/json", "Content-Length: 10") + `{"data":1}`
		_, err := io.WriteString(w, strings.Repeat(one, n))
		sent <- err
	}()
	for i := range n {
		resp, err := http.ReadResponse(w.Reader, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusCreated {
			t.Fatalf("answer %d: %d %s, %v", i, resp.StatusCode, body, err)
		}
		if p := decode[Published](t, body); p.Offset != uint64(i+1) {
			t.Fatalf("answer %d is of message %d", i, p.Offset)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// testOdd sends what is odd and yet means one thing only.
func testOdd(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	for name, room := range map[string]struct{ send, want string }{
		// JSON leaves it open; here the last one counts, as in most parsers.
		"a member twice": {target.Request("POST /v1/rooms/a/messages HTTP/1.1", "Content-Type: application/json", "Content-Length: 19") + `{"data":1,"data":2}`, "2"},
		"chunks and a length": {target.Request("POST /v1/rooms/b/messages HTTP/1.1", "Content-Type: application/json", "Content-Length: 3", "Transfer-Encoding: chunked") +
			"a\r\n" + `{"data":2}` + "\r\n0\r\n\r\n", "2"},
		"trailers":    {target.Request("POST /v1/rooms/c/messages HTTP/1.1", "Content-Type: application/json", "Transfer-Encoding: chunked", "Trailer: X-A") + "a\r\n" + `{"data":2}` + "\r\n0\r\nX-A: b\r\n\r\n", "2"},
		"HTTP/1.0":    {target.Request("POST /v1/rooms/d/messages HTTP/1.0", "Content-Type: application/json", "Content-Length: 10") + `{"data":2}`, "2"},
		"white space": {target.Request("POST /v1/rooms/e/messages HTTP/1.1", "Content-Type: application/json", "Content-Length: 1010") + strings.Repeat(" ", 1000) + `{"data":2}`, "2"},
	} {
		w := target.Wire(t)
		if _, err := io.WriteString(w, room.send); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(w.Reader, nil)
		if err != nil || resp.StatusCode != http.StatusCreated {
			t.Fatalf("%s: %v %+v", name, err, resp)
		}
		p := decode[Published](t, readAll(t, resp))
		if page := c.poll(p.Room); len(page.Messages) != 1 || string(page.Messages[0].Data) != room.want {
			t.Errorf("%s: the room has %+v", name, page.Messages)
		}
	}
	if page := c.poll("nobody-was-here"); len(page.Messages) != 0 || page.Gap || page.Next == "" {
		t.Errorf("a room that nobody used: %+v", page)
	}
}

func readAll(t *testing.T, resp *http.Response) []byte {
	t.Helper()
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}
