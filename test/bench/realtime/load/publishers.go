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
	"time"
)

// PublishParams say what is published, and how fast.
type PublishParams struct {
	// Addresses of the server's replicas; the publishers are spread over them.
	Addresses []string
	Protocol  Protocol
	Token     string
	Rooms     int
	// Bytes of a message's data.
	Bytes int
	// Publishers at once, each with a connection, and one message at a time.
	Publishers int
	// Window is how many messages may be on their way to followers; Rate is how
	// many are published a second. One of them is 0.
	Window int
	Rate   float64
	// WarmUp comes before Measure.
	WarmUp, Measure time.Duration
}

// Published is what came of it.
type Published struct {
	// Messages that were acknowledged, and deliveries of them, all in all.
	Messages, Delivered int64
	// Lost deliveries.
	Lost int64
	// Rate of deliveries a second while it was measured.
	Rate float64
	// P50 and P99 of the time from when a message was to be sent to each delivery.
	P50, P99 time.Duration
}

// drainTimeout is how long the last messages may take.
const drainTimeout = 10 * time.Second

// Publish publishes, and returns when all has been delivered, or should have.
func (c *Clients) Publish(ctx context.Context, p PublishParams) (Published, error) {
	ctx, cancel := context.WithTimeout(ctx, p.WarmUp+p.Measure)
	defer cancel()
	c.times.reset()
	start := c.now()
	c.after.Store(int64(start + p.WarmUp))
	before := c.delivered.Load()
	run := &publishing{clients: c, PublishParams: p, start: start, before: before}

	var wg sync.WaitGroup
	failed := make(chan error, p.Publishers)
	for i := range p.Publishers {
		wg.Go(func() {
			if err := run.publisher(ctx, p.Addresses[i%len(p.Addresses)]); err != nil {
				failed <- err
				cancel()
			}
		})
	}
	rate := c.measure(ctx, p)
	wg.Wait()
	select {
	case err := <-failed:
		return Published{}, fmt.Errorf("publish: %w", err)
	default:
	}
	out := Published{Messages: run.acknowledged.Load(), Rate: rate}
	expected := out.Messages * int64(c.perRoom)
	for deadline := time.Now().Add(drainTimeout); c.delivered.Load()-before < expected && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	out.Delivered = c.delivered.Load() - before
	out.Lost = expected - out.Delivered
	out.P50, out.P99 = c.times.quantile(0.5), c.times.quantile(0.99)
	return out, c.Broken()
}

// measure counts deliveries between the warm-up and the end.
func (c *Clients) measure(ctx context.Context, p PublishParams) float64 {
	select {
	case <-ctx.Done():
		return 0
	case <-time.After(p.WarmUp):
	}
	from, began := c.delivered.Load(), time.Now()
	<-ctx.Done()
	return float64(c.delivered.Load()-from) / time.Since(began).Seconds()
}

type publishing struct {
	PublishParams
	clients            *Clients
	start              time.Duration
	before             int64
	sent, acknowledged atomic.Int64
}

// turn waits until the next message may be sent. It returns which it is, and
// when it was to be sent; false when the time is over.
func (p *publishing) turn(ctx context.Context) (n int64, at time.Duration, ok bool) {
	n = p.sent.Add(1) - 1
	if p.Rate > 0 {
		at = p.start + time.Duration(float64(n)/p.Rate*float64(time.Second))
		// A message that is late is sent late, and its time counts from when it was due.
		wait := time.NewTimer(at - p.clients.now())
		defer wait.Stop()
		select {
		case <-ctx.Done():
			return 0, 0, false
		case <-wait.C:
			return n, at, true
		}
	}
	for (n-int64(p.Window))*int64(p.clients.perRoom) >= p.clients.delivered.Load()-p.before {
		if ctx.Err() != nil {
			return 0, 0, false
		}
		time.Sleep(50 * time.Microsecond)
	}
	return n, p.clients.now(), ctx.Err() == nil
}

func (p *publishing) publisher(ctx context.Context, address string) error {
	send, closeConn, err := p.dial(address)
	if err != nil {
		return err
	}
	defer closeConn()
	var data []byte
	for {
		n, at, ok := p.turn(ctx)
		if !ok {
			return nil
		}
		data = payload(data[:0], p.Bytes, at)
		if err := send(roomName(int(n%int64(p.Rooms))), data); err != nil {
			return err
		}
		p.acknowledged.Add(1)
	}
}

// dial opens a publisher's connection. send returns once a message is acknowledged.
func (p *publishing) dial(address string) (send func(room string, data []byte) error, closeConn func(), err error) {
	conn, err := net.DialTimeout("tcp", address, openTimeout)
	if err != nil {
		return nil, nil, err
	}
	closeConn = func() { _ = conn.Close() }
	r := bufio.NewReader(conn)
	if p.Protocol == ContractHTTP || p.Protocol == BareHTTP {
		return func(room string, data []byte) error {
			return exchange(conn, r, p.Protocol.publishRequest(room, p.Token, data))
		}, closeConn, nil
	}
	f := p.Protocol.follow("")
	hello := f.hello[:len(f.hello)-1]
	if _, err := io.WriteString(conn, f.handshake(p.Token)); err != nil {
		return nil, closeConn, err
	}
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, closeConn, fmt.Errorf("open a socket to publish over: %w", errors.Join(err, errors.New(resp.Status)))
	}
	frames := &frameReader{conn: conn}
	ask := func(frame []byte, answered string) error {
		if _, err := conn.Write(maskedFrame(nil, opText, frame)); err != nil {
			return err
		}
		return awaitAnswer(frames, answered)
	}
	for _, h := range hello {
		if err := ask([]byte(h), `"id":1`); err != nil {
			return nil, closeConn, err
		}
	}
	return func(room string, data []byte) error {
		return ask(p.Protocol.publishFrame(room, data), `"id":3`)
	}, closeConn, nil
}

func awaitAnswer(frames *frameReader, answered string) error {
	for done := false; !done; {
		err := frames.next(func(text []byte) error {
			done = done || bytes.Contains(text, []byte(answered))
			if bytes.Contains(text, []byte(`"error"`)) {
				return fmt.Errorf("refused: %s", text)
			}
			if pinged(text) {
				_, err := frames.conn.Write(maskedFrame(nil, opText, []byte("{}")))
				return err
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// exchange sends a request and reads its answer.
func exchange(conn net.Conn, r *bufio.Reader, request []byte) error {
	if _, err := conn.Write(request); err != nil {
		return err
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
		return fmt.Errorf("answered %s: %s", resp.Status, body)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
