package member

import (
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/shards/carry"
)

// lasting tells an answer that has no end of its own.
func lasting(y *http.Response) bool { return y.ContentLength < 0 && carry.Endless(y.Header) }

// stream is the body of an answer that lasts as long as its client stays: events. It counts in the place of its request. When
// its partition leaves, it ends for the client as if it was over: an EventSource opens it anew, and is taken to the new owner.
// For the partition it ends once it has ended in the container, too.
type stream struct {
	body io.ReadCloser
	// hangUp tells the container that nobody listens any more, and ends a Read that waits. ebb waits for the container's
	// end. begin has somebody wait for that.
	hangUp, ebb func()
	begin       func(func()) bool
	// over counts the stream off.
	over func()

	once sync.Once
	left atomic.Bool
	// mu is held while the body is read.
	mu sync.Mutex
}

// Read implements io.Reader: it is what goes to the client.
func (s *stream) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left.Load() {
		return 0, io.EOF
	}
	n, err := s.body.Read(b)
	if err != nil && s.left.Load() {
		err = io.EOF
	}
	return n, err
}

// Close implements io.Closer.
func (s *stream) Close() error { return s.body.Close() }

func (s *stream) leave() {
	s.once.Do(func() {
		s.left.Store(true)
		s.hangUp()
		if !s.begin(s.fade) {
			s.over()
		}
	})
}

// fade counts the stream off when the container has ended it. A client that is slow to read holds nothing up.
func (s *stream) fade() {
	defer s.over()
	// Who reads is told by hangUp; nobody begins to any more.
	s.mu.Lock()
	s.mu.Unlock() //nolint:staticcheck // it is only waited for
	s.ebb()
}

// end of a stream that was not left; what is done then is not done to one that was.
func (s *stream) end(finish func()) {
	s.once.Do(func() {
		finish()
		s.over()
	})
}

// keep the stream of p, whose request is counted until release.
func (m *Member) keep(p int, s *stream, release func()) {
	s.begin = m.begin
	serves := m.own.keep(p, s)
	release()
	if !serves {
		s.leave()
	}
}

// events go the short way. The container's end is seen: it closes a connection on which no request comes any more.
func (m *Member) events(y *carry.Reply, p int, release func()) (finish func(whole bool)) {
	s := &stream{body: y.Body}
	s.hangUp = func() {
		if c, ok := y.Conn.Conn.(interface{ CloseWrite() error }); ok {
			_ = c.CloseWrite()
		}
		y.Cut()
	}
	s.ebb = func() {
		until := time.Now().Add(m.drainFor)
		stop := context.AfterFunc(m.life, func() { _ = y.Conn.Close() })
		defer func() {
			stop()
			_ = y.Conn.Close()
		}()
		y.Detach()
		for {
			_ = y.Conn.SetDeadline(until)
			// A client that went at that moment may have ended it: it is waited on.
			if _, err := io.Copy(io.Discard, y.Conn.Conn); !carry.TimedOut(err) || !time.Now().Before(until) {
				return
			}
		}
	}
	y.Body = s
	m.keep(p, s, release)
	return func(whole bool) { s.end(func() { y.Finish(whole) }) }
}

// longEvents go the long way. The container's end is not seen: it has the time that it may be at work for nobody.
func (m *Member) longEvents(y *http.Response, pass *passage) {
	s := &stream{body: y.Body, hangUp: pass.hangUp, ebb: func() { pause(m.life, m.drainFor) }}
	y.Body, pass.stream = s, s
	m.keep(pass.partition, s, pass.release)
}
