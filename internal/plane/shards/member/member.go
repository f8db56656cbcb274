package member

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trellis-dev/trellis/internal/plane/shards/carry"
	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Times that bound what a member waits for.
const (
	// tableWait is how long a request waits for a table that its sender has already.
	tableWait = 2 * time.Second
	// readAgain is how long it waits before the table is asked for again that could not be read.
	readAgain = time.Second
	// defaultDrainTimeout of a request, where none is configured.
	defaultDrainTimeout = 30 * time.Second
	connectTimeout      = 2 * time.Second
	// leastRoom is for the bodies that are kept at once, in bytes.
	leastRoom = 4 << 20
)

// Options of New. Config, Store, ID and Token are needed.
type Options struct {
	Config planeconfig.Config
	Store  table.Store
	// ID is the member's name in the table, and Incarnation the UID of its pod.
	ID, Incarnation string
	// Container is where the shard's container serves; http://127.0.0.1 with its port by default.
	Container *url.URL
	// Admits reports whether a request comes from a router, a member or a client that holds the binding. One that shows the
	// members' token is judged by that alone: it may give orders. All are admitted by default, for tests.
	Admits func(*http.Request) bool
	// Token is what this member shows to others.
	Token func() string
	// Transport to other members; one of its own by default.
	Transport  http.RoundTripper
	Log        *slog.Logger
	Registerer prometheus.Registerer
	// Reachable is told now and then whether the table is known and the container answers.
	Reachable func(error)
	// Probe is how often that is; 2 s by default.
	Probe time.Duration
	// Settle is how long what a former process passed on may be under way; the container's drain timeout by default.
	Settle time.Duration
}

// Member passes requests on to the shard's container.
type Member struct {
	opts      Options
	log       *slog.Logger
	own       *ownership
	hooks     hooks
	container *url.URL
	proxy     *httputil.ReverseProxy
	metrics   *metrics
	// local reaches the container, and carrier does for what is done to a partition as a whole; others reach the other members.
	local, carrier, others http.RoundTripper
	// kept are the connections of requests that go the short way, and dial opens them; room is for their bodies.
	kept carry.Pool
	dial carry.Dial
	room carry.Room
	// carrying are the imports that are under way, and the streams that end; none begins once over is true, which is under mu.
	carrying sync.WaitGroup
	// readFirst is true once what was published first was read.
	readFirst atomic.Bool
	mu        sync.Mutex
	over      bool
	// life ends with Run, by die.
	life context.Context
	die  context.CancelFunc
	// drainFor is how long a request may be in flight that nobody waits for.
	drainFor time.Duration
}

// New makes a member. It serves nothing until Run has read the table. An error says what to change.
func New(opts Options) (*Member, error) {
	cfg := opts.Config.Shards
	switch {
	case cfg == nil:
		return nil, fmt.Errorf("the configuration of %s %s/%s has no shards section", opts.Config.Kind, opts.Config.Namespace, opts.Config.Name)
	case opts.ID == "":
		return nil, errors.New("a member needs its ID: the name of its pod")
	case opts.Container == nil && cfg.Container.Port == 0:
		return nil, errors.New("shards.container.port must be set")
	}
	m := &Member{
		opts: opts, log: opts.Log, container: opts.Container,
		drainFor: time.Duration(cfg.Container.DrainTimeout),
		metrics:  newMetrics(opts.Registerer),
	}
	m.life, m.die = context.WithCancel(context.Background())
	m.setDefaults()
	m.own = newOwnership(opts.ID, opts.Incarnation, m.metrics)
	m.hooks = hooks{paths: cfg.Resharding, member: opts.ID, container: m.container, via: m.carrier, patience: m.drainFor}
	m.proxy = m.newProxy()
	return m, nil
}

func (m *Member) setDefaults() {
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	if m.container == nil {
		m.container = &url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(m.opts.Config.Shards.Container.Port))}
	}
	if m.drainFor <= 0 {
		m.drainFor = defaultDrainTimeout
	}
	if m.opts.Settle <= 0 {
		m.opts.Settle = m.drainFor
	}
	if m.opts.Probe <= 0 {
		m.opts.Probe = 2 * time.Second
	}
	if m.opts.Reachable == nil {
		m.opts.Reachable = func(error) {}
	}
	m.dial, m.room.Most = onLines(carry.Dialer(connectTimeout)), max(m.opts.Config.HTTP.MaxBodyBytesInFlight, leastRoom)
	local := localTransport(m.opts.Config.Shards.Container.H2C)
	local.DialContext = onLines(local.DialContext)
	m.local = local
	carrier := localTransport(m.opts.Config.Shards.Container.H2C)
	carrier.MaxIdleConnsPerHost, carrier.ReadBufferSize, carrier.WriteBufferSize = 4, carryConnBuffer, carryConnBuffer
	m.carrier = carrier
	if m.others = m.opts.Transport; m.others == nil {
		m.others = &http.Transport{DialContext: carry.Dialer(connectTimeout), MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute, ReadBufferSize: carryConnBuffer}
	}
}

// localTransport has no proxy, and compresses nothing.
func localTransport(h2c bool) *http.Transport {
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: connectTimeout}).DialContext,
		MaxIdleConns:        1024,
		MaxIdleConnsPerHost: 1024,
		IdleConnTimeout:     time.Minute,
		DisableCompression:  true,
	}
	if h2c {
		t.Protocols = new(http.Protocols)
		t.Protocols.SetUnencryptedHTTP2(true)
	}
	return t
}

// Run follows the table and looks at the container until ctx ends. The first table is read from where it was written
// last: a process that starts knows at least what any one before it knew.
func (m *Member) Run(ctx context.Context) error {
	defer m.close()
	settled := time.AfterFunc(m.opts.Settle, m.own.settle)
	defer settled.Stop()
	probed := make(chan struct{})
	go func() {
		defer close(probed)
		m.probe(ctx)
	}()
	defer func() { <-probed }()
	for ctx.Err() == nil {
		if err := m.follow(ctx); err != nil && ctx.Err() == nil {
			m.log.Warn("the table can not be read just now; what is known of it stays in use", "error", err)
		}
		pause(ctx, readAgain)
	}
	return nil
}

func (m *Member) follow(ctx context.Context) error {
	state, _, err := m.opts.Store.Read(ctx)
	if err != nil {
		return fmt.Errorf("read the table: %w", err)
	}
	if m.readFirst.CompareAndSwap(false, true) {
		m.own.begun(state)
	}
	m.own.learn(state)
	if err := m.opts.Store.Watch(ctx, m.own.learn); err != nil {
		return fmt.Errorf("watch the table: %w", err)
	}
	return nil
}

// begin what Run waits for. It reports false where Run is over.
func (m *Member) begin(f func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.over {
		m.carrying.Go(f)
	}
	return !m.over
}

func (m *Member) close() {
	m.mu.Lock()
	m.over = true
	m.mu.Unlock()
	m.die()
	m.carrying.Wait()
	m.kept.Close()
	for _, t := range []http.RoundTripper{m.local, m.carrier, m.others} {
		if t, ok := t.(*http.Transport); ok {
			t.CloseIdleConnections()
		}
	}
}

// Reload takes up how partitions are carried over from now on.
func (m *Member) Reload(c planeconfig.Config) {
	if c.Shards != nil {
		m.hooks.set(c.Shards.Resharding)
	}
}

// Drain closes what is held open, and waits for what is in flight.
func (m *Member) Drain(ctx context.Context) { m.own.drain(ctx) }

// pause for a while, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
