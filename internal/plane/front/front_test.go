package front

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is far longer than anything takes, so that a machine that stalls fails no test.
const patience = 60 * time.Second

// restHeader is in the answers of net/http's server.
const restHeader = "By-Rest"

// start a server whose rest has the same handler, and says that it was it.
func start(t *testing.T, h http.HandlerFunc) (*Server, string) {
	t.Helper()
	return startWithin(t, patience, patience, h)
}

// startWithin has connections say something within a time, at first and later.
func startWithin(t *testing.T, first, later time.Duration, h http.HandlerFunc) (*Server, string) {
	t.Helper()
	rest := &http.Server{ReadHeaderTimeout: first, IdleTimeout: later, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(restHeader, "yes")
		h(w, r)
	})}
	rest.Protocols = new(http.Protocols)
	rest.Protocols.SetHTTP1(true)
	rest.Protocols.SetUnencryptedHTTP2(true)
	s := New(Options{Handler: h, Takes: func(r *http.Request) bool { return r.URL.Path != "/rest" }, Rest: rest, Log: slog.New(slog.DiscardHandler)})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		_ = s.Close()
		serving.Wait()
	})
	return s, l.Addr().String()
}

// dial has a connection that is closed with the test.
func dial(t *testing.T, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { _ = c.Close() })
	return c, bufio.NewReader(c)
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// seen is what a client sees of an answer.
type seen struct {
	Status  int
	Header  http.Header
	Trailer http.Header
	Body    string
	Length  int64
	Close   bool
	Rest    bool
	Failed  bool
}

func see(t *testing.T, r *bufio.Reader, method string) seen {
	t.Helper()
	y, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(y.Body)
	out := seen{Status: y.StatusCode, Header: y.Header, Trailer: y.Trailer, Body: string(body), Length: y.ContentLength, Close: y.Close, Rest: y.Header.Get(restHeader) != "", Failed: err != nil}
	delete(out.Header, restHeader)
	delete(out.Header, "Date")
	if len(out.Trailer) == 0 {
		out.Trailer = nil
	}
	return out
}

// answers by path: all that a handler may do.
func answers(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/plain")
	text, _ := io.ReadAll(r.Body)
	switch r.URL.Path {
	case "/nothing":
	case "/short":
		_, _ = fmt.Fprint(w, r.Method, " ", r.RequestURI, " ", r.Host, " ", string(text))
	case "/set":
		h.Set("Content-Length", "5")
		_, _ = io.WriteString(w, "hel")
		_, _ = io.WriteString(w, "lo")
	case "/long":
		for range 100 {
			_, _ = io.WriteString(w, strings.Repeat("x", 999))
		}
	case "/flushed":
		_, _ = io.WriteString(w, "a")
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, "b")
	case "/trailers":
		h.Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "a")
		h.Set("X-Sum", "1")
		h.Set(http.TrailerPrefix+"X-More", "2")
	case "/early":
		h.Set("Link", "</x>")
		w.WriteHeader(http.StatusEarlyHints)
		h.Del("Link")
		w.WriteHeader(http.StatusAccepted)
		w.WriteHeader(http.StatusTeapot)
		h.Set("Late", "yes")
	case "/none":
		w.WriteHeader(http.StatusNoContent)
	case "/unchanged":
		h.Set("Etag", `"1"`)
		w.WriteHeader(http.StatusNotModified)
	case "/close":
		h.Set("Connection", "close")
		_, _ = io.WriteString(w, "bye")
	case "/split":
		h.Set("X", "a\r\nY: b")
	case "/inform":
		for _, name := range []string{"Content-Length", "Transfer-Encoding", http.TrailerPrefix + "X"} {
			h.Set(name, "3")
		}
		w.WriteHeader(http.StatusEarlyHints)
		clear(h)
		h.Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "a")
	case "/names":
		for _, name := range []string{"Content-Length ", "X Y", "Transfer-Encoding\t", "X:Y", "X\r\nY", ""} {
			h[name] = []string{"3"}
		}
		_, _ = io.WriteString(w, "a")
	case "/abort":
		h.Set("Content-Length", "10")
		_, _ = io.WriteString(w, "a")
		panic(http.ErrAbortHandler)
	case "/less":
		h.Set("Content-Length", "10")
		_, _ = io.WriteString(w, "a")
	case "/more":
		h.Set("Content-Length", "1")
		if _, err := io.WriteString(w, "ab"); !errors.Is(err, http.ErrContentLength) {
			panic(err)
		}
		_, _ = io.WriteString(w, "a")
	}
}

// TestAnswersAreThoseOfNetHTTP, whatever the handler does.
func TestAnswersAreThoseOfNetHTTP(t *testing.T) {
	t.Parallel()
	_, address := start(t, answers)
	reference := httptest.NewServer(http.HandlerFunc(answers))
	t.Cleanup(reference.Close)
	for _, path := range []string{"/nothing", "/short?a=b", "/set", "/long", "/flushed", "/trailers", "/early", "/none", "/unchanged", "/close", "/split", "/inform", "/names", "/less", "/more"} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			text := method + " " + path + " HTTP/1.1\r\nHost: a\r\n"
			if method == http.MethodPost {
				text += "Content-Length: 5\r\n\r\nhello"
			} else {
				text += "\r\n"
			}
			ask := func(address string) []seen {
				c, r := dial(t, address)
				send(t, c, text)
				out := []seen{see(t, r, method)}
				if out[0].Status == http.StatusEarlyHints {
					out = append(out, see(t, r, method))
				}
				if last := out[len(out)-1]; !last.Close && !last.Failed {
					// The connection is of use still.
					send(t, c, "GET /short HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n")
					out = append(out, see(t, r, http.MethodGet))
				}
				if rest, _ := io.ReadAll(r); len(rest) > 0 {
					t.Errorf("%s %s: more than the answers: %q", method, path, rest)
				}
				return out
			}
			if method == http.MethodHead && slices.Contains([]string{"/less", "/long", "/flushed", "/trailers"}, path) {
				// It is of no matter how the body would be framed that is not sent.
				continue
			}
			got, want := ask(address), ask(reference.Listener.Addr().String())
			if slices.ContainsFunc(got, func(s seen) bool { return s.Rest }) {
				t.Errorf("%s %s: net/http's server had it", method, path)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s %s:\n%s", method, path, diff)
			}
		}
	}
}

// TestAnAnswerThatIsCutIsSeenToBe.
func TestAnAnswerThatIsCutIsSeenToBe(t *testing.T) {
	t.Parallel()
	_, address := start(t, answers)
	c, r := dial(t, address)
	send(t, c, "GET /abort HTTP/1.1\r\nHost: a\r\n\r\n")
	if got := see(t, r, http.MethodGet); got.Body != "a" || !got.Failed {
		t.Errorf("%+v", got)
	}
}

// TestWhatIsNotPlainIsNetHTTPs, with all that follows on its connection.
func TestWhatIsNotPlainIsNetHTTPs(t *testing.T) {
	t.Parallel()
	_, address := start(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, r.Method, " ", r.URL.Path, " ", n)
	})
	long := strings.Repeat("x", longestBody+1)
	for name, c := range map[string]struct {
		text, want string
		status     int
	}{
		"chunked":           {"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", "POST /a 1", 200},
		"a long body":       {fmt.Sprintf("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(long), long), fmt.Sprint("POST /a ", len(long)), 200},
		"a long head":       {"GET /a HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 2*readBuffer) + "\r\n\r\n", "GET /a 0", 200},
		"another's path":    {"GET /rest HTTP/1.1\r\nHost: a\r\n\r\n", "GET /rest 0", 200},
		"another method":    {"BREW /a HTTP/1.1\r\nHost: a\r\n\r\n", "BREW /a 0", 200},
		"bare line feeds":   {"GET /a HTTP/1.1\nHost: a\n\n", "GET /a 0", 200},
		"an LF at the end":  {"GET /a HTTP/1.1\r\nHost: a\n\r\n", "GET /a 0", 200},
		"no host":           {"GET /a HTTP/1.1\r\n\r\n", "400 Bad Request: missing required Host header", 400},
		"nonsense":          {"what is this, an order or a question?\r\n\r\n", "400 Bad Request", 400},
		"two lengths":       {"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400 Bad Request", 400},
		"length and chunks": {"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", "POST /a 1", 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, r := dial(t, address)
			// A plain one goes before.
			send(t, conn, "GET /first HTTP/1.1\r\nHost: a\r\n\r\n")
			if got := see(t, r, http.MethodGet); got.Rest || got.Body != "GET /first 0" {
				t.Errorf("%+v", got)
			}
			send(t, conn, c.text)
			got := see(t, r, http.MethodPost)
			if got.Status != c.status || got.Body != c.want || got.Rest != (c.status == 200) {
				t.Errorf("%d %q, by net/http: %t", got.Status, got.Body, got.Rest)
			}
		})
	}
}

// TestRequestsMayComeInPieces, and several at once.
func TestRequestsMayComeInPieces(t *testing.T) {
	t.Parallel()
	_, address := start(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprint(w, r.URL.Path, " ", string(body))
	})
	c, r := dial(t, address)
	for _, b := range []byte("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello") {
		send(t, c, string(b))
	}
	send(t, c, "GET /b HTTP/1.1\r\nHost: a\r\n\r\nPOST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nxGET /d HTTP/1.1\r\nHost: a\r\n\r\n")
	for _, want := range []string{"/a hello", "/b ", "/c x", "/d "} {
		if got := see(t, r, http.MethodGet); got.Body != want || got.Rest {
			t.Errorf("%+v, want %q", got, want)
		}
	}
}

// TestABodyThatNobodyReadsIsNotTakenForARequest.
func TestABodyThatNobodyReadsIsNotTakenForARequest(t *testing.T) {
	t.Parallel()
	_, address := start(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) })
	c, r := dial(t, address)
	inner := "GET /inner HTTP/1.1\r\nHost: a\r\n\r\n"
	send(t, c, fmt.Sprintf("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%sGET /b HTTP/1.1\r\nHost: a\r\n\r\n", len(inner), inner))
	first := see(t, r, http.MethodGet)
	if first.Body != "/a" {
		t.Errorf("%+v", first)
	}
	if !first.Close {
		if got := see(t, r, http.MethodGet); got.Body != "/b" {
			t.Errorf("%+v", got)
		}
	}
	// One whose body has not come: the connection ends.
	c, r = dial(t, address)
	send(t, c, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
	if got := see(t, r, http.MethodGet); !got.Close || got.Body != "/a" {
		t.Errorf("%+v", got)
	}
	if _, err := r.ReadByte(); err == nil {
		t.Error("the connection is open still")
	}
}

// TestAClientThatGoesEndsItsRequest, and one that sends the next one early does not.
func TestAClientThatGoesEndsItsRequest(t *testing.T) {
	t.Parallel()
	began, ended, release := make(chan struct{}, 2), make(chan struct{}), make(chan struct{})
	_, address := start(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		began <- struct{}{}
		if r.URL.Path == "/next" {
			return
		}
		if r.URL.Path == "/early" {
			<-release
			if r.Context().Err() != nil {
				t.Error("the request ended")
			}
			return
		}
		<-r.Context().Done()
		close(ended)
	})
	c, _ := dial(t, address)
	send(t, c, "POST /gone HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
	<-began
	_ = c.Close()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("the request goes on")
	}
	c, r := dial(t, address)
	send(t, c, "GET /early HTTP/1.1\r\nHost: a\r\n\r\n")
	<-began
	send(t, c, "GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
	// Long enough for the watch to have begun.
	timer := time.NewTimer(3 * watchAfter)
	<-timer.C
	close(release)
	for range 2 {
		if got := see(t, r, http.MethodGet); got.Status != http.StatusOK {
			t.Errorf("%+v", got)
		}
	}
}

// TestShutdownEndsWhatIsUnderWayInOrder.
func TestShutdownEndsWhatIsUnderWayInOrder(t *testing.T) {
	t.Parallel()
	began, release := make(chan struct{}), make(chan struct{})
	s, address := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(began)
			<-release
		}
		_, _ = io.WriteString(w, "done")
	})
	resting, restingReader := dial(t, address)
	send(t, resting, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	see(t, restingReader, http.MethodGet)
	slow, slowReader := dial(t, address)
	send(t, slow, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	<-began
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(context.Background()) }()
	if _, err := restingReader.ReadByte(); err != io.EOF {
		t.Errorf("a connection that nobody uses is not closed: %v", err)
	}
	select {
	case err := <-down:
		t.Errorf("over before the answer: %v", err)
	default:
	}
	close(release)
	if got := see(t, slowReader, http.MethodGet); got.Body != "done" || !got.Close {
		t.Errorf("%+v", got)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("a connection was taken")
	}
}

func TestShutdownGivesUpInTime(t *testing.T) {
	t.Parallel()
	began, release := make(chan struct{}), make(chan struct{})
	s, address := start(t, func(http.ResponseWriter, *http.Request) {
		close(began)
		<-release
	})
	defer close(release)
	c, _ := dial(t, address)
	send(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-began
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestAConnectionThatSaysNothingIsClosed in time, with the head and without.
func TestAConnectionThatSaysNothingIsClosed(t *testing.T) {
	t.Parallel()
	const short = 50 * time.Millisecond
	for text, limits := range map[string][2]time.Duration{
		"": {short, patience}, "GET / HT": {short, patience}, "GET / HTTP/1.1\r\nHost: a\r\n\r\n": {patience, short},
	} {
		_, address := startWithin(t, limits[0], limits[1], func(http.ResponseWriter, *http.Request) {})
		c, r := dial(t, address)
		send(t, c, text)
		if strings.HasSuffix(text, "\r\n\r\n") {
			see(t, r, http.MethodGet)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}
