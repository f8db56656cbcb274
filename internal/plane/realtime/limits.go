package realtime

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Limits where the configuration names none.
const (
	defaultRooms      = 100
	mostRooms         = 1000
	defaultQueueBytes = 1 << 20
	queuedMessages    = 4
)

func withDefaults(l planeconfig.Limits) planeconfig.Limits {
	if l.RoomsPerConnection <= 0 {
		l.RoomsPerConnection = defaultRooms
	}
	if l.QueueBytes <= 0 {
		l.QueueBytes = defaultQueueBytes
	}
	// A queue that a few messages fill would cut clients that are not slow at all.
	l.QueueBytes = max(l.QueueBytes, queuedMessages*int(l.MessageBytes))
	return l
}

// clientKey is whom the limits for one client count for: the token's subject or,
// without one, the address. The binding's holder is the application itself, and
// is not counted.
func clientKey(id plane.Identity, remoteAddr string) string {
	switch {
	case id.Binding, id.Sink:
		return ""
	case id.Subject != "":
		return "subject " + id.Subject
	}
	host, _, err := net.SplitHostPort(remoteAddr)
	if err != nil {
		host = remoteAddr
	}
	return "address " + host
}

// connections counts what is held open on this replica.
type connections struct {
	limits  func() planeconfig.Limits
	metrics *metrics

	mu   sync.Mutex
	open int
	// protocol and client count those that are open, by label and by key.
	protocol map[string]int
	client   map[string]int
}

func newConnections(l func() planeconfig.Limits, m *metrics) *connections {
	return &connections{limits: l, metrics: m, protocol: map[string]int{}, client: map[string]int{}}
}

// connection is one that is held open. Its client may become known later.
type connection struct {
	all      *connections
	protocol string
	key      string
	once     sync.Once
	// wasSlow is true once the connection was counted for being slow.
	wasSlow atomic.Bool
}

// Why a client that reads slowly is cut: whichever is full first.
const (
	slowQueue = "queue"
	slowWrite = "write"
)

// slow counts the connection, once, for being cut as its client reads too slowly.
func (c *connection) slow(reason string) {
	if !c.wasSlow.Swap(true) {
		c.all.metrics.slow.WithLabelValues(c.protocol, reason).Inc()
	}
}

// wrote is told how a write went.
func (c *connection) wrote(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.slow(slowWrite)
	}
}

// open admits a connection, whoever it is of.
func (c *connections) admit(protocol string) (*connection, *plane.Problem) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if limit := c.limits().Connections; limit > 0 && c.open >= limit {
		c.metrics.Rejected.WithLabelValues("connections").Inc()
		return nil, problemConnections(limit)
	}
	c.open++
	c.protocol[protocol]++
	c.metrics.Connections.WithLabelValues(protocol).Inc()
	return &connection{all: c, protocol: protocol}, nil
}

// of counts the connection for a client.
func (c *connection) of(key string) *plane.Problem {
	if key == "" || key == c.key {
		return nil
	}
	all := c.all
	all.mu.Lock()
	defer all.mu.Unlock()
	if limit := all.limits().ConnectionsPerClient; limit > 0 && all.client[key] >= limit {
		all.metrics.Rejected.WithLabelValues("connections-per-client").Inc()
		return problemClientConnections(limit)
	}
	// A token in the connect message counts instead of the one of the handshake.
	all.leave(c.key)
	c.key = key
	all.client[key]++
	return nil
}

// leave gives a client's place back. It needs c.mu.
func (c *connections) leave(key string) {
	if key == "" {
		return
	}
	if c.client[key]--; c.client[key] <= 0 {
		delete(c.client, key)
	}
}

// close gives the connection's place back.
func (c *connection) close() {
	c.once.Do(func() {
		all := c.all
		all.mu.Lock()
		defer all.mu.Unlock()
		all.open--
		all.protocol[c.protocol]--
		all.metrics.Connections.WithLabelValues(c.protocol).Dec()
		all.leave(c.key)
	})
}

// publishers bounds how many messages a client publishes in a second.
type publishers struct {
	limit func() int
	now   func() time.Time

	mu      sync.Mutex
	clients map[string]*publisher
	swept   time.Time
}

type publisher struct {
	rate *rate.Limiter
	used time.Time
}

// idlePublisher is when a publisher is forgotten: its allowance is full again by then.
const idlePublisher = 10 * time.Second

func newPublishers(limit func() int, now func() time.Time) *publishers {
	return &publishers{limit: limit, now: now, clients: map[string]*publisher{}}
}

// mayPublish allows a client n messages now, or says why not.
func (g *Gateway) mayPublish(key string, n int) *plane.Problem {
	if limit := g.publishers.limit(); key != "" && limit > 0 && n > limit {
		return problemInvalid(fmt.Sprintf("a client may publish %d messages a second (limits.publishPerSecond), so a batch has at most as many", limit))
	}
	problem := g.publishers.take(key, n)
	if problem != nil {
		g.metrics.Rejected.WithLabelValues("publish-rate").Inc()
	}
	return problem
}

// take allows n messages, or says why not.
func (p *publishers) take(key string, n int) *plane.Problem {
	limit := p.limit()
	if key == "" || limit <= 0 {
		return nil
	}
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweep(now)
	c, ok := p.clients[key]
	if !ok {
		c = &publisher{rate: rate.NewLimiter(rate.Limit(limit), limit)}
		p.clients[key] = c
	}
	if c.rate.Burst() != limit {
		c.rate.SetLimitAt(now, rate.Limit(limit))
		c.rate.SetBurstAt(now, limit)
	}
	c.used = now
	if c.rate.AllowN(now, n) {
		return nil
	}
	missing := float64(n) - c.rate.TokensAt(now)
	return problemRate(limit, time.Duration(missing/float64(limit)*float64(time.Second)))
}

func (p *publishers) sweep(now time.Time) {
	if now.Sub(p.swept) < idlePublisher {
		return
	}
	p.swept = now
	for key, c := range p.clients {
		if now.Sub(c.used) > idlePublisher {
			delete(p.clients, key)
		}
	}
}

func (c *connections) byProtocol() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.protocol)
}

func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}
