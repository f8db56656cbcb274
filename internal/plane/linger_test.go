package plane

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// lingerPair is a connection of l and its client's end.
func lingerPair(t *testing.T, l *lingering) (server, client net.Conn) {
	t.Helper()
	var lc net.ListenConfig
	inner, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := l.listen(inner)
	defer func() { _ = listener.Close() }()
	if client, err = net.Dial("tcp", inner.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	for _, conn := range []net.Conn{client, server} {
		t.Cleanup(func() { _ = conn.Close() })
	}
	_ = client.SetDeadline(time.Now().Add(patience))
	return server, client
}

// patient lingers for longer than any test takes.
func patient() *lingering { return &lingering{step: time.Hour} }

// TestCloseIsSeenByAClientThatSends closes while the client has more to send. It
// gets to read the answer, and all that it sends meanwhile is taken.
func TestCloseIsSeenByAClientThatSends(t *testing.T) {
	l := patient()
	server, client := lingerPair(t, l)
	if _, err := io.WriteString(client, strings.Repeat("x", 1<<10)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(server, "too much"); err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	for range 64 {
		if _, err := io.WriteString(client, strings.Repeat("x", 1<<14)); err != nil {
			t.Fatalf("the rest is refused: %v", err)
		}
	}
	if answer, err := io.ReadAll(client); err != nil || string(answer) != "too much" {
		t.Errorf("the client reads %q, %v", answer, err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	l.end()
	if l.open != 0 {
		t.Errorf("%d are still read", l.open)
	}
}

// TestLingeringIsBounded is about clients that never go, and that send without end.
func TestLingeringIsBounded(t *testing.T) {
	t.Run("time", func(t *testing.T) {
		l := &lingering{step: time.Millisecond}
		server, client := lingerPair(t, l)
		_ = server.Close()
		l.end()
		_, err := client.Read(make([]byte, 1))
		for err == nil || errors.Is(err, io.EOF) {
			_, err = io.WriteString(client, "x")
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("the connection is still open")
		}
	})
	t.Run("bytes", func(t *testing.T) {
		l := patient()
		server, client := lingerPair(t, l)
		_ = server.Close()
		var err error
		for chunk := strings.Repeat("x", 1<<16); err == nil; {
			_, err = io.WriteString(client, chunk)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("the connection is read without end")
		}
		l.end()
	})
	t.Run("number", func(t *testing.T) {
		l := patient()
		l.open = lingerMost
		server, _ := lingerPair(t, l)
		_ = server.Close()
		l.conns.Wait()
	})
	t.Run("end", func(t *testing.T) {
		l := patient()
		l.end()
		server, _ := lingerPair(t, l)
		_ = server.Close()
		l.conns.Wait()
	})
	t.Run("client gone", func(t *testing.T) {
		l := patient()
		server, client := lingerPair(t, l)
		_ = client.Close()
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Fatalf("read: %v", err)
		}
		_ = server.Close()
		l.conns.Wait()
	})
}

// TestCloseEndsReadsAndWrites shows that Close is one to those who use the connection.
func TestCloseEndsReadsAndWrites(t *testing.T) {
	l := patient()
	server, client := lingerPair(t, l)
	read, written := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := server.Read(make([]byte, 1))
		read <- err
	}()
	go func() {
		var err error
		for err == nil {
			_, err = io.WriteString(server, strings.Repeat("x", 1<<16))
		}
		written <- err
	}()
	if _, err := client.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_ = server.Close()
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a read that waits ends with %v", err)
	}
	if err := <-written; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a write that waits ends with %v", err)
	}
	_, readAgain := server.Read(make([]byte, 1))
	for what, err := range map[string]error{"Read": readAgain, "Close": server.Close(), "SetDeadline": server.SetDeadline(time.Time{}), "SetReadDeadline": server.SetReadDeadline(time.Time{})} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s of a closed connection: %v", what, err)
		}
	}
	_ = client.Close()
	l.end()
}

// TestRefusalOfABodyIsRead refuses a body by its head. A client that sends it
// nevertheless, and slowly, reads why.
func TestRefusalOfABodyIsRead(t *testing.T) {
	s := startPlane(t, nil, newService(), func(p *Plane) { p.lingering.step = time.Hour })
	const size = 2 << 20
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	// Or the kernel would take the body, whoever reads it.
	_ = conn.(*net.TCPConn).SetWriteBuffer(16 << 10)
	if _, err := fmt.Fprintf(conn, "POST /v1/tokens HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", testToken, size); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("answered %d, %v", resp.StatusCode, err)
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after the answer: %v", err)
	}
	for range 64 {
		if _, err := io.WriteString(conn, strings.Repeat("x", size/64)); err != nil {
			t.Fatalf("the body is cut off: %v", err)
		}
	}
}
