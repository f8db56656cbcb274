// Package shardclient puts load on the counters of examples/sharded-counter, by one address, and records what it is
// answered. It repeats what the contract of a ShardSet lets it repeat, each increment under one idempotency key, and
// notes all else as a fault. It imports test/e2e/shardhistory.
package shardclient

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/trellis-dev/trellis/test/e2e/shardhistory"
)

// Config of a client.
type Config struct {
	// URL of the ShardSet, and the token of its binding; none where it lets everybody in.
	URL, Token string
	// Keys that it counts, in no order.
	Keys []string
	// Number of the client; the numbers of those that share a history differ.
	Number int
	// Every is its pace: the time from the beginning of an operation to that of the next, if it is over by then.
	Every time.Duration
	// Timeout of an attempt.
	Timeout time.Duration
	// Since says how long ago the history began. All clients of a history have the same.
	Since func() time.Duration
}

// reads are one operation of so many.
const reads = 5

// Client counts until it is stopped.
type Client struct {
	config Config
	http   *http.Client
	// stop has no further operation begin, and cancel gives up the one that is under way.
	stop   func()
	cancel context.CancelFunc
	ended  chan struct{}

	mu         sync.Mutex
	operations []shardhistory.Operation
	trouble    Trouble
}

// Trouble is what came instead of an answer.
type Trouble struct {
	// Refused are attempts that were not carried out, as they were told, by status.
	Refused map[int]int
	// Doubtful are those that may have been (502), and Broken those without any answer.
	Doubtful, Broken int
	// Again are operations that were carried out before the attempt that was answered. That may be the first one: a router, and
	// net/http's client where a router is killed, send again by themselves what has an idempotency key.
	Again int
	// Slowest operation, with all its attempts.
	Slowest time.Duration
	// Last of it, in words.
	Last string
	// Faults are answers that the contract does not have.
	Faults []string
}

// Start a client.
func Start(ctx context.Context, c Config) *Client {
	ctx, cancel := context.WithCancel(ctx)
	stopping := make(chan struct{})
	transport := http.DefaultTransport.(*http.Transport).Clone()
	client := &Client{
		config: c, stop: sync.OnceFunc(func() { close(stopping) }), cancel: cancel, ended: make(chan struct{}),
		http: &http.Client{Transport: transport, Timeout: c.Timeout}, trouble: Trouble{Refused: map[int]int{}},
	}
	go func() {
		defer close(client.ended)
		defer transport.CloseIdleConnections()
		client.run(ctx, stopping)
	}()
	return client
}

// Stop it after the operation that it is at, for which it has so much patience. What it returns is all that it did.
func (c *Client) Stop(patience time.Duration) []shardhistory.Operation {
	c.stop()
	giveUp := time.AfterFunc(patience, c.cancel)
	<-c.ended
	giveUp.Stop()
	c.cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.operations
}

// Answered counts the operations that were.
func (c *Client) Answered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.operations)
}

// Trouble that it had.
func (c *Client) Trouble() Trouble {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.trouble
	out.Refused = map[int]int{}
	for status, n := range c.trouble.Refused {
		out.Refused[status] = n
	}
	return out
}

func (c *Client) run(ctx context.Context, stopping <-chan struct{}) {
	tick := time.NewTicker(c.config.Every)
	defer tick.Stop()
	for n := 0; ; n++ {
		o := shardhistory.Operation{Client: c.config.Number, Key: c.config.Keys[rand.N(len(c.config.Keys))]}
		if n%reads != reads-1 {
			o.ID = fmt.Sprintf("%d-%d", c.config.Number, n)
		}
		c.do(ctx, o)
		select {
		case <-stopping:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// do an operation until it is answered. One that is not before ctx ends is recorded as unknown.
func (c *Client) do(ctx context.Context, o shardhistory.Operation) {
	o.Sent = c.config.Since()
	again := false
	for ctx.Err() == nil {
		a, wait, err := c.attempt(ctx, o)
		if err == nil {
			o.Answered, o.Value, o.Partition, o.Member, o.Epoch = c.config.Since(), a.Value, a.Partition, a.Member, a.Epoch
			again = a.Again
			break
		}
		if wait == 0 {
			break
		}
		pause(ctx, wait)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.operations = append(c.operations, o)
	if o.Answered > 0 {
		c.trouble.Slowest = max(c.trouble.Slowest, o.Answered-o.Sent)
	}
	if again {
		c.trouble.Again++
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
