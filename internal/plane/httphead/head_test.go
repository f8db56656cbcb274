package httphead

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// message is what of one matters to whom it is for.
type message struct {
	Code                      int
	Status                    string
	Method, Target, URL, Host string
	Proto                     string
	Header                    http.Header
	Length                    int64
	Close                     bool
	// Rest is what follows the head.
	Rest string
}

func response(y *http.Response, rest []byte) *message {
	return &message{Code: y.StatusCode, Status: y.Status, Proto: y.Proto, Header: y.Header, Length: y.ContentLength, Close: y.Close, Rest: string(rest)}
}

func request(r *http.Request, rest []byte) *message {
	return &message{
		Method: r.Method, Target: r.RequestURI, URL: r.URL.String() + "|" + r.URL.Path + "|" + r.URL.RawQuery, Host: r.Host, Proto: r.Proto, Header: r.Header,
		Length: r.ContentLength, Close: r.Close, Rest: string(rest),
	}
}

func plainResponse(data []byte) *message {
	y := &http.Response{}
	n := Response(data, y)
	if n == 0 {
		return nil
	}
	return response(y, data[n:])
}

// standardResponse is what net/http reads. Its body is not read: what follows the head is that.
func standardResponse(data []byte) (*message, error) {
	r := bufio.NewReaderSize(bytes.NewReader(data), max(16, len(data)))
	y, err := http.ReadResponse(r, &http.Request{Method: http.MethodGet})
	if err != nil {
		return nil, err
	}
	rest, _ := io.ReadAll(r)
	return response(y, rest), nil
}

func plainRequest(data []byte) *message {
	r := &http.Request{}
	n := Request(data, r)
	if n == 0 {
		return nil
	}
	return request(r, data[n:])
}

func standardRequest(data []byte) (*message, error) {
	b := bufio.NewReaderSize(bytes.NewReader(data), max(16, len(data)))
	r, err := http.ReadRequest(b)
	if err != nil {
		return nil, err
	}
	rest, _ := io.ReadAll(b)
	return request(r, rest), nil
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
	{"", false},
}

// requests of all kinds.
var requests = []struct {
	text  string
	plain bool
}{
	{"GET /a%2Fb//c?x=1&y=%20 HTTP/1.1\r\nHost: a.b:80\r\nX-Key: k\r\n\r\n", true},
	{"POST / HTTP/1.1\r\nhost:[::1]:8080\r\ncontent-length: 5\r\nConnection: Keep-Alive\r\n\r\nhello", true},
	{"HEAD //x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nCookie: a=b\r\nCookie: c=d\r\n\r\nGET", true},
	{"GET / HTTP/1.1\r\n\r\n", false},
	{"GET / HTTP/1.1\r\nHost:\r\n\r\n", false},
	{"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", false},
	{"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", false},
	{"GET / HTTP/1.0\r\nHost: a\r\n\r\n", false},
	{"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", false},
	{"GET / x HTTP/1.1\r\nHost: a\r\n\r\n", false},
	{"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", false},
	{"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", false},
	{"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", false},
	{"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", false},
	{"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", false},
	{"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", false},
	{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", false},
	{"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", false},
	{"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Hop\r\n\r\n", false},
	{"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", false},
	{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
	{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", false},
	{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", false},
	{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nab", false},
	{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 1\r\n\r\nab", false},
	{"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", false},
	{"GET / HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n", false},
	{"GET / HTTP/1.1\nHost: a\n\n", false},
	{"GET / HTTP/1.1\r\nHost: a\r\nX: a\nY: b\r\n\r\n", false},
	{"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", false},
	{"GET / HTTP/1.1\r\nHost: a\r\n", false},
	{"", false},
}

// same fails where what is plain is not what net/http reads.
func same(t *testing.T, data []byte, got *message, standard func([]byte) (*message, error)) {
	t.Helper()
	want, err := standard(data)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%q: %v\n%s", data, err, diff)
	}
}

// TestWhatIsPlainIsReadAsNetHTTPReadsIt, and what is not plain is left to that.
func TestWhatIsPlainIsReadAsNetHTTPReadsIt(t *testing.T) {
	t.Parallel()
	for _, c := range answers {
		got := plainResponse([]byte(c.text))
		if (got != nil) != c.plain {
			t.Errorf("%q: plain is %t", c.text, got != nil)
		}
		if got != nil {
			same(t, []byte(c.text), got, standardResponse)
		}
	}
	for _, c := range requests {
		got := plainRequest([]byte(c.text))
		if (got != nil) != c.plain {
			t.Errorf("%q: plain is %t", c.text, got != nil)
		}
		if got != nil {
			same(t, []byte(c.text), got, standardRequest)
		}
	}
}

// FuzzResponse has whatever is a plain answer be read by net/http to the same.
func FuzzResponse(f *testing.F) {
	for _, c := range answers {
		f.Add([]byte(c.text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if got := plainResponse(data); got != nil {
			same(t, data, got, standardResponse)
		}
	})
}

// FuzzRequest has whatever is a plain request be read by net/http to the same.
func FuzzRequest(f *testing.F) {
	for _, c := range requests {
		f.Add([]byte(c.text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if got := plainRequest(data); got != nil {
			same(t, data, got, standardRequest)
		}
	})
}

// BenchmarkResponse reads the head of an answer, here and by net/http.
func BenchmarkResponse(b *testing.B) {
	data := []byte("HTTP/1.1 200 OK\r\nX-Shard: 1\r\nContent-Type: text/plain\r\nDate: Fri, 27 Nov 2026 13:00:00 GMT\r\nContent-Length: 5\r\n\r\nhello")
	in := &http.Request{Method: http.MethodGet}
	source := bytes.NewReader(data)
	r := bufio.NewReaderSize(source, 8<<10)
	for _, c := range []struct {
		name string
		read func()
	}{{"here", func() { Response(data, &http.Response{}) }}, {"net-http", func() { _, _ = http.ReadResponse(r, in) }}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				source.Reset(data)
				r.Reset(source)
				c.read()
			}
		})
	}
}
