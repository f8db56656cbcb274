package contracttest

import (
	"bufio"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Wire is a connection on which a test writes what no client library would.
type Wire struct {
	net.Conn
	// Reader reads the answers.
	Reader *bufio.Reader
}

// Wire opens a connection to the first replica.
func (g *Target) Wire(t *testing.T) *Wire {
	t.Helper()
	u, err := url.Parse(g.URL())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(2 * Patience))
	t.Cleanup(func() { _ = conn.Close() })
	return &Wire{Conn: conn, Reader: bufio.NewReader(conn)}
}

// Request is a request line and headers, with the binding's token.
func (g *Target) Request(line string, headers ...string) string {
	return line + "\r\nHost: x\r\nAuthorization: Bearer " + g.Token + "\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n"
}

// Exchanges are, by their names, what is sent as it stands and what the answer has in it.
type Exchanges map[string]struct{ Send, Want string }

// Answers sends each of the exchanges on a connection of its own, and looks at the first line of what is answered.
func (g *Target) Answers(t *testing.T, exchanges Exchanges) {
	t.Helper()
	for name, c := range exchanges {
		t.Run(name, func(t *testing.T) {
			w := g.Wire(t)
			// The server may answer, and close, before all of it is sent.
			_, _ = io.Copy(w, strings.NewReader(c.Send))
			line, err := w.Reader.ReadString('\n')
			if err != nil || !strings.Contains(line, c.Want) {
				t.Errorf("answered %q, %v; want%s", line, err, c.Want)
			}
		})
	}
}

// Unfinished begins requests that never come to their end. Each is answered and its connection closed; nobody else
// waits for them, as meanwhile shows.
func (g *Target) Unfinished(t *testing.T, exchanges Exchanges, meanwhile func()) {
	t.Helper()
	var waiting sync.WaitGroup
	for name, c := range exchanges {
		w := g.Wire(t)
		if _, err := io.WriteString(w, c.Send); err != nil {
			t.Fatal(err)
		}
		waiting.Go(func() {
			got, err := io.ReadAll(w.Reader)
			if err != nil || !strings.Contains(string(got), c.Want) {
				t.Errorf("%s: answered %q, %v; want%s and the end of the connection", name, got, err, c.Want)
			}
		})
	}
	meanwhile()
	waiting.Wait()
}
