package app

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// besieged is a plane process that is asked for too much.
type besieged struct {
	t               *testing.T
	contract, admin string
}

// TestMemoryStaysBounded lays siege to a process: whatever is asked of it gets an
// answer, and its memory neither grows beyond bounds nor stays taken.
func TestMemoryStaysBounded(t *testing.T) {
	file := configFile(t, func(c map[string]any) {
		c["realtime"].(map[string]any)["protocols"] = []string{"Polling", "LongPolling", "SSE", "WebSocket"}
		limits := c["realtime"].(map[string]any)["limits"].(map[string]any)
		limits["connections"], limits["roomsPerConnection"] = 300, 100
	})
	cmd, stderr := command(t, "realtime-gateway", "--config", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("ended with %v:\n%s", err, stderr)
		}
	}()
	contract, admin := stderr.addresses(t)
	b := &besieged{t: t, contract: contract, admin: admin}
	b.await("the plane to be ready", func() bool { return b.status(admin, "/readyz") == http.StatusOK })
	before := b.metric("go_memstats_heap_alloc_bytes")

	b.tenThousandRooms()
	b.each(50, "POST /v1/rooms/a/messages HTTP/1.1", "Content-Length: 9999999999\r\n\r\n", " 413 ")
	b.each(50, "GET /v1/rooms/a/messages HTTP/1.1", "X-Big: "+strings.Repeat("x", 256<<10)+"\r\n\r\n", " 431 ")
	b.each(20, "POST /v1/rooms/a/messages HTTP/1.1", "Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n"+
		strings.Repeat("10000\r\n"+strings.Repeat("[", 64<<10)+"\r\n", 32), " 413 ")
	b.connectionFlood()

	// Half of what a plane's container may have by default. On a busy machine the collector comes late.
	const most = 256 << 20
	if taken := b.metric("go_memstats_heap_sys_bytes"); taken > most {
		t.Errorf("the heap grew to %.0f MiB", taken/(1<<20))
	}
	// Ten thousand rooms with a message each are still there.
	b.await("the heap to be small again", func() bool { return b.metric("go_memstats_heap_alloc_bytes") < before+(48<<20) })
	b.await("all connections to be gone", func() bool { return b.metric("trellis_plane_connections") == 0 })
	if got := b.status(contract, "/v1/rooms/r9999/messages"); got != http.StatusOK {
		t.Errorf("after the siege a poll gets %d", got)
	}
}

func (b *besieged) await(what string, ok func() bool) {
	b.t.Helper()
	await(b.t, what, ok)
}

func (b *besieged) do(method, address, path, contentType, body string) (int, []byte) {
	req, err := http.NewRequest(method, "http://"+address+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer the-token")
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = resp.Body.Close() }()
	answer, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, answer
}

func (b *besieged) status(address, path string) int {
	status, _ := b.do(http.MethodGet, address, path, "", "")
	return status
}

// metric sums the samples of a metric.
func (b *besieged) metric(name string) float64 {
	b.t.Helper()
	_, text := b.do(http.MethodGet, b.admin, "/metrics", "", "")
	var sum float64
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, name+" ") && !strings.HasPrefix(line, name+"{") {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]), 64)
		if err != nil {
			b.t.Fatal(err)
		}
		sum += v
	}
	return sum
}

// tenThousandRooms publishes to as many rooms, and reads them.
func (b *besieged) tenThousandRooms() {
	b.t.Helper()
	for i := range 100 {
		var events []string
		for j := range 100 {
			events = append(events, fmt.Sprintf(`{"specversion":"1.0","id":"1","source":"/siege","type":"t","subject":"r%d"}`, 100*i+j))
		}
		if status, answer := b.do(http.MethodPost, b.contract, "/v1/events", "application/cloudevents-batch+json", "["+strings.Join(events, ",")+"]"); status != http.StatusNoContent {
			b.t.Fatalf("batch %d: %d %s", i, status, answer)
		}
	}
	for i := range 1000 {
		if got := b.status(b.contract, fmt.Sprintf("/v1/rooms/unknown%d/messages", i)); got != http.StatusOK {
			b.t.Fatalf("a poll of an unknown room gets %d", got)
		}
	}
}

// each sends the same from several connections at once; every one is answered.
func (b *besieged) each(n int, line, rest, want string) {
	b.t.Helper()
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			got := b.raw(line+"\r\nHost: x\r\nAuthorization: Bearer the-token\r\n"+rest, nil)
			if !strings.Contains(got, want) {
				b.t.Errorf("%s: answered %q, want%s", line, got, want)
			}
		})
	}
	all.Wait()
}

// raw sends text and returns the first line of the answer. With keep, the
// connection stays open, and is handed over.
func (b *besieged) raw(text string, keep func(net.Conn)) string {
	conn, err := net.Dial("tcp", b.contract)
	if err != nil {
		return err.Error()
	}
	if keep == nil {
		defer func() { _ = conn.Close() }()
	} else {
		keep(conn)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	// The server may answer, and close, before all of it is sent.
	_, _ = io.WriteString(conn, text)
	first, _ := bufio.NewReader(conn).ReadString('\n')
	return first
}

// connectionFlood opens twice as many streams and sockets as there may be, and
// as many connections that say nothing. Then all of them just go.
func (b *besieged) connectionFlood() {
	b.t.Helper()
	var mu sync.Mutex
	var open []net.Conn
	keep := func(c net.Conn) {
		mu.Lock()
		defer mu.Unlock()
		open = append(open, c)
	}
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	head := "Host: x\r\nAuthorization: Bearer the-token\r\n"
	answers := map[string]int{}
	for i := range 600 {
		request := "GET /v1/stream?room=a HTTP/1.1\r\n" + head + "\r\n"
		if i%2 == 0 {
			request = "GET /v1/ws HTTP/1.1\r\n" + head + "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
		}
		first := b.raw(request, keep)
		answers[strings.TrimSpace(strings.TrimPrefix(first, "HTTP/1.1"))]++
		if conn, err := net.Dial("tcp", b.contract); err == nil {
			keep(conn)
		}
	}
	if answers["503 Service Unavailable"] != 300 || answers["200 OK"]+answers["101 Switching Protocols"] != 300 {
		b.t.Errorf("600 connections were answered %v, want half of them refused", answers)
	}
}
