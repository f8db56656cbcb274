package member

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/shards/carry"
)

// line is a connection to the container. One that is left is used no more, and stays open until the container has ended
// it: what was asked on it is at work there until then.
type line struct {
	net.Conn
	// reading is held while something is read.
	reading sync.Mutex

	mu   sync.Mutex
	left bool
}

// onLines has a dial open lines.
func onLines(dial carry.Dial) carry.Dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &line{Conn: c}, nil
	}
}

// SyscallConn implements syscall.Conn.
func (l *line) SyscallConn() (syscall.RawConn, error) {
	c, ok := l.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return c.SyscallConn()
}

// Read implements net.Conn.
func (l *line) Read(p []byte) (int, error) {
	l.reading.Lock()
	defer l.reading.Unlock()
	if l.isLeft() {
		return 0, errLeft
	}
	n, err := l.Conn.Read(p)
	if err != nil && l.isLeft() {
		err = errLeft
	}
	return n, err
}

// Write implements net.Conn.
func (l *line) Write(p []byte) (int, error) {
	n, err := l.Conn.Write(p)
	if err != nil && l.isLeft() {
		err = errLeft
	}
	return n, err
}

// SetDeadline implements net.Conn.
func (l *line) SetDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left {
		return nil
	}
	return l.Conn.SetDeadline(t)
}

// Close implements net.Conn.
func (l *line) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left {
		return nil
	}
	return l.Conn.Close()
}

func (l *line) isLeft() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left
}

// leave tells the container that nobody listens any more, and ends what reads and writes. Who leaves it lets it ebb.
func (l *line) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left {
		return
	}
	l.left = true
	if half, ok := l.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = l.Conn.SetDeadline(time.Unix(1, 0))
}

// ebb waits until the container has ended a line that was left, which it does when what was asked on it is over: no other
// request comes there. It waits for no longer than patience, or life.
func (l *line) ebb(life context.Context, patience time.Duration) {
	until := time.Now().Add(patience)
	stop := context.AfterFunc(life, func() { _ = l.Conn.Close() })
	defer func() {
		stop()
		_ = l.Conn.Close()
	}()
	// Who reads is told by leave, and would not see it if there was another deadline at once.
	l.reading.Lock()
	defer l.reading.Unlock()
	_ = l.Conn.SetReadDeadline(until)
	_, _ = io.Copy(io.Discard, l.Conn)
}
