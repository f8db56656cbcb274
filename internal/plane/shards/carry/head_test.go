package carry

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// read is what of an answer matters to whom it is for.
type read struct {
	Code   int
	Status string
	Header http.Header
	Length int64
	Close  bool
	Body   string
	Failed bool
	// Rest is what follows the answer.
	Rest string
}

func readOf(y *http.Response, r *bufio.Reader) read {
	body, err := io.ReadAll(y.Body)
	rest, _ := io.ReadAll(r)
	return read{y.StatusCode, y.Status, y.Header, y.ContentLength, y.Close, string(body), err != nil, string(rest)}
}

// plain is how this package reads an answer; nil where it leaves it to net/http.
func plain(data []byte, in *http.Request) *read {
	c := &Conn{Reader: bufio.NewReaderSize(bytes.NewReader(data), connBuffer)}
	_, _ = c.Reader.Peek(1)
	y := c.plainHead(in)
	if y == nil {
		return nil
	}
	out := readOf(y.Response, c.Reader)
	return &out
}

func standard(data []byte, in *http.Request) (read, error) {
	r := bufio.NewReaderSize(bytes.NewReader(data), connBuffer)
	y, err := http.ReadResponse(r, in)
	if err != nil {
		return read{}, err
	}
	return readOf(y, r), nil
}

// answers of all kinds. Those that are not plain are read by net/http.
var answers = []struct {
	text  string
	plain bool
}{
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello", true},
	{"HTTP/1.1 200\r\ncontent-length:0\r\nx-a:\t b \t\r\nX-A: c\r\nX-EMPTY:\r\n\r\n", true},
	{"HTTP/1.1 404 Not Found \r\nConnection: Close\r\nContent-Length: 2\r\n\r\nxyzzy", true},
	{"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 9\r\n\r\nshort", true},
	{"HTTP/1.1 204 No Content\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", true},
	{"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", false},
	{"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n", false},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", false},
	{"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc", false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nabc", false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX: a\r\n b\r\n\r\nabc", false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX : a\r\n\r\nabc", false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX: a\nY: b\r\n\r\nabc", false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX: a\x00b\r\n\r\nabc", false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nno colon\r\n\r\nabc", false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close, x\r\n\r\nabc", false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nPragma: no-cache\r\n\r\nabc", false},
	{"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", false},
	{"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", false},
	{"HTTP/1.1  200 OK\r\nContent-Length: 3\r\n\r\nabc", false},
	{"HTTP/1.1 2000 OK\r\nContent-Length: 3\r\n\r\nabc", false},
	{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", false},
	{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", false},
	{"HTTP/1.1 200 OK\r\n\r\nuntil the end", false},
	{"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", connBuffer) + "\r\nContent-Length: 3\r\n\r\nabc", false},
	{"", false},
}

// TestAPlainAnswerIsReadAsNetHTTPReadsIt, and what is not plain is left to that.
func TestAPlainAnswerIsReadAsNetHTTPReadsIt(t *testing.T) {
	t.Parallel()
	in := &http.Request{Method: http.MethodGet}
	for _, c := range answers {
		got := plain([]byte(c.text), in)
		if (got != nil) != c.plain {
			t.Errorf("%q: plain is %t", c.text, got != nil)
		}
		if got == nil {
			continue
		}
		want, err := standard([]byte(c.text), in)
		if diff := cmp.Diff(&want, got); diff != "" || err != nil {
			t.Errorf("%q: %v\n%s", c.text, err, diff)
		}
	}
	if plain([]byte(answers[0].text), &http.Request{Method: http.MethodHead}) != nil {
		t.Error("an answer to HEAD is taken for one that has a body")
	}
}

// FuzzPlainAnswer has whatever is read as a plain answer be read by net/http to the same.
func FuzzPlainAnswer(f *testing.F) {
	for _, c := range answers {
		f.Add([]byte(c.text))
	}
	in := &http.Request{Method: http.MethodGet}
	f.Fuzz(func(t *testing.T, data []byte) {
		got := plain(data, in)
		if got == nil {
			return
		}
		want, err := standard(data, in)
		if diff := cmp.Diff(&want, got); diff != "" || err != nil {
			t.Fatalf("%v\n%s", err, diff)
		}
	})
}

// BenchmarkHead of an answer, here and by net/http.
func BenchmarkHead(b *testing.B) {
	data := []byte("HTTP/1.1 200 OK\r\nX-Shard: 1\r\nContent-Type: text/plain\r\nDate: Fri, 27 Nov 2026 13:00:00 GMT\r\nContent-Length: 5\r\n\r\nhello")
	in := &http.Request{Method: http.MethodGet}
	source := bytes.NewReader(data)
	c := &Conn{Reader: bufio.NewReaderSize(source, connBuffer)}
	for name, head := range map[string]func(){
		"here":     func() { c.plainHead(in) },
		"net-http": func() { _, _ = http.ReadResponse(c.Reader, in) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				source.Reset(data)
				c.Reader.Reset(source)
				_, _ = c.Reader.Peek(1)
				head()
			}
		})
	}
}
