package realtime

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/centrifugal/centrifuge"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/realtime/playground"
	"github.com/trellis-dev/trellis/internal/plane/realtime/stateful"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Names of the protocols: those of spec.protocols, and the labels of metrics.
const (
	ProtocolPolling     = "Polling"
	ProtocolLongPolling = "LongPolling"
	ProtocolSSE         = "SSE"
	ProtocolWebSocket   = "WebSocket"

	labelLongPolling = "longpolling"
	labelSSE         = "sse"
	labelWebSocket   = "websocket"
	labelCentrifuge  = "centrifuge"
)

const (
	// pageBytes bounds what one page of history may hold in memory at worst.
	pageBytes = 4 << 20
	minPage   = 16
	maxPage   = 1000
	// minMetaTTL is the least time that a room's epoch outlives its last use, so
	// that a client that was away can be told whether it missed something.
	minMetaTTL = 24 * time.Hour
)

// Gateway serves the contract of one RealtimeGateway.
type Gateway struct {
	plane      *plane.Plane
	cfg        planeconfig.Realtime
	log        *slog.Logger
	metrics    *metrics
	stats      map[string]*protocolStats
	frames     frames
	conns      *connections
	publishers *publishers
	surveys    gate
	rates      rates
	stamps     stamps
	// kept has a message join its room's history.
	kept centrifuge.PublishOption
	// peerToken is what replicas show each other, moves what rooms have got another owner; nil where rooms have none.
	peerToken *plane.Secret
	moves     *moves
	ownership *stateful.Metrics
	// replica is this pod's name.
	replica string
	now     func() time.Time

	pageSize   int
	historyTTL time.Duration
	metaTTL    time.Duration
	heartbeat  time.Duration

	// live are the limits, which change while the plane runs.
	live atomic.Pointer[planeconfig.Limits]
	core atomic.Pointer[core]
	// sockets are the goroutines of WebSocket connections.
	sockets sync.WaitGroup
}

// core is what exists once the engine has been reached.
type core struct {
	node        *centrifuge.Node
	centrifuge  *centrifuge.WebsocketHandler
	closeEngine func()
	// broker is the engine.
	broker *broker
}

// New registers the contract on p. The engine is reached in Run.
func New(p *plane.Plane) (*Gateway, error) {
	if p.Config.Realtime == nil {
		return nil, fmt.Errorf("the configuration of %s %s/%s has no realtime section", p.Config.Kind, p.Config.Namespace, p.Config.Name)
	}
	if err := knownEngine(p.Config.Engine.Type); err != nil {
		return nil, err
	}
	cfg := *p.Config.Realtime
	g := &Gateway{
		plane:      p,
		cfg:        cfg,
		log:        p.Log,
		metrics:    newMetrics(p.Metrics),
		now:        time.Now,
		heartbeat:  heartbeatInterval,
		historyTTL: max(time.Second, time.Duration(cfg.History.TTL)),
	}
	g.kept = centrifuge.WithHistory(cfg.History.Size, g.historyTTL)
	g.metaTTL = max(minMetaTTL, 2*g.historyTTL)
	g.setLimits(cfg.Limits)
	g.pageSize = int(min(maxPage, max(minPage, pageBytes/max(1, cfg.Limits.MessageBytes))))
	g.conns = newConnections(g.limits, g.metrics)
	g.surveys = make(gate, surveysAtOnce)
	g.replica, _ = os.Hostname()
	g.publishers = newPublishers(func() int { return g.limits().PublishPerSecond }, g.now)
	g.stats = map[string]*protocolStats{}
	for _, label := range []string{labelLongPolling, labelSSE, labelWebSocket} {
		g.stats[label] = g.metrics.protocol(label)
	}
	for _, known := range cfg.Protocols {
		if !slices.Contains([]string{ProtocolPolling, ProtocolLongPolling, ProtocolSSE, ProtocolWebSocket}, known) {
			return nil, fmt.Errorf("realtime.protocols names %q; known are Polling, LongPolling, SSE and WebSocket", known)
		}
	}
	if err := g.openPeerToken(); err != nil {
		return nil, err
	}
	g.routes()
	p.OnReload(func(c planeconfig.Config) {
		if c.Realtime != nil {
			g.setLimits(c.Realtime.Limits)
		}
	})
	return g, nil
}

func (g *Gateway) limits() planeconfig.Limits { return *g.live.Load() }

// setLimits applies limits to what is asked for from now on. Those of bytes are
// part of what is set up at the start, and stay.
func (g *Gateway) setLimits(l planeconfig.Limits) {
	if before := g.live.Load(); before != nil {
		l.MessageBytes, l.QueueBytes = before.MessageBytes, before.QueueBytes
	}
	l = withDefaults(l)
	g.live.Store(&l)
}

func (g *Gateway) routes() {
	plane.OfferTokens[plane.TokenRequest](g.plane)
	g.registerMessages()
	g.registerPublish()
	g.registerEvents()
	g.registerPresence()
	g.registerRooms()
	g.registerStats()
	g.registerStream()
	g.registerSocket()
	g.registerCentrifuge()
	if g.cfg.Playground {
		g.plane.OwnAuth(playground.Path)
		g.plane.Router.Get(playground.Path, playground.Serve)
	}
}

func (g *Gateway) offers(protocol string) bool { return slices.Contains(g.cfg.Protocols, protocol) }

// Node is the library's node, or nil while the engine has not been reached yet.
func (g *Gateway) Node() *centrifuge.Node {
	if c := g.core.Load(); c != nil {
		return c.node
	}
	return nil
}

// ready returns the node, or the problem that there is none yet.
func (g *Gateway) ready() (*centrifuge.Node, *plane.Problem) {
	if node := g.Node(); node != nil {
		return node, nil
	}
	return nil, problemEngine(nil)
}

// Run reaches the engine, watches it, and closes it when ctx ends.
func (g *Gateway) Run(ctx context.Context) error {
	c, err := g.connect(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	var beside sync.WaitGroup
	beside.Go(func() { g.rates.keep(ctx, g.countNow) })
	if c.broker.owned != nil {
		beside.Go(func() { g.followMoves(ctx, c.node) })
	}
	defer beside.Wait()
	if g.plane.Config.Engine.Type == "Memory" {
		<-ctx.Done()
	} else {
		g.watch(ctx, c)
	}
	shutdown, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := c.node.Shutdown(shutdown); err != nil {
		g.log.Warn("the node was not shut down in time", "error", err)
	}
	g.sockets.Wait()
	c.closeEngine()
	return nil
}
