package router

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/shards/carry"
)

const (
	// closeWait is how long the two ends of a socket have to answer that it is closed.
	closeWait = 2 * time.Second
	// statusRestart is the WebSocket status of a server that restarts: come back, elsewhere (RFC 6455, section 7.4).
	statusRestart = 1012
	opcodeClose   = 8
)

// tunnel connects the two ends of a WebSocket until one of them ends.
func (j *job) tunnel(y *carry.Reply) {
	y.Detach()
	client, rw, err := http.NewResponseController(j.w).Hijack()
	if err != nil {
		_ = y.Conn.Close()
		j.fail(problemUpgrade())
		return
	}
	carry.DropHop(y.Header)
	y.Header.Set("Connection", "Upgrade")
	y.Header.Set("Upgrade", j.out.Upgrade)
	_ = client.SetDeadline(time.Time{})
	_ = client.SetWriteDeadline(time.Now().Add(writeStall))
	head := http.Response{StatusCode: y.StatusCode, ProtoMajor: 1, ProtoMinor: 1, Header: y.Header}
	if err := errors.Join(head.Write(rw), rw.Flush()); err != nil {
		_ = client.Close()
		_ = y.Conn.Close()
		return
	}
	j.begun(y.StatusCode, true)
	j.r.metrics.sockets.Inc()
	defer j.r.metrics.sockets.Dec()
	s := &socket{
		client: client, shard: y.Conn.Conn,
		down: &direction{to: client, from: y.Conn.Reader},
		up:   &direction{to: y.Conn.Conn, from: rw.Reader, masked: true},
	}
	_, leave := j.r.open.enter(func() { s.leaving.Go(s.leave) })
	s.run()
	leave()
	s.leaving.Wait()
}

// socket is a WebSocket of a client with a shard.
type socket struct {
	client, shard net.Conn
	down, up      *direction
	leaving       sync.WaitGroup
}

func (s *socket) run() {
	var both sync.WaitGroup
	for _, d := range []*direction{s.down, s.up} {
		both.Go(func() {
			d.copy()
			// The other end may have something to say still, such as that it closes too.
			s.soon()
		})
	}
	both.Wait()
	_ = s.client.Close()
	_ = s.shard.Close()
}

// soon has nothing be read any more after a while.
func (s *socket) soon() {
	until := time.Now().Add(closeWait)
	_ = s.client.SetReadDeadline(until)
	_ = s.shard.SetReadDeadline(until)
}

// leave tells both ends that it is over.
func (s *socket) leave() {
	s.down.close()
	s.up.close()
	s.soon()
}

// direction is one way of a socket. It knows where frames begin, so that one can be put between two.
type direction struct {
	to   net.Conn
	from *bufio.Reader
	// masked is true for what the client sends.
	masked bool

	mu sync.Mutex
	// left is how much of a frame is to come; header has what came of the next one's.
	left   uint64
	header []byte
	// last is true from the frame on that says the end of this way.
	last bool
	// closing is true when the end is to be told after the frame that is under way, told once it was.
	closing, told bool
}

func (d *direction) copy() {
	for {
		// It is written from where it was read to: a socket on which nothing happens has no buffer but the connection's.
		_, err := d.from.Peek(1)
		p, _ := d.from.Peek(d.from.Buffered())
		if len(p) > 0 && !d.write(p) {
			return
		}
		_, _ = d.from.Discard(len(p))
		if err != nil {
			if half, ok := d.to.(interface{ CloseWrite() error }); ok && err == io.EOF {
				_ = half.CloseWrite()
			}
			return
		}
	}
}

// write reports false where nothing more is to be written.
func (d *direction) write(p []byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.told {
		d.track(p)
		return !d.ended()
	}
	n := len(p)
	if d.closing {
		n = d.untilFrame(p)
	} else {
		d.track(p)
	}
	_ = d.to.SetWriteDeadline(time.Now().Add(writeStall))
	if _, err := d.to.Write(p[:n]); err != nil {
		return false
	}
	if d.closing && d.between() {
		d.tell()
		d.track(p[n:])
		return !d.ended()
	}
	return true
}

// ended reports whether what came last said that nothing follows.
func (d *direction) ended() bool { return d.last && d.between() }

// close tells the other end that it is over, when the frame that is under way is.
func (d *direction) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closing {
		return
	}
	d.closing = true
	if d.between() {
		d.tell()
	}
}

// between reports whether no frame is under way.
func (d *direction) between() bool { return d.left == 0 && len(d.header) == 0 }

// tell needs d.mu.
func (d *direction) tell() {
	d.told = true
	if d.last {
		// It was told by whom it is from.
		return
	}
	frame := []byte{0x88, 2, statusRestart >> 8, statusRestart & 0xff}
	if d.masked {
		// Masked by zeros, as all that a client sends is masked.
		frame = []byte{0x88, 0x80 | 2, 0, 0, 0, 0, statusRestart >> 8, statusRestart & 0xff}
	}
	_ = d.to.SetWriteDeadline(time.Now().Add(closeWait))
	_, _ = d.to.Write(frame)
}

// track goes through what is written frame by frame.
func (d *direction) track(p []byte) {
	for len(p) > 0 {
		p = p[d.step(p):]
	}
}

// untilFrame is how much of p belongs to the frame that is under way.
func (d *direction) untilFrame(p []byte) int {
	n := 0
	for n < len(p) && !d.between() {
		n += d.step(p[n:])
	}
	return n
}

// step goes past a part of a frame: of what it is made of, or of its header.
func (d *direction) step(p []byte) int {
	if d.left > 0 {
		n := min(d.left, uint64(len(p)))
		d.left -= n
		return int(n)
	}
	d.header = append(d.header, p[0])
	if length, ok := frameLength(d.header); ok {
		d.last = d.last || d.header[0]&0x0f == opcodeClose
		d.left, d.header = length, d.header[:0]
	}
	return 1
}

// frameLength is how much follows the header of a frame; ok is false where the header goes on.
func frameLength(h []byte) (length uint64, ok bool) {
	if len(h) < 2 {
		return 0, false
	}
	size, at := uint64(h[1]&0x7f), 2
	switch size {
	case 126:
		at += 2
	case 127:
		at += 8
	}
	mask := 0
	if h[1]&0x80 != 0 {
		mask = 4
	}
	if len(h) < at+mask {
		return 0, false
	}
	switch size {
	case 126:
		size = uint64(binary.BigEndian.Uint16(h[2:]))
	case 127:
		size = binary.BigEndian.Uint64(h[2:])
	}
	return size, true
}
