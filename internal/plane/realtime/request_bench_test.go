package realtime_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/realtime/conformance"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// BenchmarkRequest is one request over one connection: what the plane allocates
// for it, and how long the two of them take. The client allocates nothing.
//
//	go test -run '^$' -bench Request -benchmem -count 6 ./internal/plane/realtime
func BenchmarkRequest(b *testing.B) {
	l := newLocal(b, conformance.Options{}, planeconfig.Engine{Type: "Memory"})
	r := l.Start(b)
	contracttest.AwaitReady(b, r)
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", strings.TrimPrefix(r.URL, "http://"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	data := `"` + strings.Repeat("x", 126) + `"`
	publish := fmt.Appendf(nil, "POST /v1/rooms/bench/messages HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n{\"data\":%s}", bindingToken, len(data)+9, data)
	var answer []byte
	buf := make([]byte, 64<<10)
	for range 20 {
		answer = exchange(b, conn, publish, buf)
	}
	_, rest, _ := bytes.Cut(answer, []byte(`"position":"`))
	epoch, _, _ := bytes.Cut(rest, []byte(":"))
	poll := func(since int) []byte {
		return fmt.Appendf(nil, "GET /v1/rooms/bench/messages?limit=10&since=%s:%d HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n\r\n",
			epoch, since, bindingToken)
	}
	for _, c := range []struct {
		name    string
		request []byte
	}{{"poll/nothing", poll(20)}, {"poll/ten", poll(10)}, {"publish", publish}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			before := cpuTime(b)
			for b.Loop() {
				exchange(b, conn, c.request, buf)
			}
			b.ReportMetric(float64(cpuTime(b)-before)/1e3/float64(b.N), "cpu-µs/op")
		})
	}
}

// cpuTime is what this process has used: of the plane and of the client.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// exchange sends a request, and reads into buf until the answer's end.
func exchange(b *testing.B, conn net.Conn, request, buf []byte) []byte {
	b.Helper()
	if _, err := conn.Write(request); err != nil {
		b.Fatal(err)
	}
	for n := 0; ; {
		got, err := conn.Read(buf[n:])
		if err != nil {
			b.Fatal(err)
		}
		n += got
		if bytes.HasSuffix(buf[:n], []byte("}\n")) || bytes.HasSuffix(buf[:n], []byte("\n0\r\n\r\n")) {
			if !bytes.HasPrefix(buf, []byte("HTTP/1.1 20")) {
				b.Fatalf("answered: %s", buf[:n])
			}
			return buf[:n]
		}
	}
}
