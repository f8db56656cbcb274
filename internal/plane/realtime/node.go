package realtime

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// positionTick and positionDelay bound how long a message that the engine's
	// publish-subscribe lost goes unnoticed in a room that has been quiet since:
	// the check is made once a room and replica, not once a client.
	positionTick  = 5 * time.Second
	positionDelay = 10 * time.Second
	// probeInterval is how often the engine is asked whether it is there.
	probeInterval = 2 * time.Second
	// probeRoom cannot be the name of a room.
	probeRoom = "!probe"
)

// registry is a prometheus registry with the plane's labels.
type registry struct {
	prometheus.Registerer
	prometheus.Gatherer
}

// connect reaches the engine, trying again until ctx ends. Requests are served
// from the moment that it says the engine was reached.
func (g *Gateway) connect(ctx context.Context) (*core, error) {
	wait := retryFirst
	for {
		c, err := g.tryConnect()
		if err == nil {
			g.core.Store(c)
			g.plane.Health.EngineOK()
			g.metrics.EngineUp.Set(1)
			g.log.Info("the engine is reached")
			return c, nil
		}
		g.plane.Health.EngineFailed(err)
		g.log.Warn("the engine is not reached; trying again", "error", err, "in", wait)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-timer.C:
		}
		wait = min(2*wait, retryMost)
	}
}

// tryConnect makes a node with its engine. Its metrics join the plane's only
// when it has succeeded, so that a failed try leaves nothing behind.
func (g *Gateway) tryConnect() (*core, error) {
	reg := prometheus.NewRegistry()
	node, err := centrifuge.New(g.nodeConfig(reg))
	if err != nil {
		return nil, err
	}
	node.SetMapBroker(nil)
	b, closeEngine, err := newBroker(node, g.plane.Config, g.metrics, g.log)
	if err != nil {
		return nil, err
	}
	if g.cfg.Stateful != nil {
		if err := g.ownRooms(b); err != nil {
			closeEngine()
			return nil, err
		}
	}
	node.SetBroker(b)
	if c, ok := b.Broker.(centrifuge.Controller); ok {
		node.SetController(c)
	}
	if g.cfg.Presence {
		node.SetPresenceManager(newPresences(b.presence, g.now, func(error) { g.metrics.EngineErrors.WithLabelValues("presence").Inc() }))
	}
	g.answerSurveys(node)
	g.handle(node)
	if err := runNode(node, b); err != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = node.Shutdown(ctx)
		if b.owned != nil {
			b.owned.Abandon()
		}
		closeEngine()
		return nil, err
	}
	g.metrics.AddGatherer(reg)
	if b.owned != nil {
		closeEngine = closeBoth(b.owned.Shut, closeEngine)
	}
	return &core{node: node, broker: b, centrifuge: g.centrifugeHandler(node), closeEngine: closeEngine}, nil
}

func (g *Gateway) nodeConfig(reg *prometheus.Registry) centrifuge.Config {
	level := centrifuge.LogLevelWarn
	if g.log.Enabled(context.Background(), slog.LevelDebug) {
		level = centrifuge.LogLevelDebug
	}
	shared := g.plane.Config.Engine.Type != "Memory"
	return centrifuge.Config{
		Name:                            g.plane.Config.Namespace + "/" + g.plane.Config.Name,
		LogLevel:                        level,
		LogHandler:                      g.logEntry,
		ClientPresenceUpdateInterval:    positionTick,
		ClientChannelPositionCheckDelay: positionDelay,
		ClientExpiredCloseDelay:         time.Second,
		ClientQueueMaxSize:              g.limits().QueueBytes,
		ClientChannelLimit:              mostRooms,
		ChannelMaxLength:                maxRoom,
		HistoryMaxPublicationLimit:      g.pageSize,
		HistoryMetaTTL:                  g.metaTTL,
		Metrics: centrifuge.MetricsConfig{
			MetricsNamespace:   "trellis_centrifuge",
			RegistererGatherer: registry{Registerer: g.metrics.Labelled(reg), Gatherer: reg},
		},
		GetChannelMediumOptions: func(string) centrifuge.ChannelMediumOptions {
			return centrifuge.ChannelMediumOptions{SharedPositionSync: shared}
		},
	}
}

func (g *Gateway) logEntry(e centrifuge.LogEntry) {
	level := slog.LevelDebug
	switch e.Level {
	case centrifuge.LogLevelWarn:
		level = slog.LevelWarn
	case centrifuge.LogLevelError:
		level = slog.LevelError
	}
	attrs := make([]any, 0, 2*len(e.Fields)+2)
	for k, v := range e.Fields {
		attrs = append(attrs, k, v)
	}
	if e.Error != nil {
		attrs = append(attrs, "error", e.Error)
	}
	g.log.Log(context.Background(), level, e.Message, attrs...)
}

// watch asks the engine at an interval whether it is there. After an outage or
// a fail-over, rooms are resumed at once, as what was published meanwhile by
// others was not delivered here.
func (g *Gateway) watch(ctx context.Context, c *core) {
	node := c.node
	up := true
	failures, changes := g.metrics.failures.Load(), c.broker.changes()
	for {
		timer := time.NewTimer(probeInterval/2 + rand.N(probeInterval/2)) //nolint:gosec // spreads probes; nothing secret
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if c.broker.moved() {
			g.plane.Stop(errors.New("the engine's URI leads elsewhere now"))
		}
		_, err := node.History(probeRoom)
		if err != nil {
			if up {
				g.log.Warn("the engine does not answer", "error", errors.Unwrap(err))
			}
			up = false
			g.metrics.EngineUp.Set(0)
			g.plane.Health.EngineFailed(err)
			continue
		}
		g.metrics.EngineUp.Set(1)
		g.plane.Health.EngineOK()
		seen, now := g.metrics.failures.Load(), c.broker.changes()
		if !up || seen != failures || now != changes {
			failures, changes = seen, now
			g.log.Info("the engine answers again; resuming all rooms")
			resume(node)
		}
		up = true
	}
}

// resume has every client of this replica resume its rooms from its position:
// the library takes the highest offset as the sign that something was missed.
func resume(node *centrifuge.Node) {
	for _, room := range node.Hub().Channels() {
		_ = node.Hub().BroadcastPublication(room, &centrifuge.Publication{Offset: math.MaxUint64}, centrifuge.StreamPosition{Offset: math.MaxUint64})
	}
}
