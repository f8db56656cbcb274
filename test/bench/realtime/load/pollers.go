package load

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// PollParams say what is asked for, over and over.
type PollParams struct {
	Address, Token string
	// Path with its query.
	Path    string
	Pollers int
	// WarmUp comes before Measure.
	WarmUp, Measure time.Duration
}

// Polled is what came of it.
type Polled struct {
	Requests int64
	Rate     float64
	P50, P99 time.Duration
}

// Poll asks with several connections at once, each for one answer at a time.
func (c *Clients) Poll(ctx context.Context, p PollParams) (Polled, error) {
	ctx, cancel := context.WithTimeout(ctx, p.WarmUp+p.Measure)
	defer cancel()
	c.times.reset()
	var total, counted atomic.Int64
	from := c.now() + p.WarmUp
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: bench\r\n%s\r\n", p.Path, authorization(p.Token))
	var wg sync.WaitGroup
	failed := make(chan error, p.Pollers)
	for range p.Pollers {
		wg.Go(func() {
			conn, err := net.DialTimeout("tcp", p.Address, openTimeout)
			if err != nil {
				failed <- err
				return
			}
			defer func() { _ = conn.Close() }()
			r := bufio.NewReader(conn)
			for ctx.Err() == nil {
				at := c.now()
				if err := exchange(conn, r, request); err != nil {
					failed <- err
					return
				}
				total.Add(1)
				if at >= from {
					counted.Add(1)
					c.times.add(c.now() - at)
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		return Polled{}, fmt.Errorf("poll: %w", err)
	default:
	}
	return Polled{Requests: total.Load(), Rate: float64(counted.Load()) / p.Measure.Seconds(), P50: c.times.quantile(0.5), P99: c.times.quantile(0.99)}, nil
}
