package carry

import (
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"
)

// TestWhatFollowsAnAnswerWithoutABodyIsNobodysAnswer, however soon the next request comes.
func TestWhatFollowsAnAnswerWithoutABodyIsNobodysAnswer(t *testing.T) {
	t.Parallel()
	for method, head := range map[string]string{
		http.MethodHead: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
		http.MethodPost: "HTTP/1.1 204 No Content\r\n\r\n",
		http.MethodGet:  "HTTP/1.1 304 Not Modified\r\n\r\n",
	} {
		read := make(chan struct{})
		address := server(t, func(_ int, _ *http.Request, c net.Conn) bool {
			_, _ = io.WriteString(c, head)
			<-read
			_, _ = io.WriteString(c, ok)
			return true
		})
		p := &Pool{}
		if got, err := exchange(t, p, address, request(t, method)); got != "" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
		kept := p.idle[0]
		close(read)
		for kept.usable() {
			runtime.Gosched()
		}
		now := time.Now()
		kept.idle = now
		if p.take(address, true, now) != nil {
			t.Errorf("%s: a connection is used on which an answer is already", method)
		}
		p.Close()
	}
}
