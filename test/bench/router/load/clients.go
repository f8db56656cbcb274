package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// KeyHeader of a request has its key.
const KeyHeader = "X-Key"

// AskParams are those of a measurement.
type AskParams struct {
	Address, Token string
	// Clients have a connection each, and Keys are asked for in turn, each client from another one on.
	Clients, Keys int
	For           time.Duration
	// PerSecond requests in all are sent at a steady pace; 0 for as many as are answered.
	PerSecond int
}

// Asked is what came of it. Times are from when a request was due until its answer was read.
type Asked struct {
	Answers, Failed int
	PerSecond       float64
	P50, P99        time.Duration
	// Strayed are keys that more than one shard answered.
	Strayed int
	// Why is the first failure.
	Why string
}

// client counts for itself, so that clients do not wait for each other.
type client struct {
	conn     net.Conn
	r        *bufio.Reader
	requests [][]byte
	at       int
	took     []time.Duration
	failed   int
	strayed  map[int]bool
	shard    []string
	err      error
}

// Ask has clients ask a router for keys.
func Ask(ctx context.Context, p AskParams) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, p.For+time.Minute)
	defer cancel()
	requests := make([][]byte, p.Keys)
	for i := range requests {
		requests[i] = request(p, i)
	}
	clients := make([]*client, p.Clients)
	for i := range clients {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.Address)
		if err != nil {
			return nil, fmt.Errorf("connect to the router: %w", err)
		}
		defer func() { _ = conn.Close() }()
		defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
		clients[i] = &client{
			conn: conn, r: bufio.NewReader(conn), requests: requests, at: i * p.Keys / p.Clients,
			strayed: map[int]bool{}, shard: make([]string, p.Keys),
		}
	}
	var all sync.WaitGroup
	began := time.Now()
	for i, c := range clients {
		all.Go(func() { c.run(began, i, p) })
	}
	all.Wait()
	return sum(clients, time.Since(began)), nil
}

func request(p AskParams, i int) []byte {
	b := fmt.Appendf(nil, "GET /v1/counters/customer-%d HTTP/1.1\r\nHost: orders\r\nUser-Agent: bench\r\nAccept: */*\r\n%s: customer-%d\r\n", i, KeyHeader, i)
	if p.Token != "" {
		b = fmt.Appendf(b, "Authorization: Bearer %s\r\n", p.Token)
	}
	return append(b, "\r\n"...)
}

// run asks until the time is over. Of a steady pace, the clients take every so many'th request each.
func (c *client) run(began time.Time, first int, p AskParams) {
	end := began.Add(p.For)
	for n := first; ; n += p.Clients {
		due := time.Now()
		if p.PerSecond > 0 {
			due = began.Add(time.Duration(n) * time.Second / time.Duration(p.PerSecond))
			time.Sleep(time.Until(due))
		}
		if due.After(end) {
			return
		}
		ok, err := c.ask()
		if err != nil {
			c.err = err
			return
		}
		if !ok {
			c.failed++
		}
		c.took = append(c.took, time.Since(due))
	}
}

func (c *client) ask() (ok bool, err error) {
	key := c.at
	c.at = (c.at + 1) % len(c.requests)
	if _, err := c.conn.Write(c.requests[key]); err != nil {
		return false, fmt.Errorf("ask: %w", err)
	}
	status, shard, body, err := c.answer()
	if err != nil {
		return false, fmt.Errorf("read an answer: %w", err)
	}
	if status != http.StatusOK {
		if c.err == nil {
			c.err = fmt.Errorf("answer %d: %s", status, body)
		}
		return false, nil
	}
	if c.shard[key] == "" {
		c.shard[key] = shard
	} else if c.shard[key] != shard {
		c.strayed[key] = true
	}
	return true, nil
}

// names of the shards, so that none is made for an answer.
var names = func() (out [100]string) {
	for i := range out {
		out[i] = strconv.Itoa(i)
	}
	return out
}()

// answer reads one, of a length that it says: each router passes on what the shards say.
// The body is kept of one that is not as it should be.
func (c *client) answer() (status int, shard, body string, err error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil || len(line) < 12 {
		return 0, "", "", errors.Join(err, errors.New("no status line"))
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, "", "", err
	}
	length := -1
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return 0, "", "", err
		}
		name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case len(name) == 0:
			if length < 0 {
				return 0, "", "", errors.New("an answer says no length")
			}
			if status != http.StatusOK {
				start, _ := c.r.Peek(min(length, 1000))
				body = string(start)
			}
			_, err := c.r.Discard(length)
			return status, shard, body, err
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, "", "", err
			}
		case bytes.EqualFold(name, []byte(ShardHeader)):
			if i, err := strconv.Atoi(string(value)); err == nil && i >= 0 && i < len(names) {
				shard = names[i]
			}
		}
	}
}

func sum(clients []*client, took time.Duration) Asked {
	var out Asked
	var times []time.Duration
	shard, strayed := map[int]string{}, map[int]bool{}
	for _, c := range clients {
		times = append(times, c.took...)
		out.Failed += c.failed
		if c.err != nil {
			out.Why = c.err.Error()
			if c.failed == 0 {
				out.Failed++
			}
		}
		for key := range c.strayed {
			strayed[key] = true
		}
		for key, s := range c.shard {
			if s == "" {
				continue
			}
			if was, known := shard[key]; known && was != s {
				strayed[key] = true
			}
			shard[key] = s
		}
	}
	out.Answers, out.Strayed = len(times), len(strayed)
	out.PerSecond = float64(len(times)) / took.Seconds()
	if slices.Sort(times); len(times) > 0 {
		out.P50, out.P99 = times[len(times)/2], times[len(times)*99/100]
	}
	return out
}
