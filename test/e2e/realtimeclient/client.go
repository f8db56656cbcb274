package realtimeclient

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/trellis-dev/trellis/test/e2e/history"
)

// Protocol is a way to receive.
type Protocol string

// The protocols of the contract.
const (
	Polling     Protocol = "Polling"
	LongPolling Protocol = "LongPolling"
	SSE         Protocol = "SSE"
	WebSocket   Protocol = "WebSocket"
	// Centrifuge is the protocol of that library's SDKs.
	Centrifuge Protocol = "Centrifuge"
)

// Protocols are all of them.
var Protocols = []Protocol{Polling, LongPolling, SSE, WebSocket, Centrifuge}

const (
	retryFirst = 100 * time.Millisecond
	retryMost  = time.Second
	// silence is how long an open connection may say nothing: the gateway's heartbeat is 25 s.
	silence = 40 * time.Second
)

// Config of a client.
type Config struct {
	Protocol Protocol
	// Addresses of the gateway, host:port. The first is tried until it fails, then the next, and so round.
	Addresses []string
	// Token, of the binding or minted.
	Token string
	Room  string
}

// Client follows one room from the oldest message that is kept.
type Client struct {
	cfg    Config
	http   *http.Client
	cancel context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex
	position string
	eventID  string
	attached bool
	connects int
	address  string
	events   []history.Event
	hints    []time.Duration
	failure  error
	trouble  error
}

// Start runs a client until Stop is called or ctx ends.
func Start(ctx context.Context, cfg Config) *Client {
	ctx, cancel := context.WithCancel(ctx)
	c := &Client{cfg: cfg, http: newHTTP(), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.run(ctx)
	}()
	return c
}

// newHTTP keeps a connection for its own client alone.
func newHTTP() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1, ResponseHeaderTimeout: 20 * time.Second}}
}

// Stop ends the client and returns what it received.
func (c *Client) Stop() history.History {
	c.cancel()
	<-c.done
	c.http.CloseIdleConnections()
	return c.History()
}

// History is what the client received so far.
func (c *Client) History() history.History {
	c.mu.Lock()
	defer c.mu.Unlock()
	return history.History{Events: slices.Clone(c.events)}
}

// Attached is true while the client is connected and knows where it is.
func (c *Client) Attached() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.attached
}

// Address is the one that the client is, or was last, attached to.
func (c *Client) Address() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.address
}

// Connects counts how often the client got attached.
func (c *Client) Connects() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connects
}

// Hints are the times after which a stopping gateway asked this client's sockets to come back.
func (c *Client) Hints() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.hints)
}

func (c *Client) hinted(after time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hints = append(c.hints, after)
}

// IDs are those of the messages received so far.
func (c *Client) IDs() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, e := range c.events {
		if e.Kind == history.Message {
			out = append(out, e.ID)
		}
	}
	return out
}

// Position is where the client would resume.
func (c *Client) Position() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.position
}

// Err is a refusal that ended the client, or what the last attempt failed of.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure != nil {
		return c.failure
	}
	return c.trouble
}

func (c *Client) run(ctx context.Context) {
	wait := retryFirst
	for turn := 0; ctx.Err() == nil; turn++ {
		before := c.Connects()
		err := c.session(ctx, c.cfg.Addresses[turn%len(c.cfg.Addresses)])
		if c.left(ctx, err) {
			return
		}
		if c.Connects() > before {
			// It worked: the same address is tried first.
			turn, wait = turn-1, retryFirst
		}
		pause(ctx, wait)
		wait = min(2*wait, retryMost)
	}
}

// session receives over one connection, or a series of polls, until it fails.
func (c *Client) session(ctx context.Context, address string) error {
	switch c.cfg.Protocol {
	case Polling:
		return c.poll(ctx, address, 0)
	case LongPolling:
		return c.poll(ctx, address, longPoll)
	case SSE:
		return c.stream(ctx, address)
	case WebSocket:
		return c.socket(ctx, address)
	case Centrifuge:
		return c.centrifuge(ctx, address)
	}
	return fmt.Errorf("there is no protocol %s", c.cfg.Protocol)
}

// left notes the end of a session; true when there is no use in another.
func (c *Client) left(ctx context.Context, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attached = false
	if ctx.Err() != nil {
		return true
	}
	c.trouble = err
	var refused *Refusal
	if errors.As(err, &refused) && refused.Final() {
		c.failure = err
		return true
	}
	return false
}

// pause waits about d. It is what a client owes a gateway in trouble.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d/2 + rand.N(d/2)) //nolint:gosec // spreads retries; nothing secret
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// since is the position to resume from, or the start of the room.
func (c *Client) since() string {
	if p := c.Position(); p != "" {
		return p
	}
	return "oldest"
}

// attach notes that the gateway answered. at is where it said that it begins.
func (c *Client) attach(address, at string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.attached {
		c.attached, c.address = true, address
		c.connects++
	}
	if c.position == "" {
		c.position = at
	}
}

// message is the contract's, in what a client needs of it.
type message struct {
	Offset   uint64 `json:"offset"`
	Position string `json:"position"`
	Data     struct {
		ID string `json:"id"`
	} `json:"data"`
}

func (c *Client) received(m message) error {
	at, err := history.ParsePosition(m.Position)
	if err != nil {
		return err
	}
	if at.Offset != m.Offset {
		return fmt.Errorf("message %d is at position %s", m.Offset, m.Position)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.position = m.Position
	c.events = append(c.events, history.Event{Kind: history.Message, At: at, ID: m.Data.ID})
	return nil
}

// gap is the contract's.
type gap struct {
	Since    string `json:"since"`
	Position string `json:"position"`
	Reason   string `json:"reason"`
}

func (c *Client) missed(g gap) error {
	since, err := history.ParsePosition(g.Since)
	if err != nil {
		return err
	}
	at, err := history.ParsePosition(g.Position)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.position = g.Position
	c.events = append(c.events, history.Event{Kind: history.Gap, Since: since, At: at, Reason: g.Reason})
	return nil
}
