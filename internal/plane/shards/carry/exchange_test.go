package carry

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is far longer than anything takes, so that a machine that stalls fails no test.
const patience = 60 * time.Second

// server answers each request on a connection by what answer writes, until that returns false.
func server(t *testing.T, answer func(n int, r *http.Request, c net.Conn) bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	var n atomic.Int32
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				for r := bufio.NewReader(c); ; {
					request, err := http.ReadRequest(r)
					if err != nil || !answer(int(n.Add(1)), request, c) {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

func request(t *testing.T, method string) *Request {
	t.Helper()
	in, err := http.NewRequest(method, "http://a/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Request{In: in, URI: "/x", Within: patience}
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func exchange(t *testing.T, p *Pool, address string, o *Request) (string, error) {
	t.Helper()
	y, err := p.Exchange(t.Context(), Dialer(patience), address, o)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(y.Body)
	y.Finish(err == nil)
	return string(body), err
}

// TestAConnectionIsUsedAgain, unless the server said that it ends, or said more than an answer.
func TestAConnectionIsUsedAgain(t *testing.T) {
	t.Parallel()
	for text, idle := range map[string]int{
		ok: 1,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n": 1,
		"HTTP/1.1 103 Early Hints\r\n\r\n" + ok:                                     1,
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok":       0,
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n":         0,
	} {
		address := server(t, func(_ int, _ *http.Request, c net.Conn) bool {
			_, _ = io.WriteString(c, text)
			return true
		})
		p := &Pool{}
		if got, err := exchange(t, p, address, request(t, http.MethodGet)); got != "ok" || err != nil {
			t.Errorf("%q: %q, %v", text, got, err)
		}
		if p.Idle() != idle {
			t.Errorf("%q: %d connections are kept, not %d", text, p.Idle(), idle)
		}
		p.Close()
	}
}

// TestAConnectionThatTheServerClosed is found out before anything is sent that is not harmless, and is told apart where
// something was.
func TestAConnectionThatTheServerClosed(t *testing.T) {
	t.Parallel()
	address := server(t, func(n int, _ *http.Request, c net.Conn) bool {
		_, _ = io.WriteString(c, ok)
		return n > 1
	})
	p := &Pool{}
	defer p.Close()
	if _, err := exchange(t, p, address, request(t, http.MethodGet)); err != nil {
		t.Fatal(err)
	}
	kept := p.idle[0]
	// The end is here: the connection was left alone before this, as nobody reads from it.
	if _, err := kept.Reader.Peek(1); err != io.EOF {
		t.Fatal(err)
	}
	now := time.Now()
	kept.idle = now
	if c := p.take(address, true, now); c != kept {
		t.Fatal("a connection that was used just now is looked at")
	}
	_, err := kept.ask(request(t, http.MethodGet))
	var closed *ClosedError
	if !errors.As(err, &closed) {
		t.Errorf("%v", err)
	}
	p.Put(kept)
	kept.idle = now
	if c := p.take(address, false, now); c != nil {
		t.Error("a closed connection is taken for something that may be done once only")
	}
	if got, err := exchange(t, p, address, request(t, http.MethodPost)); got != "ok" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestWhoIsPatientWaitsForTheAnswer of a request whose client went away, for as long as that.
func TestWhoIsPatientWaitsForTheAnswer(t *testing.T) {
	t.Parallel()
	came, release := make(chan struct{}, 3), make(chan struct{})
	address := server(t, func(n int, _ *http.Request, c net.Conn) bool {
		came <- struct{}{}
		if n == 1 {
			<-release
			_, _ = io.WriteString(c, ok)
			return true
		}
		_, _ = c.Read(make([]byte, 1))
		return false
	})
	for _, c := range []struct {
		patience time.Duration
		answered bool
	}{{patience, true}, {time.Millisecond, false}, {0, false}} {
		p := &Pool{}
		ctx, cancel := context.WithCancel(t.Context())
		o := request(t, http.MethodGet)
		o.Within, o.Patience = 0, c.patience
		done := make(chan error, 1)
		go func() {
			y, err := p.Exchange(ctx, Dialer(patience), address, o)
			if err == nil {
				y.Finish(false)
			}
			done <- err
		}()
		<-came
		cancel()
		if c.answered {
			close(release)
		}
		if err := <-done; (err == nil) != c.answered {
			t.Errorf("with a patience of %s: %v", c.patience, err)
		}
		p.Close()
	}
}

// TestADeadMachineIsNoticed by what is set on each connection: nothing here can be dead.
func TestADeadMachineIsNoticed(t *testing.T) {
	t.Parallel()
	address := server(t, func(int, *http.Request, net.Conn) bool { return false })
	c, err := Dialer(patience)(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	options := map[int]int{unix.TCP_USER_TIMEOUT: int(goneAfter.Milliseconds()), unix.TCP_KEEPINTVL: int(aliveEvery.Seconds())}
	err = raw.Control(func(fd uintptr) {
		for name, want := range options {
			if got, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, name); err != nil || got != want {
				t.Errorf("option %d is %d, not %d: %v", name, got, want, err)
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
	if err := error(&net.OpError{Op: "read", Err: syscall.ETIMEDOUT}); TimedOut(err) {
		t.Error("a machine that is gone is taken for one that is slow")
	}
}

// TestADialIsBounded where nobody takes the connection.
func TestADialIsBounded(t *testing.T) {
	t.Parallel()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: at.(*unix.SockaddrInet4).Port}).String()
	dial := Dialer(100 * time.Millisecond)
	for range 10 {
		c, err := dial(t.Context(), "tcp", address)
		if err == nil {
			// It is in the queue of those that nobody takes.
			defer func() { _ = c.Close() }()
			continue
		}
		if !TimedOut(err) {
			t.Errorf("%v", err)
		}
		return
	}
	t.Error("all connections were taken")
}

func TestThePoolIsBounded(t *testing.T) {
	t.Parallel()
	p := &Pool{}
	for range idleMost + 1 {
		c, other := net.Pipe()
		_ = other.Close()
		p.Put(NewConn(c, "a"))
	}
	if p.Idle() != idleMost {
		t.Errorf("%d connections are kept", p.Idle())
	}
	p.Expire(time.Now().Add(-time.Hour))
	if p.Idle() != idleMost {
		t.Error("some were closed that had been used")
	}
	p.Drop("b")
	p.Expire(time.Now().Add(time.Hour))
	if p.Idle() != 0 {
		t.Errorf("%d connections are kept", p.Idle())
	}
	room := Room{Most: 10}
	if !room.Take(10) || room.Take(1) {
		t.Error("room for more than there is")
	}
	room.Give(10)
	if !room.Take(1) {
		t.Error("what was given back is not there")
	}
}

// TestAHeadThatNeverEndsIsGivenUp, whether it is one or one before another, and so is one that is none.
func TestAHeadThatNeverEndsIsGivenUp(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"X: y\r\n", "X: y\r\n\r\nHTTP/1.1 103 Early Hints\r\n"} {
		address := server(t, func(_ int, _ *http.Request, c net.Conn) bool {
			_, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n")
			for range 4 * mostHead / len(part) {
				if err == nil {
					_, err = io.WriteString(c, part)
				}
			}
			_, _ = io.WriteString(c, "\r\n"+ok)
			return false
		})
		if _, err := exchange(t, &Pool{}, address, request(t, http.MethodGet)); !errors.Is(err, errLongHead) {
			t.Errorf("%q: %v", part, err)
		}
	}
	address := server(t, func(_ int, _ *http.Request, c net.Conn) bool {
		_, _ = io.WriteString(c, "HTTP/1.1 099 Nothing\r\n\r\n"+ok)
		return true
	})
	if _, err := exchange(t, &Pool{}, address, request(t, http.MethodGet)); !errors.Is(err, errStatus) {
		t.Errorf("%v", err)
	}
}

// TestABodyIsLongerThanAHeadMayBe: the bound is none for it.
func TestABodyIsLongerThanAHeadMayBe(t *testing.T) {
	t.Parallel()
	address := server(t, func(_ int, _ *http.Request, c net.Conn) bool {
		_, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "+strconv.Itoa(2*mostHead)+"\r\n\r\n"+strings.Repeat("x", 2*mostHead))
		return true
	})
	if got, err := exchange(t, &Pool{}, address, request(t, http.MethodGet)); len(got) != 2*mostHead || err != nil {
		t.Errorf("%d bytes: %v", len(got), err)
	}
}
