// Package bare is what the realtime plane is measured against: the library's own
// WebSocket and SSE handlers, and the plainest handlers of net/http to publish
// and to read a room's history. It has the same engine and history as the plane,
// and neither tokens nor limits, metrics, logs, traces or problems.
package bare

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/centrifugal/centrifuge"
)

// Options are those of the plane that matter to speed.
type Options struct {
	// Redis is the address of the engine, host:port; empty for the one in memory.
	Redis       string
	HistorySize int
	HistoryTTL  time.Duration
	MetaTTL     time.Duration
	QueueBytes  int
	PageSize    int
}

// Server is a node of the library and its handlers.
type Server struct {
	Handler http.Handler
	Node    *centrifuge.Node

	o     Options
	shard *centrifuge.RedisShard
}

// New starts a node.
func New(o Options) (*Server, error) {
	node, err := centrifuge.New(centrifuge.Config{
		ClientQueueMaxSize: o.QueueBytes, HistoryMetaTTL: o.MetaTTL, HistoryMaxPublicationLimit: o.PageSize,
	})
	if err != nil {
		return nil, fmt.Errorf("make a node: %w", err)
	}
	s := &Server{Node: node, o: o}
	if o.Redis != "" {
		if err := s.redis(); err != nil {
			return nil, err
		}
	}
	s.handle()
	if err := node.Run(); err != nil {
		return nil, fmt.Errorf("run the node: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		CheckOrigin: func(*http.Request) bool { return true }, UseWriteBufferPool: true,
	}))
	// Answers to pings would need requests beside the stream; the plane's streams have none either.
	mux.Handle("/connection/sse", centrifuge.NewSSEHandler(node, centrifuge.SSEConfig{
		PingPongConfig: centrifuge.PingPongConfig{PingInterval: 25 * time.Second, PongTimeout: -1},
	}))
	mux.HandleFunc("POST /rooms/{room}", s.publish)
	mux.HandleFunc("GET /rooms/{room}", s.history)
	s.Handler = mux
	return s, nil
}

// Close ends the node.
func (s *Server) Close(ctx context.Context) error {
	err := s.Node.Shutdown(ctx)
	if s.shard != nil {
		s.shard.Close()
	}
	return err
}

func (s *Server) redis() error {
	var err error
	if s.shard, err = centrifuge.NewRedisShard(s.Node, centrifuge.RedisShardConfig{Address: s.o.Redis}); err != nil {
		return fmt.Errorf("connect to Redis: %w", err)
	}
	b, err := centrifuge.NewRedisBroker(s.Node, centrifuge.RedisBrokerConfig{Prefix: "bare", Shards: []*centrifuge.RedisShard{s.shard}})
	if err != nil {
		return fmt.Errorf("make the broker: %w", err)
	}
	s.Node.SetBroker(b)
	return nil
}

func (s *Server) kept() centrifuge.PublishOption {
	return centrifuge.WithHistory(s.o.HistorySize, s.o.HistoryTTL)
}

func (s *Server) handle() {
	s.Node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{}}, nil
	})
	s.Node.OnConnect(func(c *centrifuge.Client) {
		c.OnSubscribe(func(_ centrifuge.SubscribeEvent, cb centrifuge.SubscribeCallback) {
			cb(centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{EnableRecovery: true, EnablePositioning: true}}, nil)
		})
		c.OnPublish(func(e centrifuge.PublishEvent, cb centrifuge.PublishCallback) {
			res, err := s.Node.Publish(e.Channel, e.Data, s.kept())
			cb(centrifuge.PublishReply{Result: &res}, err)
		})
	})
}

// position is what a publisher is told, and where a reader goes on.
type position struct {
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"`
}

func (s *Server) publish(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	res, err := s.Node.Publish(r.PathValue("room"), data, s.kept())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	write(w, position{res.Epoch, res.Offset})
}

type message struct {
	Offset uint64          `json:"offset"`
	Data   json.RawMessage `json:"data"`
}

type page struct {
	Messages []message `json:"messages"`
	Next     position  `json:"next"`
}

func (s *Server) history(w http.ResponseWriter, r *http.Request) {
	epoch, offset, _ := strings.Cut(r.URL.Query().Get("since"), ":")
	at := centrifuge.StreamPosition{Epoch: epoch}
	var err error
	if at.Offset, err = strconv.ParseUint(offset, 10, 64); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	res, err := s.Node.History(r.PathValue("room"), centrifuge.WithHistoryFilter(centrifuge.HistoryFilter{Since: &at, Limit: limit}))
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	out := page{Messages: make([]message, len(res.Publications)), Next: position{epoch, at.Offset}}
	for i, pub := range res.Publications {
		out.Messages[i] = message{pub.Offset, pub.Data}
		out.Next.Offset = pub.Offset
	}
	write(w, out)
}

func write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
