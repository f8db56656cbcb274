package realtime

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/redis/rueidis"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/realtime/stateful"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// ownerPatience is how long a message waits for its room's owner. It is a variable for the tests alone.
var ownerPatience = 10 * time.Second

// openPeerToken reads what replicas show each other, where rooms have owners.
func (g *Gateway) openPeerToken() error {
	s := g.cfg.Stateful
	if s == nil {
		return nil
	}
	var err error
	if g.peerToken, err = plane.OpenSecret(s.TokenFile, s.PreviousTokenFile, g.now); err != nil {
		return fmt.Errorf("the replicas' token: %w", err)
	}
	g.plane.WatchSecret(g.peerToken)
	g.moves = newMoves()
	g.ownership = stateful.NewMetrics(g.plane.Metrics.Registerer)
	return nil
}

// ownRooms has the rooms of b published by their owners.
func (g *Gateway) ownRooms(b *broker) error {
	engine, ok := b.Broker.(*centrifuge.RedisBroker)
	if !ok {
		return errors.New("rooms have owners in an engine only")
	}
	client, err := b.lineage.client()
	if err != nil {
		return fmt.Errorf("connect to the engine: %w", err)
	}
	if err := notCluster(client); err != nil {
		client.Close()
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", g.cfg.Stateful.Address)
	if err != nil {
		client.Close()
		return fmt.Errorf("listen for the other replicas: %w", err)
	}
	owned, err := stateful.New(stateful.Options{
		Client: client, Engine: engine, Prefix: b.lineage.prefix, Partitions: g.cfg.Stateful.Partitions,
		Listener: listener, Self: stateful.Peer{Address: peerAddress(listener.Addr(), os.Getenv(planeconfig.EnvPodIP)), Replica: g.replica},
		Tokens: g.peerTokens, Accepts: g.peerToken.Matches,
		HistorySize: g.cfg.History.Size, HistoryTTL: g.historyTTL, MetaTTL: g.metaTTL, MessageBytes: g.limits().MessageBytes,
		Timeout: engineIOTimeout, Patience: ownerPatience, Log: g.log, Now: g.now, Metrics: g.ownership, Moved: g.moves.add,
	})
	if err != nil {
		client.Close()
		_ = listener.Close()
		return err
	}
	b.owned, b.Broker = owned, owned
	return nil
}

// notCluster refuses an engine whose keys lie on several servers: no script could see a room and its owner's fence together.
func notCluster(client rueidis.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), engineIOTimeout)
	defer cancel()
	info, err := readInfo(ctx, client)
	if err != nil {
		return fmt.Errorf("ask the engine what it is: %w", err)
	}
	if info.mode == "cluster" {
		return errors.New("delivery.mode Stateful can not use a Redis Cluster: give the gateway a Redis or Valkey that is none, or set the mode to PubSub")
	}
	return nil
}

func (g *Gateway) peerTokens() []string {
	values := g.peerToken.Values()
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

// peerAddress is how the other replicas reach a listener on a pod with an address.
func peerAddress(listening net.Addr, podIP string) string {
	if podIP == "" {
		return listening.String()
	}
	_, port, err := net.SplitHostPort(listening.String())
	if err != nil {
		return listening.String()
	}
	return net.JoinHostPort(podIP, port)
}

// runNode starts the library's node, and then this replica's part in the ownership of rooms.
func runNode(node *centrifuge.Node, b *broker) error {
	if err := node.Run(); err != nil {
		return err
	}
	if b.owned == nil {
		return nil
	}
	return b.owned.Start()
}

func closeBoth(first, second func()) func() {
	return func() {
		first()
		second()
	}
}

// client is one of the engine for what the library's can not be asked. Its connections are checked as all others.
func (l *lineage) client() (rueidis.Client, error) {
	options := rueidis.ClientOption{
		InitAddress: l.began.addresses, SelectDB: l.began.database, TLSConfig: l.tls, ClientName: "trellis-plane-rooms",
		ConnWriteTimeout: engineIOTimeout, DisableCache: true, DisableRetry: true, AlwaysPipelining: true,
		AuthCredentialsFn: func(c rueidis.AuthCredentialsContext) (rueidis.AuthCredentials, error) {
			got, err := l.credentials(centrifuge.RedisAuthCredentialsContext{Address: c.Address})
			return rueidis.AuthCredentials{Username: got.Username, Password: got.Password}, err
		},
	}
	options.Dialer.Timeout = engineConnectTimeout
	if l.began.master != "" {
		options.Sentinel = rueidis.SentinelOption{MasterSet: l.began.master}
	} else {
		_, host, _ := strings.Cut(l.began.address, "://")
		host, _, _ = strings.Cut(host, "/")
		options.InitAddress, options.ForceSingleClient = []string{withPort(host)}, true
	}
	return rueidis.NewClient(options)
}

func withPort(host string) string {
	if _, _, err := net.SplitHostPort(host); err != nil {
		return net.JoinHostPort(strings.Trim(host, "[]"), "6379")
	}
	return host
}

// shuffled puts rooms in no order.
func shuffled(rooms []string) []string {
	rand.Shuffle(len(rooms), func(i, j int) { rooms[i], rooms[j] = rooms[j], rooms[i] })
	return rooms
}
