package realtime

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/centrifugal/centrifuge"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
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
	metrics *metrics
}

func (b *broker) failed(operation string, err error) error {
	if err == nil {
		return nil
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
func newBroker(node *centrifuge.Node, cfg planeconfig.Config, m *metrics) (*broker, func(), error) {
	switch cfg.Engine.Type {
	case "Memory":
		b, err := centrifuge.NewMemoryBroker(node, centrifuge.MemoryBrokerConfig{})
		if err != nil {
			return nil, nil, fmt.Errorf("memory engine: %w", err)
		}
		return &broker{Broker: b, metrics: m}, func() {}, nil
	default:
		return newRedis(node, cfg, m)
	}
}

func knownEngine(name string) error {
	switch name {
	case "Memory", "Redis", "Valkey":
		return nil
	}
	return fmt.Errorf("engine type %q is not one that RealtimeGateway can use: Memory, Redis or Valkey", name)
}

func newRedis(node *centrifuge.Node, cfg planeconfig.Config, m *metrics) (*broker, func(), error) {
	uri, err := readURI(cfg.Engine.URIFile)
	if err != nil {
		return nil, nil, err
	}
	shardConfig := centrifuge.RedisShardConfig{
		ClientName:     "trellis-plane",
		ConnectTimeout: engineConnectTimeout,
		IOTimeout:      engineIOTimeout,
		// The file is read for each new connection, so that a rotated password
		// applies without a restart.
		AuthCredentialsFn: func(centrifuge.RedisAuthCredentialsContext) (centrifuge.RedisAuthCredentials, error) {
			return readCredentials(cfg.Engine.URIFile)
		},
	}
	if shardConfig.TLSConfig, err = engineTLS(uri, cfg.Engine.CAFile); err != nil {
		return nil, nil, err
	}
	uri.User = nil
	shardConfig.Address = uri.String()
	shard, err := centrifuge.NewRedisShard(node, shardConfig)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to the engine: %w", err)
	}
	prefix, err := keyPrefix(cfg)
	if err != nil {
		shard.Close()
		return nil, nil, err
	}
	b, err := centrifuge.NewRedisBroker(node, centrifuge.RedisBrokerConfig{Prefix: prefix, Shards: []*centrifuge.RedisShard{shard}})
	if err != nil {
		shard.Close()
		return nil, nil, fmt.Errorf("redis engine: %w", err)
	}
	return &broker{Broker: b, metrics: m}, shard.Close, nil
}

// keyPrefix keeps the rooms of this gateway apart from all else in the engine.
func keyPrefix(cfg planeconfig.Config) (string, error) {
	prefix := cfg.Engine.Prefix
	if prefix == "" {
		prefix = "trellis." + cfg.Namespace + "." + cfg.Name
	}
	if cfg.Engine.PrefixFile == "" {
		return prefix, nil
	}
	instance, err := os.ReadFile(cfg.Engine.PrefixFile)
	if err != nil {
		return "", fmt.Errorf("read the name of this gateway's rooms: %w", err)
	}
	return prefix + strings.TrimSpace(string(instance)) + ":", nil
}

func readURI(path string) (*url.URL, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the engine's URI: %w", err)
	}
	u, err := url.Parse(strings.TrimSpace(string(data)))
	// The parser's error would quote the URI, and with it the password.
	if err != nil || u.Host == "" || u.Scheme != "redis" && u.Scheme != "rediss" {
		return nil, errors.New("the engine's URI must be redis://[user:password@]host:port[/db] or rediss://…")
	}
	return u, nil
}

func readCredentials(path string) (centrifuge.RedisAuthCredentials, error) {
	u, err := readURI(path)
	if err != nil {
		return centrifuge.RedisAuthCredentials{}, err
	}
	password, _ := u.User.Password()
	return centrifuge.RedisAuthCredentials{Username: u.User.Username(), Password: password}, nil
}

func engineTLS(uri *url.URL, caFile string) (*tls.Config, error) {
	if uri.Scheme != "rediss" {
		return nil, nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: uri.Hostname()}
	if caFile == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(caFile)
	if errors.Is(err, os.ErrNotExist) {
		return conf, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the engine's CA: %w", err)
	}
	conf.RootCAs = x509.NewCertPool()
	if !conf.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the engine's CA file %s holds no certificate", caFile)
	}
	return conf, nil
}
