package router

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/shards/overload"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// TestAnUploadThatStallsIsRefused with a word, and its shard's turn is free again.
func TestAnUploadThatStallsIsRefused(t *testing.T) {
	for _, h2c := range []bool{false, true} {
		for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
			t.Run(fmt.Sprint(proto, h2c), func(t *testing.T) {
				limiter := &taken{}
				c := start(t, options{limiter: limiter, change: func(cfg *planeconfig.Config) { cfg.Shards.Container.H2C = h2c }})
				c.router.pace = 20 * time.Millisecond
				tr := &http.Transport{Protocols: new(http.Protocols)}
				tr.Protocols.SetHTTP1(proto == "HTTP/1.1")
				tr.Protocols.SetUnencryptedHTTP2(proto != "HTTP/1.1")
				defer tr.CloseIdleConnections()
				body, more := io.Pipe()
				defer func() { _ = more.Close() }()
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.replica.URL, body)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("X-Key", "k")
				resp, err := tr.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				text, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusRequestTimeout {
					t.Errorf("%d %s", resp.StatusCode, text)
				}
				contracttest.Eventually(t, "the turn to be free", func() bool { return limiter.n.Load() == 0 })
			})
		}
	}
}

// taken counts the turns that are.
type taken struct{ n atomic.Int64 }

func (l *taken) Admit(context.Context, string, int, int) (func(overload.Outcome), error) {
	l.n.Add(1)
	return func(overload.Outcome) { l.n.Add(-1) }, nil
}

// TestAPreflightNeedsNoKey, as browsers can not send one with it; any other request does.
func TestAPreflightNeedsNoKey(t *testing.T) {
	c := start(t, options{})
	for want, headers := range map[int][]string{
		http.StatusOK:         {"Origin: http://example.com", "Access-Control-Request-Method: PUT"},
		http.StatusBadRequest: {"Origin: http://example.com"},
	} {
		if resp, text := c.ask(http.MethodOptions, "/x", "", nil, headers...); resp.StatusCode != want {
			t.Errorf("%d %s, want %d", resp.StatusCode, text, want)
		}
	}
}

// part of a body comes after a while; the shard takes its own time before the next.
type part struct {
	after, then time.Duration
	n           int
}

// parts are a body in made-up time.
type parts struct {
	left  []part
	now   time.Time
	until time.Time
}

// Read implements io.Reader.
func (p *parts) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	next := p.left[0]
	p.left = p.left[1:]
	if p.now.Add(next.after).After(p.until) {
		p.now = p.until
		return 0, os.ErrDeadlineExceeded
	}
	p.now = p.now.Add(next.after)
	return copy(b, make([]byte, next.n)), nil
}

// TestWhatAnUploadMayTake is by how much comes, and what its shard takes is not among it.
func TestWhatAnUploadMayTake(t *testing.T) {
	for name, c := range map[string]struct {
		within time.Duration
		parts  []part
		stalls bool
	}{
		"all at once":             {30 * time.Second, []part{{0, 0, uploadLeast}}, false},
		"just in time":            {30 * time.Second, []part{{29 * time.Second, 0, uploadLeast}, {29 * time.Second, 0, uploadLeast}}, false},
		"bit by bit, in time":     {30 * time.Second, []part{{14 * time.Second, 0, uploadLeast / 2}, {14 * time.Second, 0, uploadLeast / 2}, {29 * time.Second, 0, 1}}, false},
		"nothing":                 {30 * time.Second, []part{{31 * time.Second, 0, 1}}, true},
		"a byte now and then":     {30 * time.Second, []part{{20 * time.Second, 0, 1}, {20 * time.Second, 0, 1}}, true},
		"a shard that is slow":    {30 * time.Second, []part{{time.Second, time.Hour, 1}, {time.Second, time.Hour, 1}}, false},
		"a stream without limits": {0, []part{{time.Hour, 0, 1}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := &parts{left: c.parts, now: time.Unix(1000, 0), until: time.Unix(1<<40, 0)}
			u := &upload{body: p, within: c.within, left: c.within, now: func() time.Time { return p.now }, until: func(t time.Time) error {
				p.until = t
				return nil
			}}
			b := make([]byte, uploadLeast)
			for _, part := range c.parts {
				if _, err := u.Read(b); err != nil {
					break
				}
				if c.within > 0 && !p.until.IsZero() {
					t.Error("a limit is set while nobody reads")
				}
				p.now = p.now.Add(part.then)
			}
			if got := u.ease(); got != c.stalls {
				t.Errorf("it stalled: %t", got)
			}
		})
	}
}
