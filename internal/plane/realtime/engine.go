package realtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/centrifugal/centrifuge"

	"github.com/trellis-dev/trellis/internal/plane/realtime/stateful"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// engineConnectTimeout is how long a new connection may take, with what is said on it at first, and
// engineIOTimeout a call of the engine. They are variables for the tests alone.
var (
	engineConnectTimeout = 2 * time.Second
	engineIOTimeout      = 4 * time.Second
)

// errEngine is what clients of the Centrifuge protocol are told while the engine
// does not answer; being temporary, their SDK tries again.
var errEngine = &centrifuge.Error{Code: 503, Message: "engine unavailable", Temporary: true}

// engineError wraps what the engine's client reported, so that the library
// treats it as temporary and callers can still see the cause.
type engineError struct{ cause error }

func (e *engineError) Error() string   { return "engine: " + e.cause.Error() }
func (e *engineError) Unwrap() []error { return []error{errEngine, e.cause} }

// broker is the engine as the library sees it. It counts failures and makes them
// temporary: the library would otherwise close the connection they occur on.
type broker struct {
	centrifuge.Broker
	// presence keeps who is in a room, where it is wanted.
	presence centrifuge.PresenceManager
	metrics  *metrics
	// lineage is nil where the rooms live in this process.
	lineage *lineage
	// owned is nil where rooms have no owners.
	owned *stateful.Broker
}

// changes counts how often what the engine holds was found to continue something else.
func (b *broker) changes() uint64 {
	if b.lineage == nil {
		return 0
	}
	return b.lineage.changes.Load()
}

// moved is true once the configuration leads to another engine.
func (b *broker) moved() bool { return b.lineage != nil && b.lineage.moved() }

func (b *broker) failed(operation string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, stateful.ErrNoOwner) || errors.Is(err, stateful.ErrUnknown) {
		// The engine has no part in it.
		return &engineError{cause: err}
	}
	b.metrics.failures.Add(1)
	b.metrics.EngineErrors.WithLabelValues(operation).Inc()
	return &engineError{cause: err}
}

// Subscribe implements centrifuge.Broker.
func (b *broker) Subscribe(channels ...string) error {
	return b.failed("subscribe", b.Broker.Subscribe(channels...))
}

// Publish implements centrifuge.Broker.
func (b *broker) Publish(ch string, data []byte, opts centrifuge.PublishOptions) (centrifuge.PublishResult, error) {
	res, err := b.Broker.Publish(ch, data, opts)
	return res, b.failed("publish", err)
}

// History implements centrifuge.Broker.
func (b *broker) History(ch string, opts centrifuge.HistoryOptions) ([]*centrifuge.Publication, centrifuge.StreamPosition, error) {
	pubs, top, err := b.Broker.History(ch, opts)
	return pubs, top, b.failed("history", err)
}

// Close implements centrifuge.Closer.
func (b *broker) Close(ctx context.Context) error {
	if c, ok := b.Broker.(centrifuge.Closer); ok {
		return c.Close(ctx)
	}
	return nil
}

// newBroker connects node to the engine. The returned function closes the
// connections once the node is shut down.
func newBroker(node *centrifuge.Node, cfg planeconfig.Config, m *metrics, log *slog.Logger) (*broker, func(), error) {
	switch cfg.Engine.Type {
	case "Memory":
		b, err := centrifuge.NewMemoryBroker(node, centrifuge.MemoryBrokerConfig{})
		if err != nil {
			return nil, nil, fmt.Errorf("memory engine: %w", err)
		}
		presence, err := centrifuge.NewMemoryPresenceManager(node, centrifuge.MemoryPresenceManagerConfig{})
		if err != nil {
			return nil, nil, fmt.Errorf("memory engine: %w", err)
		}
		return &broker{Broker: b, presence: presence, metrics: m}, func() {}, nil
	default:
		return newRedis(node, cfg, m, log)
	}
}

func knownEngine(name string) error {
	switch name {
	case "Memory", "Redis", "Valkey":
		return nil
	}
	return fmt.Errorf("engine type %q is not one that RealtimeGateway can use: Memory, Redis or Valkey", name)
}

func newRedis(node *centrifuge.Node, cfg planeconfig.Config, m *metrics, log *slog.Logger) (*broker, func(), error) {
	t, err := readTarget(cfg.Engine.URIFile)
	if err != nil {
		return nil, nil, err
	}
	prefix, err := keyPrefix(cfg)
	if err != nil {
		return nil, nil, err
	}
	tlsConfig, err := engineTLS(t, cfg.Engine.CAFile)
	if err != nil {
		return nil, nil, err
	}
	line := &lineage{
		target: func() (target, error) { return readTarget(cfg.Engine.URIFile) },
		began:  t, tls: tlsConfig, prefix: prefix, log: log,
	}
	shard, err := centrifuge.NewRedisShard(node, centrifuge.RedisShardConfig{
		ClientName:     "trellis-plane",
		ConnectTimeout: engineConnectTimeout,
		IOTimeout:      engineIOTimeout,
		TLSConfig:      tlsConfig,
		Address:        t.address, SentinelMasterName: t.master, SentinelAddresses: t.addresses,
		DB:                t.database,
		AuthCredentialsFn: line.credentials,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("connect to the engine: %w", err)
	}
	b, err := centrifuge.NewRedisBroker(node, centrifuge.RedisBrokerConfig{Prefix: prefix, Shards: []*centrifuge.RedisShard{shard}})
	if err != nil {
		shard.Close()
		return nil, nil, fmt.Errorf("redis engine: %w", err)
	}
	presence, err := redisPresence(node, prefix, shard)
	if err != nil {
		shard.Close()
		return nil, nil, err
	}
	out := &broker{Broker: b, presence: presence, metrics: m, lineage: line}
	return out, shard.Close, nil
}

// keyPrefix keeps the rooms of this gateway apart from all else in the engine.
func keyPrefix(cfg planeconfig.Config) (string, error) {
	prefix := cfg.Engine.Prefix
	if prefix == "" {
		prefix = "trellis." + cfg.Namespace + "." + cfg.Name
	}
	// Rooms with owners are apart from those without, whose messages come from anywhere.
	owned := ""
	if cfg.Realtime != nil && cfg.Realtime.Stateful != nil {
		owned = "owned"
	}
	if cfg.Engine.PrefixFile == "" {
		return prefix + owned, nil
	}
	instance, err := os.ReadFile(cfg.Engine.PrefixFile)
	if err != nil {
		return "", fmt.Errorf("read the name of this gateway's rooms: %w", err)
	}
	return prefix + strings.TrimSpace(string(instance)) + ":" + owned, nil
}
