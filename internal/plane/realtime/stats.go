package realtime

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/trellis-dev/trellis/internal/plane"
)

// Counts are what can be added up over replicas.
type Counts struct {
	Connections        map[string]int `json:"connections" doc:"Held open now, by protocol: sse, websocket, centrifuge, longpolling."`
	Subscriptions      int            `json:"subscriptions" doc:"Rooms followed, once for each connection."`
	Published          uint64         `json:"published" doc:"Messages stored since the replica started."`
	Delivered          uint64         `json:"delivered" doc:"Messages written to clients since then, those of SDKs aside."`
	PublishedPerSecond float64        `json:"publishedPerSecond" doc:"Over the last 10 seconds or so."`
	DeliveredPerSecond float64        `json:"deliveredPerSecond" doc:"Over the last 10 seconds or so, those of SDKs aside."`
}

// ReplicaStats is what one replica counts.
type ReplicaStats struct {
	Counts
	Replica string `json:"replica" doc:"The name of its pod."`
	Rooms   int    `json:"rooms" doc:"Rooms followed here. A room may be followed on several replicas, so these do not add up; GET /v1/rooms lists them."`
}

// Stats is what the gateway counts.
type Stats struct {
	Coverage
	Total     Counts         `json:"total" doc:"The sum over the replicas that answered."`
	ByReplica []ReplicaStats `json:"byReplica" doc:"Each replica, by name."`
}

type statsOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         Stats
}

func (g *Gateway) registerStats() {
	huma.Register(g.plane.API, huma.Operation{
		OperationID: "stats",
		Method:      http.MethodGet,
		Path:        "/v1/stats",
		Summary:     "Connections, rooms and rates",
		Description: "Of each replica, and in sum. Needs the binding token. For watching over time, scrape /metrics.",
		Tags:        []string{"rooms"},
		Errors:      []int{401, 403, 503},
	}, g.showStats)
}

func (g *Gateway) showStats(ctx context.Context, _ *struct{}) (*statsOutput, error) {
	if problem := plane.NeedBinding(ctx); problem != nil {
		return nil, problem
	}
	node, problem := g.ready()
	if problem != nil {
		return nil, problem
	}
	answers, covered, problem := g.survey(ctx, node, askStats, nil)
	if problem != nil {
		return nil, plane.Fail(ctx, problem)
	}
	out := Stats{Coverage: covered, Total: Counts{Connections: map[string]int{}}, ByReplica: []ReplicaStats{}}
	for _, answer := range answers {
		var r ReplicaStats
		if err := json.Unmarshal(answer, &r); err != nil {
			return nil, plane.Fail(ctx, err)
		}
		out.Total.add(r.Counts)
		out.ByReplica = append(out.ByReplica, r)
	}
	slices.SortFunc(out.ByReplica, func(a, b ReplicaStats) int { return cmp.Compare(a.Replica, b.Replica) })
	return &statsOutput{CacheControl: "no-store", Body: out}, nil
}

func (c *Counts) add(o Counts) {
	for protocol, n := range o.Connections {
		c.Connections[protocol] += n
	}
	c.Subscriptions += o.Subscriptions
	c.Published += o.Published
	c.Delivered += o.Delivered
	c.PublishedPerSecond += o.PublishedPerSecond
	c.DeliveredPerSecond += o.DeliveredPerSecond
}

func (g *Gateway) statsHere(node *centrifuge.Node) ReplicaStats {
	now := g.countNow()
	published, delivered := g.rates.since(now)
	return ReplicaStats{
		Replica: g.replica,
		Rooms:   node.Hub().NumChannels(),
		Counts: Counts{
			Connections: g.conns.byProtocol(), Subscriptions: node.Hub().NumSubscriptions(),
			Published: uint64(now.published), Delivered: uint64(now.delivered),
			PublishedPerSecond: published, DeliveredPerSecond: delivered,
		},
	}
}

// tally is what was counted up to a time.
type tally struct {
	at                   time.Time
	published, delivered float64
}

func (g *Gateway) countNow() tally {
	t := tally{at: g.now(), published: valueOf(g.metrics.published.stored)}
	for s := range maps.Values(g.stats) {
		t.delivered += valueOf(s.delivered)
	}
	return t
}

func valueOf(c prometheus.Counter) float64 {
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		return 0
	}
	return m.GetCounter().GetValue()
}

// rateInterval and rateSamples give rates over the last 10 seconds.
const (
	rateInterval = 2 * time.Second
	rateSamples  = 6
)

// rates remembers the last tallies.
type rates struct {
	mu   sync.Mutex
	past []tally
}

// keep takes a tally at an interval until ctx ends.
func (r *rates) keep(ctx context.Context, count func() tally) {
	tick := time.NewTicker(rateInterval)
	defer tick.Stop()
	for {
		r.take(count())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (r *rates) take(t tally) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.past) == rateSamples {
		r.past = r.past[1:]
	}
	r.past = append(r.past, t)
}

// since are the rates from the oldest tally to now, in messages a second.
func (r *rates) since(now tally) (published, delivered float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.past) == 0 {
		return 0, 0
	}
	oldest := r.past[0]
	seconds := now.at.Sub(oldest.at).Seconds()
	if seconds <= 0 {
		return 0, 0
	}
	return (now.published - oldest.published) / seconds, (now.delivered - oldest.delivered) / seconds
}
