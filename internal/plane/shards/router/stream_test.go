package router

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// pattern is so many bytes that differ.
func pattern(n int64) io.Reader { return io.LimitReader(&counting{}, n) }

type counting struct{ at byte }

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = c.at
		c.at = c.at*31 + 7
	}
	return len(p), nil
}

// TestLongBodiesGoBothWays, in HTTP/1.1 and HTTP/2, with trailers.
func TestLongBodiesGoBothWays(t *testing.T) {
	const size = 5<<20 + 7
	handler := func(string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sum := sha256.New()
			n, err := io.Copy(sum, r.Body)
			w.Header().Set("Trailer", "Sum")
			w.WriteHeader(http.StatusOK)
			_, _ = io.Copy(w, pattern(n))
			w.Header().Set("Sum", hex.EncodeToString(sum.Sum(nil)))
			w.Header().Set(http.TrailerPrefix+"Late", fmt.Sprint(err, r.Trailer.Get("Mine")))
		})
	}
	for _, h2c := range []bool{false, true} {
		c := start(t, options{handler: handler, change: func(cfg *planeconfig.Config) { cfg.Shards.Container.H2C = h2c }})
		for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
			t.Run(fmt.Sprint(proto, h2c), func(t *testing.T) {
				tr := &http.Transport{Protocols: new(http.Protocols)}
				tr.Protocols.SetHTTP1(proto == "HTTP/1.1")
				tr.Protocols.SetUnencryptedHTTP2(proto != "HTTP/1.1")
				defer tr.CloseIdleConnections()
				req, err := http.NewRequest(http.MethodPost, c.replica.URL, pattern(size))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("X-Key", "k")
				req.Trailer = http.Header{"Mine": {"too"}}
				resp, err := (&http.Client{Transport: tr, Timeout: contracttest.Patience}).Do(req)
				if err != nil {
					t.Fatal(err)
				}
				sum, want := sha256.New(), sha256.New()
				_, _ = io.Copy(want, pattern(size))
				if _, err := io.Copy(sum, resp.Body); err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				sent := hex.EncodeToString(want.Sum(nil))
				if resp.Proto != proto || hex.EncodeToString(sum.Sum(nil)) != sent || resp.Trailer.Get("Sum") != sent || resp.Trailer.Get("Late") != "<nil>too" {
					t.Errorf("%s %s, trailers %v", resp.Proto, resp.Status, resp.Trailer)
				}
			})
		}
		c.noStrays()
	}
}

// TestTrailersOfRoutersAndShardsAreTheirOwn: neither a client's go on nor a container's, announced or not.
func TestTrailersOfRoutersAndShardsAreTheirOwn(t *testing.T) {
	c := start(t, options{handler: func(string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			announced := fmt.Sprint(slices.Sorted(maps.Keys(r.Trailer)))
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = fmt.Fprint(w, announced, r.Trailer)
			_ = http.NewResponseController(w).Flush()
			w.Header().Set(http.TrailerPrefix+"Sum", "1")
			w.Header().Set(http.TrailerPrefix+"Trellis-Epoch", "9")
		})
	}})
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.replica.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nX-Key: k\r\nTransfer-Encoding: chunked\r\nTrailer: Mine, Trellis-Epoch, Trellis_Epoch\r\n\r\n"+
		"1\r\nx\r\n0\r\nMine: 1\r\nTrellis-Epoch: 9\r\nTrellis_Epoch: 9\r\nTrellis-Partition: 9\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if diff := cmp.Diff(http.Header{"Sum": {"1"}}, resp.Trailer); diff != "" {
		t.Errorf("trailers of the answer (-want +got):\n%s", diff)
	}
	if want := "[Mine]map[Mine:[1]]"; err != nil || string(text) != want {
		t.Errorf("the shard saw %s, %v, want %s", text, err, want)
	}
}

// TestAnAnswerComesAsItIsWritten, and a stream of events ends in order when the router drains.
func TestAnAnswerComesAsItIsWritten(t *testing.T) {
	next := make(chan string)
	c := start(t, options{handler: func(string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
			_ = http.NewResponseController(w).Flush()
			for {
				select {
				case text := <-next:
					_, _ = io.WriteString(w, "data: "+text+"\n\n")
					_ = http.NewResponseController(w).Flush()
				case <-r.Context().Done():
					return
				}
			}
		})
	}})
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
	lines := bufio.NewReader(resp.Body)
	for i := range 3 {
		next <- fmt.Sprint(i)
		line, err := lines.ReadString('\n')
		if err != nil || line != fmt.Sprintf("data: %d\n", i) {
			t.Fatalf("%q, %v", line, err)
		}
		_, _ = lines.ReadString('\n')
	}
	drained := make(chan error)
	go func() { drained <- c.replica.Drain() }()
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
		t.Errorf("the stream ended with %q, %v", rest, err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// sockets echo what they get, and tell how they end.
func sockets(t *testing.T, ended chan websocket.StatusCode) func(string) http.Handler {
	return func(string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, err := websocket.Accept(w, r, nil)
			if err != nil {
				t.Errorf("accept: %v", err)
				return
			}
			conn.SetReadLimit(-1)
			for {
				kind, data, err := conn.Read(context.Background())
				if err != nil {
					ended <- websocket.CloseStatus(err)
					return
				}
				if err := conn.Write(context.Background(), kind, data); err != nil {
					t.Errorf("write: %v", err)
				}
			}
		})
	}
}

func (c *cluster) socket(ctx context.Context, t *testing.T) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(c.replica.URL, "http"), &websocket.DialOptions{HTTPHeader: http.Header{"X-Key": {"k"}}})
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	return conn
}

// TestAWebSocketGoesThrough, and both ends are told when the router drains.
func TestAWebSocketGoesThrough(t *testing.T) {
	ended := make(chan websocket.StatusCode, 2)
	c := start(t, options{handler: sockets(t, ended)})
	ctx, cancel := contracttest.Soon(context.Background())
	defer cancel()
	one, two := c.socket(ctx, t), c.socket(ctx, t)
	for _, size := range []int{0, 1, 125, 126, 70000, 1 << 20} {
		sent, _ := io.ReadAll(pattern(int64(size)))
		if err := one.Write(ctx, websocket.MessageBinary, sent); err != nil {
			t.Fatal(err)
		}
		if _, got, err := one.Read(ctx); err != nil || string(got) != string(sent) {
			t.Fatalf("%d of %d bytes came back: %v", len(got), size, err)
		}
	}
	if err := one.Close(websocket.StatusNormalClosure, "done"); err != nil {
		t.Errorf("close: %v", err)
	}
	if status := <-ended; status != websocket.StatusNormalClosure {
		t.Errorf("the shard saw %d", status)
	}
	drained := make(chan error)
	go func() { drained <- c.replica.Drain() }()
	if _, _, err := two.Read(ctx); websocket.CloseStatus(err) != statusRestart {
		t.Errorf("the client saw %v", err)
	}
	if status := <-ended; status != statusRestart {
		t.Errorf("the shard saw %d", status)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// TestWhatIsInFlightEndsWhenTheRouterDrains.
func TestWhatIsInFlightEndsWhenTheRouterDrains(t *testing.T) {
	enter, leave := make(chan struct{}), make(chan struct{})
	c := start(t, options{handler: func(string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			enter <- struct{}{}
			<-leave
			_, _ = io.WriteString(w, "whole")
		})
	}})
	done := make(chan string)
	go func() {
		_, text, err := c.try(http.MethodGet, "/", "k", nil)
		done <- fmt.Sprint(text, err)
	}()
	<-enter
	drained := make(chan error)
	go func() { drained <- c.replica.Drain() }()
	contracttest.Eventually(t, "nothing new to be accepted", func() bool {
		tr := &http.Transport{DisableKeepAlives: true}
		resp, err := (&http.Client{Transport: tr, Timeout: time.Minute}).Head(c.replica.URL)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err != nil
	})
	leave <- struct{}{}
	if got := <-done; got != "whole<nil>" {
		t.Errorf("what was in flight ended with %s", got)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// TestAWebSocketFrameIsNotCut by the one that says the end.
func TestAWebSocketFrameIsNotCut(t *testing.T) {
	frame := append([]byte{0x82, 126, 1, 0}, make([]byte, 256)...)
	for cut := range len(frame) {
		d := &direction{}
		d.track(frame[:cut])
		if d.between() != (cut == 0) {
			t.Fatalf("after %d bytes of a frame", cut)
		}
		if n := d.untilFrame(append(frame[cut:], 0x82, 1, 'x')); cut > 0 && n != len(frame)-cut || !d.between() {
			t.Fatalf("after %d bytes the frame has %d more", cut, n)
		}
	}
	var out bytes.Buffer
	d := &direction{to: &sink{Writer: &out}}
	d.write(frame[:100])
	d.close()
	if d.write(append(slices.Clone(frame[100:]), 0x82, 1, 'x')); !bytes.Equal(out.Bytes(), append(slices.Clone(frame), 0x88, 2, statusRestart>>8, statusRestart&0xff)) {
		t.Errorf("%d bytes went out, the end of them % x", out.Len(), out.Bytes()[max(0, out.Len()-8):])
	}
	d = &direction{}
	d.track([]byte{0x88, 0x82, 1, 2, 3, 4, 5, 6})
	if !d.ended() {
		t.Error("a close frame was not seen")
	}
}

// sink is a connection that is written to only.
type sink struct {
	net.Conn
	io.Writer
}

func (s *sink) Write(p []byte) (int, error)      { return s.Writer.Write(p) }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }

// TestAnswersBeforeTheAnswerArePassedOn.
func TestAnswersBeforeTheAnswerArePassedOn(t *testing.T) {
	c := start(t, options{handler: func(string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Link")
			_, _ = io.WriteString(w, "rest")
		})
	}})
	req, err := http.NewRequest(http.MethodGet, c.replica.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	hints, end := withHints(req.Context())
	req.Header.Set("X-Key", "k")
	resp, err := c.client.Do(req.WithContext(hints))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := end(); resp.StatusCode != http.StatusOK || got != "103 </style.css>; rel=preload" || resp.Header.Get("Link") != "" {
		t.Errorf("%s after %q", resp.Status, got)
	}
}
