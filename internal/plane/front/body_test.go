package front

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

// TestWhoReadsOnAfterTheAnswerGetsNothing of the requests that follow: a transport may still be at a body when its
// answer is through.
func TestWhoReadsOnAfterTheAnswerGetsNothing(t *testing.T) {
	t.Parallel()
	bodies := make(chan io.Reader, 1)
	_, address := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/first" {
			bodies <- r.Body
			return
		}
		if n, err := (<-bodies).Read(make([]byte, 5)); n > 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("%d bytes are read of the next request: %v", n, err)
		}
		_, _ = io.Copy(w, r.Body)
	})
	c, r := dial(t, address)
	send(t, c, "POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"+"POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nworld")
	for _, want := range []string{"", "world"} {
		if got := see(t, r, http.MethodPost); got.Body != want || got.Rest {
			t.Errorf("%+v, want %q", got, want)
		}
	}
}

// TestWhoStillReadsWhenTheAnswerIsThroughIsStopped, and the connection ends, as the rest of the body would be taken for a
// request.
func TestWhoStillReadsWhenTheAnswerIsThroughIsStopped(t *testing.T) {
	t.Parallel()
	stopped := make(chan error, 1)
	_, address := start(t, func(_ http.ResponseWriter, r *http.Request) {
		first := make(chan struct{})
		go func() {
			var p [5]byte
			_, err := r.Body.Read(p[:])
			close(first)
			for err == nil {
				_, err = r.Body.Read(p[:])
			}
			stopped <- err
		}()
		<-first
	})
	c, r := dial(t, address)
	send(t, c, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhello")
	if got := see(t, r, http.MethodPost); !got.Close {
		t.Errorf("the connection goes on: %+v", got)
	}
	if err := <-stopped; errors.Is(err, io.EOF) {
		t.Error("the body is taken for whole")
	}
	if _, err := r.ReadByte(); err == nil {
		t.Error("the connection is open still")
	}
}

// TestABodyHasMoreTimeThanAHead: its time is the handler's.
func TestABodyHasMoreTimeThanAHead(t *testing.T) {
	t.Parallel()
	const first = 500 * time.Millisecond
	began := make(chan struct{})
	_, address := startWithin(t, first, patience, func(w http.ResponseWriter, r *http.Request) {
		close(began)
		body, err := io.ReadAll(r.Body)
		_, _ = fmt.Fprint(w, string(body), err)
	})
	c, r := dial(t, address)
	send(t, c, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
	<-began
	timer := time.NewTimer(2 * first)
	<-timer.C
	send(t, c, "lo")
	if got := see(t, r, http.MethodPost); got.Body != "hello<nil>" || got.Rest {
		t.Errorf("%+v", got)
	}
}
