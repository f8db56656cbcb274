package router

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// refuse answers as a member that does not serve the partition.
func refuse(w http.ResponseWriter) {
	plane.WriteProblem(w, plane.NewProblem(http.StatusMisdirectedRequest, "misdirected", "x", "x").Header(planeconfig.HeaderNotProcessed, "true"))
}

// TestWhatAShardRefusesIsSentAgain once there is a newer table: short and long bodies, and those of an unknown length.
func TestWhatAShardRefusesIsSentAgain(t *testing.T) {
	const long = 3 << 20
	for name, c := range map[string]struct {
		body   func() io.Reader
		length int64
	}{
		"none":    {func() io.Reader { return nil }, 0},
		"short":   {func() io.Reader { return strings.NewReader("hello") }, 5},
		"long":    {func() io.Reader { return strings.NewReader(strings.Repeat("x", long)) }, long},
		"chunked": {func() io.Reader { return io.LimitReader(strings.NewReader(strings.Repeat("x", long)), long) }, long},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var refused atomic.Int32
			// A member that knows of a later table than the router.
			cl := start(t, options{handler: func(id string) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get(planeconfig.HeaderEpoch) == "1" {
						refused.Add(1)
						refuse(w)
						return
					}
					n, err := io.Copy(io.Discard, r.Body)
					w.Header().Set("Shard", id)
					_, _ = fmt.Fprint(w, n, err)
				})
			}})
			to := cl.other(3)
			type answered struct {
				status      int
				shard, text string
			}
			done := make(chan answered, 1)
			go func() {
				resp, text, err := cl.try(http.MethodPost, "/", keyOf(3), c.body())
				if err != nil {
					t.Error(err)
					close(done)
					return
				}
				done <- answered{resp.StatusCode, resp.Header.Get("Shard"), text}
			}()
			contracttest.Eventually(t, "the request to be refused twice", func() bool { return refused.Load() >= 2 })
			cl.pauses(3, to)
			cl.commits(3)
			if diff := cmp.Diff(answered{200, to, fmt.Sprint(c.length, nil)}, <-done, cmp.AllowUnexported(answered{})); diff != "" {
				t.Error(diff)
			}
			cl.noStrays()
		})
	}
}

func TestWhatIsRefusedForTooLongIsGivenUp(t *testing.T) {
	c := start(t, options{
		change: func(cfg *planeconfig.Config) {
			cfg.Shards.Resharding.PauseLimit = planeconfig.Duration(50 * time.Millisecond)
		},
		handler: func(string) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { refuse(w) })
		},
	})
	resp, text := c.ask(http.MethodPost, "/", keyOf(3), strings.NewReader("x"))
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "1" || resp.Header.Get(planeconfig.HeaderNotProcessed) != "" {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
}

// breaking is a shard that reads a request and closes the connection, as often as it is told to; then it answers.
func breaking(times *atomic.Int32, seen *atomic.Int32) func(string) http.Handler {
	return func(id string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen.Add(1)
			if times.Add(-1) >= 0 {
				panic(http.ErrAbortHandler)
			}
			echo(id).ServeHTTP(w, r)
		})
	}
}

func TestWhatMayHaveBeenDoneIsSentAgainOnlyIfThatIsHarmless(t *testing.T) {
	for name, c := range map[string]struct {
		method, header string
		breaks         int32
		want, seen     int
		problem        string
	}{
		"GET":                    {method: http.MethodGet, breaks: 2, want: 200, seen: 3},
		"HEAD":                   {method: http.MethodHead, breaks: 1, want: 200, seen: 2},
		"GET, again and again":   {method: http.MethodGet, breaks: 9, want: 502, seen: 3, problem: "outcome-unknown"},
		"POST":                   {method: http.MethodPost, breaks: 1, want: 502, seen: 1, problem: "outcome-unknown"},
		"DELETE":                 {method: http.MethodDelete, breaks: 1, want: 502, seen: 1, problem: "outcome-unknown"},
		"POST with an agreement": {method: http.MethodPost, header: "Idempotency-Key: k", breaks: 2, want: 200, seen: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var times, seen atomic.Int32
			times.Store(c.breaks)
			cl := start(t, options{handler: breaking(&times, &seen)})
			var headers []string
			if c.header != "" {
				headers = append(headers, c.header)
			}
			resp, text := cl.ask(c.method, "/", keyOf(3), strings.NewReader("hello"), headers...)
			if resp.StatusCode != c.want || int(seen.Load()) != c.seen || !strings.Contains(text, c.problem) {
				t.Errorf("%d after %d attempts: %s; want %d after %d", resp.StatusCode, seen.Load(), text, c.want, c.seen)
			}
			if c.problem != "" && !strings.Contains(text, "may have been done") {
				t.Errorf("it is not said that it may have been done: %s", text)
			}
			cl.noStrays()
		})
	}
}

// TestRetriesAreBounded by the number of requests.
func TestRetriesAreBounded(t *testing.T) {
	var times, seen atomic.Int32
	times.Store(1 << 20)
	c := start(t, options{handler: breaking(&times, &seen), change: func(cfg *planeconfig.Config) {
		cfg.Shards.Router.Retries, cfg.Shards.Router.RetryBudget = 1, 10
	}})
	const n = 100
	for range n {
		if resp, _ := c.ask(http.MethodGet, "/", keyOf(3), nil); resp.StatusCode != http.StatusBadGateway {
			t.Fatalf("status %d", resp.StatusCode)
		}
	}
	// Ten saved up, and one in ten.
	if got := int(seen.Load()) - n; got < 15 || got > 20 {
		t.Errorf("%d requests were sent again, of %d", got, n)
	}
}

// TestA502OfAShardIsSentAgain where that is harmless, and is passed on where it is not.
func TestA502OfAShardIsSentAgain(t *testing.T) {
	var seen atomic.Int32
	c := start(t, options{handler: func(string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if seen.Add(1) == 1 {
				w.WriteHeader(http.StatusBadGateway)
				_, _ = io.WriteString(w, "the shard's own")
			}
		})
	}})
	if resp, _ := c.ask(http.MethodGet, "/", keyOf(3), nil); resp.StatusCode != http.StatusOK || seen.Load() != 2 {
		t.Errorf("%d after %d attempts", resp.StatusCode, seen.Load())
	}
	seen.Store(0)
	if resp, text := c.ask(http.MethodPost, "/", keyOf(3), strings.NewReader("x")); resp.StatusCode != http.StatusBadGateway || text != "the shard's own" {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
}

func TestAShardThatHangsIsGivenUp(t *testing.T) {
	hang := make(chan struct{})
	c := start(t, options{
		change: func(cfg *planeconfig.Config) {
			cfg.Shards.Router.RequestTimeout = planeconfig.Duration(time.Second)
		},
		handler: func(string) http.Handler {
			return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				<-hang
			})
		},
	})
	t.Cleanup(func() { close(hang) })
	for body, says := range map[string]string{"": "try again", "x": "may have been done", strings.Repeat("x", 2*keptBody): "may have been done"} {
		method := http.MethodPost
		if body == "" {
			method = http.MethodGet
		}
		resp, text := c.ask(method, "/", keyOf(3), strings.NewReader(body))
		if resp.StatusCode != http.StatusGatewayTimeout || !strings.Contains(text, "shard-timeout") || !strings.Contains(text, says) {
			t.Errorf("%s of %d bytes: %d %s", method, len(body), resp.StatusCode, text)
		}
	}
}

// TestAConnectionThatWasClosedIsNotUsed: what was sent on it would have an unknown outcome.
func TestAConnectionThatWasClosedIsNotUsed(t *testing.T) {
	c := start(t, options{shards: 1})
	s := c.serve("orders-shs-0", echo("orders-shs-0"))
	for range 20 {
		if resp, text := c.ask(http.MethodPost, "/", "k", strings.NewReader("x")); resp.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", resp.StatusCode, text)
		}
		contracttest.Eventually(t, "the connection to be idle", func() bool { return c.router.view.Load().members[0].pool.Idle() == 1 })
		s.CloseClientConnections()
	}
}

// TestAnAnswerThatBreaksOffIsCut for the client too, rather than looking whole.
func TestAnAnswerThatBreaksOffIsCut(t *testing.T) {
	c := start(t, options{handler: func(string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/known" {
				w.Header().Set("Content-Length", "10")
			}
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
	}})
	for _, path := range []string{"/known", "/chunked"} {
		if _, text, err := c.try(http.MethodGet, path, keyOf(3), nil); err == nil {
			t.Errorf("%s: %q looks whole", path, text)
		}
	}
}

// TestAnAnswerThatIsNoneIsUnknown.
func TestAnAnswerThatIsNoneIsUnknown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 2x0 What\r\n\r\n")
			}
			_ = conn.Close()
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	c := start(t, options{shards: 1})
	c.where.set("orders-shs-0", l.Addr().String())
	if resp, text := c.ask(http.MethodPost, "/", "k", strings.NewReader("x")); resp.StatusCode != http.StatusBadGateway {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
}
