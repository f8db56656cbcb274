package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// dialing is how many connections are opened at once.
	dialing = 64
	// perSource is how many connections share a source address: there are about
	// 28,000 ports for one address to one server.
	perSource = 20000
	// openTimeout bounds how long one connection may take to be ready.
	openTimeout = 30 * time.Second
)

// FollowParams say who follows what.
type FollowParams struct {
	// Addresses of the server's replicas; the followers of a room are spread over them.
	Addresses []string
	Protocol  Protocol
	Token     string
	Followers int
	// Rooms are named r0, r1 …; the followers are spread over them evenly.
	Rooms int
}

// roomName is the name of a room.
func roomName(i int) string { return fmt.Sprintf("r%d", i) }

// Clients are all clients of a load process.
type Clients struct {
	began     time.Time
	delivered atomic.Int64
	// after is when messages begin to count for the times.
	after atomic.Int64
	times histogram

	mu      sync.Mutex
	conns   []net.Conn
	wg      sync.WaitGroup
	closing atomic.Bool
	broken  atomic.Int64
	fault   atomic.Pointer[error]
	perRoom int
	// read is told of each message: seen, unless something else is to become of them.
	read func(at time.Duration)
	// talk is nil until Talk.
	talk *talk
}

// New makes clients whose clock begins now.
func New() *Clients {
	c := &Clients{began: time.Now()}
	c.read = c.seen
	return c
}

func (c *Clients) now() time.Duration { return time.Since(c.began) }

func (c *Clients) seen(at time.Duration) {
	c.delivered.Add(1)
	if int64(at) >= c.after.Load() {
		c.times.add(c.now() - at)
	}
}

// Follow opens connections and returns once each follows its room.
func (c *Clients) Follow(ctx context.Context, p FollowParams) error {
	c.perRoom = p.Followers / p.Rooms
	if c.perRoom*p.Rooms != p.Followers {
		return fmt.Errorf("%d followers cannot be spread over %d rooms evenly", p.Followers, p.Rooms)
	}
	next := make(chan int)
	failed := make(chan error, dialing)
	var opening sync.WaitGroup
	for range dialing {
		opening.Go(func() {
			for i := range next {
				if err := c.open(ctx, p, i); err != nil {
					select {
					case failed <- fmt.Errorf("follower %d: %w", i, err):
					default:
					}
				}
			}
		})
	}
	for i := range p.Followers {
		next <- i
	}
	close(next)
	opening.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// lateport has the kernel choose the port when it knows the other end too: ports of connections to a
// server before, which are not forgotten yet, may be used again.
func lateport(_, _ string, conn syscall.RawConn) (err error) {
	failed := conn.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	})
	return errors.Join(failed, err)
}

func (c *Clients) open(ctx context.Context, p FollowParams, i int) error {
	return c.openRoom(ctx, p, p.Addresses[i/p.Rooms%len(p.Addresses)], i, i%p.Rooms)
}

// openRoom has follower i follow a room at a replica.
func (c *Clients) openRoom(ctx context.Context, p FollowParams, address string, i, room int) error {
	source := net.IPv4(127, 0, 0, byte(2+i/perSource))
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: source}, Timeout: openTimeout, KeepAlive: -1, Control: lateport}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.conns = append(c.conns, conn)
	c.mu.Unlock()
	f := p.Protocol.follow(roomName(room))
	if _, err := io.WriteString(conn, f.handshake(p.Token)); err != nil {
		return err
	}
	_ = conn.SetReadDeadline(time.Now().Add(openTimeout))
	want := http.StatusSwitchingProtocols
	if f.events {
		want = http.StatusOK
	}
	read, err := c.begin(conn, want, f)
	if err != nil {
		return err
	}
	_ = conn.SetReadDeadline(time.Time{})
	c.wg.Go(func() {
		if err := read(); err != nil && !c.closing.Load() {
			c.broken.Add(1)
			c.fault.Store(&err)
		}
	})
	return nil
}

// begin reads until the room is followed, and returns what reads on.
func (c *Clients) begin(conn net.Conn, want int, f follow) (func() error, error) {
	r := bufio.NewReaderSize(conn, 1024)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != want {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
		return nil, fmt.Errorf("answered %s: %s", resp.Status, body)
	}
	if f.events {
		return c.readEvents(resp.Body, f.ready)
	}
	for _, h := range f.hello {
		if _, err := conn.Write(maskedFrame(nil, opText, []byte(h))); err != nil {
			return nil, err
		}
	}
	// What came with the handshake is in r; nothing does before hello.
	if r.Buffered() > 0 {
		return nil, errors.New("the server spoke first")
	}
	frames := &frameReader{conn: conn}
	return c.readFrames(frames, f.ready)
}

func (c *Clients) readFrames(frames *frameReader, ready string) (func() error, error) {
	subscribed := false
	text := func(data []byte) error {
		subscribed = subscribed || bytes.Contains(data, []byte(ready))
		if pinged(data) {
			if _, err := frames.conn.Write(maskedFrame(nil, opText, []byte("{}"))); err != nil {
				return err
			}
		}
		eachMark(data, c.read)
		return nil
	}
	for !subscribed {
		if err := frames.next(text); err != nil {
			return nil, fmt.Errorf("before the room was followed: %w", err)
		}
	}
	return func() error {
		for {
			if err := frames.next(text); err != nil {
				return err
			}
		}
	}, nil
}

// pinged is true when one of the lines of the library's protocol is its ping.
func pinged(data []byte) bool {
	return len(data) == 2 || bytes.HasPrefix(data, []byte("{}\n")) || bytes.HasSuffix(data, []byte("\n{}"))
}

func (c *Clients) readEvents(body io.Reader, ready string) (func() error, error) {
	buf := make([]byte, 2048)
	kept, subscribed := 0, false
	step := func() error {
		n, err := body.Read(buf[kept:])
		if n == 0 && err != nil {
			return err
		}
		data := buf[:kept+n]
		if !subscribed {
			subscribed = bytes.Contains(data, []byte(ready))
			kept = len(data) % len(buf)
			if subscribed {
				kept = 0
			}
			return nil
		}
		kept = copy(buf, eachMark(data, c.read))
		return nil
	}
	for !subscribed {
		if err := step(); err != nil {
			return nil, fmt.Errorf("before the room was followed: %w", err)
		}
	}
	return func() error {
		for {
			if err := step(); err != nil {
				return err
			}
		}
	}, nil
}

// Broken reports connections that ended by themselves.
func (c *Clients) Broken() error {
	if n := c.broken.Load(); n > 0 {
		return fmt.Errorf("%d connections ended by themselves: %w", n, *c.fault.Load())
	}
	return nil
}

// Close ends all connections.
func (c *Clients) Close() {
	c.closing.Store(true)
	c.mu.Lock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.mu.Unlock()
	c.wg.Wait()
}
