package router

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	dto "github.com/prometheus/client_model/go"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/shards/overload"
)

// opens answers by the path: a socket, a stream of events, or at once.
func opens(t *testing.T, served *atomic.Int32) func(string) http.Handler {
	return func(string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			served.Add(1)
			switch r.URL.Path {
			case "/socket":
				conn, err := websocket.Accept(w, r, nil)
				if err != nil {
					t.Errorf("accept: %v", err)
					return
				}
				_, _, _ = conn.Read(context.Background())
				_ = conn.CloseNow()
			case "/events":
				w.Header().Set("Content-Type", "text/event-stream")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}
		})
	}
}

// TestNoMoreIsHeldOpenThanFits, and what is not goes on.
func TestNoMoreIsHeldOpenThanFits(t *testing.T) {
	var served atomic.Int32
	c := start(t, options{handler: opens(t, &served), open: 2})
	ctx, cancel := contracttest.Soon(context.Background())
	defer cancel()
	dial := func() (*websocket.Conn, *http.Response, error) {
		return websocket.Dial(ctx, "ws"+strings.TrimPrefix(c.replica.URL, "http")+"/socket", &websocket.DialOptions{HTTPHeader: http.Header{"X-Key": {"k"}}})
	}
	socket, _, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.CloseNow() }()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.replica.URL+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Key", "k")
	stream, err := c.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}

	before := served.Load()
	if _, resp, err := dial(); err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("the third one got %v, %v", resp, err)
	}
	resp, text := c.ask(http.MethodGet, "/events", "k", nil, "Accept: text/event-stream")
	if resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text, "too-many-connections") {
		t.Errorf("a stream that asks to be one got %d %s", resp.StatusCode, text)
	}
	if n := served.Load() - before; n != 0 {
		t.Errorf("the shard saw %d of those", n)
	}
	for method, want := range map[string]int{http.MethodGet: http.StatusServiceUnavailable, http.MethodPost: http.StatusBadGateway} {
		if resp, text := c.ask(method, "/events", "k", nil); resp.StatusCode != want {
			t.Errorf("%s of a stream got %d %s", method, resp.StatusCode, text)
		}
	}
	epoch := strconv.FormatUint(c.state.Table.Epoch, 10)
	if resp, text := c.ask(http.MethodGet, "/.trellis/v1/ring?wait=1m&epoch="+epoch, "", nil, binding); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a poll that waits got %d %s", resp.StatusCode, text)
	}
	var counted dto.Metric
	if err := c.router.metrics.Rejected.WithLabelValues("connections").Write(&counted); err != nil || counted.GetCounter().GetValue() != 5 {
		t.Errorf("%v were counted: %v", counted.GetCounter().GetValue(), err)
	}
	if resp, text := c.ask(http.MethodGet, "/", "k", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("what is not held open got %d %s", resp.StatusCode, text)
	}

	_ = stream.Body.Close()
	contracttest.Eventually(t, "a place to be free", func() bool {
		again, _, err := dial()
		if err == nil {
			_ = again.CloseNow()
		}
		return err == nil
	})
	_ = socket.CloseNow()
	contracttest.Eventually(t, "every place to be free", func() bool { return c.router.places.Take(2) })
}

// turns are those of shards that requests have.
type turns struct{ taken atomic.Int32 }

func (l *turns) Admit(context.Context, string, int, int) (func(overload.Outcome), error) {
	l.taken.Add(1)
	return func(overload.Outcome) { l.taken.Add(-1) }, nil
}

// TestALongAnswerThatFindsNoPlaceKeepsItsTurn.
func TestALongAnswerThatFindsNoPlaceKeepsItsTurn(t *testing.T) {
	for name, x := range map[string]struct {
		open int
		want int32
	}{"there is a place": {2, 0}, "there is none": {1, 1}} {
		t.Run(name, func(t *testing.T) {
			l, end := &turns{}, make(chan struct{})
			c := start(t, options{limiter: l, open: x.open, handler: func(string) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					_, _ = io.Copy(w, pattern(2*timedBody))
					_ = http.NewResponseController(w).Flush()
					<-end
				})
			}})
			c.router.places.Take(1)
			req, err := http.NewRequest(http.MethodGet, c.replica.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Key", "k")
			resp, err := c.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			// The last byte is passed on after it was judged.
			if _, err := io.CopyN(io.Discard, resp.Body, 2*timedBody); err != nil {
				t.Fatal(err)
			}
			if got := l.taken.Load(); got != x.want {
				t.Errorf("it has %d turns", got)
			}
			close(end)
			contracttest.Eventually(t, "the turn to be given back", func() bool { return l.taken.Load() == 0 })
		})
	}
}

// TestWhatFitsFollowsTheMemory that there is.
func TestWhatFitsFollowsTheMemory(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]int64{
		"536870912\n": 4096, "2147483648": 16384, "1048576": leastOpen, "max\n": 4096, "9223372036854771712\n": 4096,
	} {
		file := filepath.Join(dir, "memory")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := mostOpen([]string{filepath.Join(dir, "none"), file}); got != want {
			t.Errorf("of %q: %d, want %d", text, got, want)
		}
	}
	if got := mostOpen(nil); got != 4096 {
		t.Errorf("of nothing: %d", got)
	}
}

// TestComplaintsAreFew, and say how many they are not.
func TestComplaintsAreFew(t *testing.T) {
	var c complaints
	now := time.Now()
	said, left := 0, 0
	for i := range 25 {
		n, ok := c.due(now.Add(time.Duration(i) * complainEvery / 10))
		if ok {
			said++
			left += n
		}
	}
	if said != 3 || left != 18 {
		t.Errorf("%d lines told of %d more", said, left)
	}
}
