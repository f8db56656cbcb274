package member

import (
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Frames of WebSocket (RFC 6455, section 5.2) by which both ends are told to go elsewhere: close, with the status 1012.
var (
	closeToClient    = []byte{0x88, 2, 0x03, 0xf4}
	closeToContainer = []byte{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf4}
)

// socketChunk is what is read at once of a socket, in bytes: each that is open has one.
const socketChunk = 4 << 10

// upgrade has the connection of an answer that switches protocols end when the partition leaves.
func (m *Member) upgrade(resp *http.Response, pass *passage) error {
	p := pass.turn.partition
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		return errors.New("the container's connection can not be written to")
	}
	s := newSocket(conn, strings.EqualFold(resp.Header.Get("Upgrade"), "websocket"), m.drainFor)
	s.done = func() {
		m.own.unhold(p, s)
		m.metrics.sockets.Dec()
	}
	m.metrics.sockets.Inc()
	if !m.own.hold(p, s) {
		s.leave()
	}
	resp.Body, pass.socket = s, s
	return nil
}

// socket is the container's side of an upgraded connection. When it is to leave, each end gets a close frame between two
// frames of others, and the connection ends once the container has ended it: then nothing of it is under way there.
type socket struct {
	conn     io.ReadWriteCloser
	frames   bool
	patience time.Duration
	done     func()

	leaving chan struct{}
	left    sync.Once
	once    sync.Once

	// chunks are what the container sends; failed is why there are no more.
	chunks chan []byte
	failed error
	stop   chan struct{}
	// rest of a chunk that was not read yet, and where in the frames to the client it ends.
	rest     []byte
	toClient frames
	said     bool

	mu          sync.Mutex
	toContainer frames
	closed      bool
}

func newSocket(conn io.ReadWriteCloser, websocket bool, patience time.Duration) *socket {
	s := &socket{conn: conn, frames: websocket, patience: patience, leaving: make(chan struct{}), chunks: make(chan []byte), stop: make(chan struct{}), done: func() {}}
	go s.pump()
	return s
}

func (s *socket) leave() {
	s.left.Do(func() {
		close(s.leaving)
		s.tellContainer()
	})
}

// pump reads from the container until it ends the connection, or the socket is closed.
func (s *socket) pump() {
	defer close(s.chunks)
	for {
		buf := make([]byte, socketChunk)
		n, err := s.conn.Read(buf)
		if n > 0 {
			select {
			case s.chunks <- buf[:n]:
			case <-s.stop:
				return
			}
		}
		if err != nil {
			s.failed = err
			return
		}
	}
}

// Read implements io.Reader: it is what goes to the client.
func (s *socket) Read(b []byte) (int, error) {
	for {
		left := s.isLeaving()
		if left && (!s.frames || s.toClient.between()) {
			return s.bye(b)
		}
		if len(s.rest) > 0 {
			n := copy(b, s.rest)
			if left {
				n = s.toClient.upToEnd(b[:n])
			} else {
				s.toClient.skip(b[:n])
			}
			s.rest = s.rest[n:]
			return n, nil
		}
		leaving := s.leaving
		if left {
			leaving = nil
		}
		select {
		case chunk, ok := <-s.chunks:
			if !ok {
				return 0, s.failed
			}
			s.rest = chunk
		case <-leaving:
		}
	}
}

func (s *socket) isLeaving() bool {
	select {
	case <-s.leaving:
		return true
	default:
		return false
	}
}

// bye tells the client once, then waits for the container to end.
func (s *socket) bye(b []byte) (int, error) {
	if s.frames && !s.said {
		s.said = true
		return copy(b, closeToClient), nil
	}
	timer := time.NewTimer(s.patience)
	defer timer.Stop()
	for {
		select {
		case _, ok := <-s.chunks:
			if !ok {
				return 0, errLeft
			}
		case <-timer.C:
			return 0, errLeft
		case <-s.stop:
			return 0, errLeft
		}
	}
}

// Write implements io.Writer: it is what the client sent. What comes after the close frame is left out.
func (s *socket) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return len(b), nil
	}
	send := b
	if s.frames && s.isLeaving() {
		send = b[:s.toContainer.upToEnd(b)]
	} else {
		s.toContainer.skip(b)
	}
	n, err := s.conn.Write(send)
	if err != nil {
		return n, err
	}
	if s.isLeaving() && s.toContainer.between() {
		s.closeContainer()
	}
	return len(b), nil
}

func (s *socket) tellContainer() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && (!s.frames || s.toContainer.between()) {
		s.closeContainer()
	}
}

// isClosed reports whether the container was told to close.
func (s *socket) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// closeContainer needs s.mu.
func (s *socket) closeContainer() {
	s.closed = true
	if s.frames {
		_, _ = s.conn.Write(closeToContainer)
		return
	}
	_ = s.conn.Close()
}

// Close implements io.Closer. It returns once the container has ended the connection, or patience is over: what a client
// sent before it went may be at work there.
func (s *socket) Close() error {
	var err error
	s.once.Do(func() {
		s.tellContainer()
		timer := time.NewTimer(s.patience)
		defer timer.Stop()
		for open := s.isClosed(); open; {
			select {
			case _, open = <-s.chunks:
			case <-timer.C:
				open = false
			}
		}
		close(s.stop)
		err = s.conn.Close()
		s.done()
	})
	return err
}

// frames follows where frames of WebSocket begin and end in a stream.
type frames struct {
	head [14]byte
	have int
	// left of the frame's content, once its head is there.
	left uint64
}

// between reports whether the stream is between two frames.
func (f *frames) between() bool { return f.have == 0 && f.left == 0 }

func (f *frames) skip(b []byte) {
	for len(b) > 0 {
		b = b[f.upToEnd(b):]
	}
}

// upToEnd is how much of b belongs to the frame that it begins in. It takes that much.
func (f *frames) upToEnd(b []byte) int {
	n := 0
	for f.left == 0 && n < len(b) {
		f.head[f.have] = b[n]
		f.have++
		n++
		if size, whole := f.size(); whole {
			f.have, f.left = 0, size
			if size == 0 {
				return n
			}
			break
		}
	}
	more := min(uint64(len(b)-n), f.left)
	f.left -= more
	return n + int(more)
}

// size of the frame's content, once its head is whole.
func (f *frames) size() (uint64, bool) {
	if f.have < 2 {
		return 0, false
	}
	need, length := 2, f.head[1]&0x7f
	switch length {
	case 126:
		need += 2
	case 127:
		need += 8
	}
	extended := need
	if f.head[1]&0x80 != 0 {
		need += 4
	}
	if f.have < need {
		return 0, false
	}
	switch extended {
	case 4:
		return uint64(binary.BigEndian.Uint16(f.head[2:4])), true
	case 10:
		return binary.BigEndian.Uint64(f.head[2:10]), true
	}
	return uint64(length), true
}
