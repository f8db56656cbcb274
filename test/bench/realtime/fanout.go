package realtime

import (
	"context"
	"strings"
	"time"

	"github.com/trellis-dev/trellis/test/bench/harness"
	"github.com/trellis-dev/trellis/test/bench/realtime/load"
)

// messageSize of the data of the messages that are published.
const messageSize = 128

// flow is a way of messages that is measured.
type flow struct {
	name             string
	engine           string
	followers, rooms int
	// follow and publish of the plane, and of the bare server.
	ours, peer flowProtocols
	publishers int
	window     int
	// rate of messages a second for the times.
	rate float64
	// why says what a miss comes from.
	why string
}

type flowProtocols struct{ follow, publish load.Protocol }

var (
	contractHTTP   = flowProtocols{load.ContractWebSocket, load.ContractHTTP}
	contractSocket = flowProtocols{load.ContractWebSocket, load.ContractWebSocket}
	contractSSE    = flowProtocols{load.ContractSSE, load.ContractHTTP}
	contractSDK    = flowProtocols{load.Centrifuge, load.ContractHTTP}
	bareHTTP       = flowProtocols{load.Centrifuge, load.BareHTTP}
	bareSocket     = flowProtocols{load.Centrifuge, load.Centrifuge}
	bareSSE        = flowProtocols{load.BareSSE, load.BareHTTP}
)

const (
	whyFrames = "a frame of the contract names the room, the position and the time of publication beside the data, and is about 100 bytes " +
		"longer than the library's; what both write is the library's work."
	whyRequests = "per message, the plane checks a token and rights, reads the body strictly as JSON and compacts it, stamps and counts it, " +
		"bounds the request in bytes and time, and answers by a typed contract; the peer stores the body unread. Spans and their metrics are " +
		"made only where they are collected, contexts and wrappers were cut down, and requests in their plain form pass the typed layer by. A batch, or a socket, has that cost once for many messages."
)

// aboutCollector is what the two sides differ in beside their code.
const aboutCollector = "The plane's program has Go's collector count the heap from 16 MiB on, as it does everywhere; the peer has Go's own setting."

func flows() []flow {
	one := func(name, engine string, ours, peer flowProtocols) flow {
		return flow{name: "one room, 1,000 followers: " + name, engine: engine, ours: ours, peer: peer,
			followers: 1000, rooms: 1, publishers: 8, window: 16, rate: 20, why: whyFrames}
	}
	many := func(name, engine string, ours, peer flowProtocols) flow {
		return flow{name: "1,000 rooms of 2: " + name, engine: engine, ours: ours, peer: peer,
			followers: 2000, rooms: 1000, publishers: 32, window: 256, rate: 2000, why: whyRequests}
	}
	return []flow{
		one("POST → WebSocket, Memory", "Memory", contractHTTP, bareHTTP),
		one("POST → WebSocket, Redis", "Redis", contractHTTP, bareHTTP),
		one("POST → SSE, Memory", "Memory", contractSSE, bareSSE),
		one("POST → SDK, Memory", "Memory", contractSDK, bareHTTP),
		many("POST → WebSocket, Memory", "Memory", contractHTTP, bareHTTP),
		many("POST → WebSocket, Redis", "Redis", contractHTTP, bareHTTP),
		many("WebSocket → WebSocket, Memory", "Memory", contractSocket, bareSocket),
	}
}

// FanOut is the part about messages a second and how long they take.
func FanOut(p Programs) harness.Part {
	return harness.Part{
		Name:  "realtime-fanout",
		Title: "Realtime: fan-out",
		About: "Messages of 128 bytes, published over HTTP (`POST /v1/rooms/{room}/messages`) or over a socket, to followers that count them. " +
			"Peer: the library's WebSocket and SSE handlers, with a handler of net/http that stores the body, or the library's own publish " +
			"command; with the same engine and history, and without tokens, limits, checks of the JSON, times of publication, metrics and traces. " +
			"*rate* is deliveries a second with as much on the way as the server takes; *cpu* the server's own CPU time a delivery, meanwhile. " +
			"*p50* and *p99* are from when a message was due to each delivery, at a steady 20 (one room) or 2,000 (many rooms) messages a second. " +
			"Clients and server share the cores. *lost* are deliveries that never came. " + aboutCollector,
		Run: func(ctx context.Context, e *harness.Env) ([]harness.Row, error) { return fanOut(ctx, e, p) },
	}
}

func fanOut(ctx context.Context, e *harness.Env, p Programs) ([]harness.Row, error) {
	redis, stop, err := startRedis(ctx)
	defer stop()
	if err != nil {
		return nil, err
	}
	var rows []harness.Row
	for _, f := range flows() {
		if !e.Chosen(f.name) {
			continue
		}
		if e.Short {
			f.followers, f.rooms = f.followers/10, max(1, f.rooms/10)
		}
		eng := engine{name: f.engine}
		if f.engine == "Redis" {
			eng.redis = redis
		}
		side := func(s side, proto flowProtocols) harness.Side {
			return func(ctx context.Context) (harness.Figures, error) { return f.run(ctx, e, p, s, proto, eng) }
		}
		got, err := e.Interleave(ctx, f.name, side(ours, f.ours), side(peer, f.peer))
		if err != nil {
			return nil, err
		}
		rows = append(rows, harness.Explain(f.why, got.Row(f.name, "rate", "deliveries/s", harness.RatioAtLeast(0.9)),
			got.Row(f.name, "cpu", "µs", harness.NoGoal),
			got.Row(f.name, "p50", "ms", harness.NoGoal), got.Row(f.name, "p99", "ms", harness.RatioAtMost(1.2)))...)
		lost := got.Row(f.name, "lost", "", harness.Exactly(0))
		lost.Peer = nil
		rows = append(rows, lost)
	}
	return rows, nil
}

func (f flow) run(ctx context.Context, e *harness.Env, p Programs, s side, proto flowProtocols, eng engine) (harness.Figures, error) {
	r, stop, err := p.start(ctx, e, s, eng)
	defer stop()
	if err != nil {
		return nil, err
	}
	if err := r.follow(ctx, load.FollowParams{Protocol: proto.follow, Followers: f.followers, Rooms: f.rooms}); err != nil {
		return nil, err
	}
	params := load.PublishParams{
		Addresses: []string{r.address}, Token: r.token, Protocol: proto.publish, Rooms: f.rooms, Bytes: messageSize,
		Publishers: f.publishers, WarmUp: time.Second, Measure: 3 * time.Second,
	}
	if e.Short {
		params.WarmUp, params.Measure = 200*time.Millisecond, 500*time.Millisecond
	}
	steady := params
	steady.Rate, params.Window = f.rate, f.window
	profile := ""
	if e.Profile {
		profile = strings.Map(fileName, string(s)+"-"+f.name)
	}
	var full, timed load.Published
	cpu, err := r.timed(ctx, profile, func() error { return r.clients.Call(ctx, load.MethodPublish, params, &full) })
	if err != nil {
		return nil, err
	}
	if err := r.clients.Call(ctx, load.MethodPublish, steady, &timed); err != nil {
		return nil, err
	}
	return harness.Figures{
		"rate": full.Rate, "cpu": float64(cpu.Nanoseconds()) / 1e3 / float64(max(1, full.Delivered)),
		"p50": milliseconds(timed.P50), "p99": milliseconds(timed.P99), "lost": float64(full.Lost + timed.Lost),
	}, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func fileName(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
		return r
	}
	return '-'
}
