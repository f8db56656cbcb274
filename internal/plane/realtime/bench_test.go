package realtime_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/centrifugal/centrifuge"

	"github.com/trellis-dev/trellis/internal/plane/realtime"
	"github.com/trellis-dev/trellis/internal/plane/realtime/conformance"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// The benchmarks compare the contract's streams with the library's own server,
// in one process and with one kind of raw client, so that only the servers differ.
//
//	go test -run '^$' -bench . ./internal/plane/realtime

const benchClients = 1000

// benchServer is a server to follow a room of.
type benchServer struct {
	addr    string
	publish func(data string) error
}

func bareServer(b *testing.B) benchServer {
	b.Helper()
	node, err := centrifuge.New(centrifuge.Config{ClientQueueMaxSize: 64 << 20})
	if err != nil {
		b.Fatal(err)
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{}}, nil
	})
	node.OnConnect(func(c *centrifuge.Client) {
		c.OnSubscribe(func(_ centrifuge.SubscribeEvent, cb centrifuge.SubscribeCallback) {
			cb(centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{EnableRecovery: true, EnablePositioning: true}}, nil)
		})
	})
	if err := node.Run(); err != nil {
		b.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/ws", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{UseWriteBufferPool: true}))
	mux.Handle("/sse", centrifuge.NewSSEHandler(node, centrifuge.SSEConfig{}))
	s := httptest.NewServer(mux)
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = node.Shutdown(ctx)
		s.CloseClientConnections()
		s.Close()
	})
	return benchServer{addr: s.Listener.Addr().String(), publish: func(data string) error {
		_, err := node.Publish("a", []byte(data), centrifuge.WithHistory(100, time.Minute))
		return err
	}}
}

func contractServer(b *testing.B) benchServer {
	b.Helper()
	l := newLocalIn(b, b.TempDir(), conformance.Options{Configure: func(c *planeconfig.Config) {
		c.Realtime.Limits.QueueBytes = 64 << 20
		c.Realtime.History.Size = 100
	}}, planeconfig.Engine{Type: "Memory"})
	var gw *realtime.Gateway
	l.prepare = func(g *realtime.Gateway) { gw = g }
	r := l.start(b)
	awaitReady(b, r)
	return benchServer{addr: strings.TrimPrefix(r.URL, "http://"), publish: func(data string) error {
		_, err := gw.Node().Publish("a", []byte(data), centrifuge.WithHistory(100, time.Minute),
			centrifuge.WithTags(map[string]string{"publishedAt": "2026-01-02T03:04:05.006Z"}))
		return err
	}}
}

// frameOf is a masked text frame of less than 126 bytes; the mask is zero.
func frameOf(text string) []byte {
	out := []byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}
	return append(out, text...)
}

// benchFollow opens a connection, says hello, and counts marks as they come.
func benchFollow(b *testing.B, addr, request string, hello []string, ready, mark string, seen *atomic.Int64) {
	b.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, request); err != nil {
		b.Fatal(err)
	}
	r := bufio.NewReaderSize(conn, 2048)
	for line := ""; line != "\r\n"; {
		if line, err = r.ReadString('\n'); err != nil {
			b.Fatal(err)
		}
	}
	for _, h := range hello {
		if _, err := conn.Write(frameOf(h)); err != nil {
			b.Fatal(err)
		}
	}
	subscribed := make(chan struct{})
	go count(r, ready, mark, subscribed, seen)
	<-subscribed
}

func count(r *bufio.Reader, ready, mark string, subscribed chan struct{}, seen *atomic.Int64) {
	buf := make([]byte, 2048)
	var rest string
	for {
		n, err := r.Read(buf)
		if err != nil {
			return
		}
		text := rest + string(buf[:n])
		if subscribed != nil && strings.Contains(text, ready) {
			close(subscribed)
			subscribed = nil
		}
		seen.Add(int64(strings.Count(text, mark)))
		// What may be the beginning of a mark is kept for the next read.
		rest = ""
		for i := min(len(mark)-1, len(text)); i > 0; i-- {
			if strings.HasPrefix(mark, text[len(text)-i:]) {
				rest = text[len(text)-i:]
				break
			}
		}
	}
}

const wsHandshake = "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Bearer " + bindingToken + "\r\n\r\n"

func BenchmarkFanOut(b *testing.B) {
	for _, c := range []struct {
		name    string
		server  func(*testing.B) benchServer
		request string
		hello   []string
		ready   string
	}{
		{"bare/websocket", bareServer, fmt.Sprintf(wsHandshake, "/ws"), []string{`{"id":1,"connect":{}}`, `{"id":2,"subscribe":{"channel":"a"}}`}, `"id":2`},
		{"contract/websocket", contractServer, fmt.Sprintf(wsHandshake, "/v1/ws"), []string{`{"type":"subscribe","room":"a"}`}, `"subscribed"`},
		{"contract/centrifuge", contractServer, fmt.Sprintf(wsHandshake, "/connection/websocket"), []string{`{"id":1,"connect":{}}`, `{"id":2,"subscribe":{"channel":"a"}}`}, `"id":2`},
		{"bare/sse", bareServer, "GET /sse?cf_connect=%7B%22id%22%3A1%2C%22connect%22%3A%7B%7D%7D%0A%7B%22id%22%3A2%2C%22subscribe%22%3A%7B%22channel%22%3A%22a%22%7D%7D HTTP/1.1\r\nHost: x\r\n\r\n", nil, `"id":2`},
		{"contract/sse", contractServer, "GET /v1/stream?room=a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + bindingToken + "\r\n\r\n", nil, "event: ready"},
	} {
		b.Run(c.name, func(b *testing.B) {
			server := c.server(b)
			var seen atomic.Int64
			before := memoryInUse()
			for range benchClients {
				benchFollow(b, server.addr, c.request, c.hello, c.ready, "@@@@", &seen)
			}
			each := float64(memoryInUse()-before) / benchClients
			cpu := cpuTime()
			b.ResetTimer()
			for i := range b.N {
				if err := server.publish(`"` + strings.Repeat("x", 100) + `@@@@"`); err != nil {
					b.Fatal(err)
				}
				// At most some messages are on their way, as in a steady flow.
				for seen.Load() < int64(i-15)*benchClients {
					<-time.After(100 * time.Microsecond)
				}
			}
			for seen.Load() < int64(b.N)*benchClients {
				<-time.After(100 * time.Microsecond)
			}
			b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N*benchClients), "cpu-ns/msg")
			b.ReportMetric(each, "B/conn")
			b.ReportMetric(float64(b.N)*benchClients/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// memoryInUse is what is in use after a collection, stacks included.
func memoryInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// cpuTime of the process, in nanoseconds: unlike the time on the wall, it tells
// something also on a machine that others use.
func cpuTime() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}
