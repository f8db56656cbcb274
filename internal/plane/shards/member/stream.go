package member

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/trellis-dev/trellis/internal/plane/shards/carry"
)

// lasting tells an answer that has no end of its own.
func lasting(y *http.Response) bool { return y.ContentLength < 0 && carry.Endless(y.Header) }

// stream is the body of an answer that is under way still. One that lasts as long as its client stays, which are events,
// ends when its partition leaves as if it was over: an EventSource opens it anew, and is taken to the new owner. Any other
// one breaks off where it is cut. For the partition it ends once it has ended in the container, too.
type stream struct {
	body io.ReadCloser
	// lasting is true of events.
	lasting bool
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
		return 0, s.end()
	}
	n, err := s.body.Read(b)
	if err != nil && !errors.Is(err, io.EOF) && s.left.Load() {
		err = s.end()
	}
	return n, err
}

// end of one that was left, as its client sees it.
func (s *stream) end() error {
	if s.lasting {
		return io.EOF
	}
	return errLeft
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

// finish a stream that was not left; what is done then is not done to one that was.
func (s *stream) finish(finish func()) {
	s.once.Do(func() {
		finish()
		s.over()
	})
}

// carryOn what is to come of an answer; its request counts as long as that.
func (m *Member) carryOn(body io.ReadCloser, lasting bool, t *turn) *stream {
	s := &stream{body: body, lasting: lasting, hangUp: t.hang, ebb: t.ebb, begin: m.begin, over: t.done}
	if lasting {
		s.over = func() {
			m.own.unhold(t.partition, s)
			t.done()
		}
	}
	stays := t.answering(s)
	if lasting {
		stays = m.own.hold(t.partition, s) && stays
	}
	if !stays {
		s.leave()
	}
	return s
}

// answering goes the short way. Where all of the answer is here its container is done with it, however long the client takes.
func (m *Member) answering(y *carry.Reply, t *turn) (finish func(whole bool)) {
	if y.Here() {
		t.done()
		return y.Finish
	}
	s := m.carryOn(y.Body, lasting(y.Response), t)
	y.Body = s
	return func(whole bool) { s.finish(func() { y.Finish(whole) }) }
}
