package router

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/danielgtaylor/huma/v2"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/shards/overload"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// Bounds of what is asked of the router itself.
const (
	// maxWait is how long a newer table is waited for, at most.
	maxWait = 60 * time.Second
	// hottest partitions are told of.
	hottest = 10
)

const apiDescription = `The paths below /.trellis/ are those of the ShardSet's routers; every other path is the shards' own, and goes to the one that
owns the request's key. What is here needs the binding's token. Errors are RFC 9457 problem documents, on all paths: those that the
shards themselves answer aside. With 429 and 503 comes Retry-After, and nothing of the request was done.`

// register the router's own operations.
func (r *Router) register() {
	info := r.plane.API.OpenAPI().Info
	info.Description = apiDescription
	plane.OfferTokensAt[tokenRequest](r.plane, planeconfig.ShardPath+"/tokens")
	huma.Register(r.plane.API, huma.Operation{
		OperationID: "ring", Method: http.MethodGet, Path: planeconfig.ShardPath + "/ring", Summary: "Get the table", Tags: []string{"ring"},
		Description: "Which shard owns which partition, and where each of them is reached: for clients that find the owner of a key by themselves. " +
			"With wait and epoch the answer comes once there is a newer table than that of the epoch, or after the time.",
		Errors: []int{304, 401, 403, 503},
	}, r.ring)
	huma.Register(r.plane.API, huma.Operation{
		OperationID: "locate", Method: http.MethodGet, Path: planeconfig.ShardPath + "/locate", Summary: "Find the owner of a key", Tags: []string{"ring"},
		Errors: []int{400, 401, 403, 404, 503},
	}, r.locate)
	huma.Register(r.plane.API, huma.Operation{
		OperationID: "stats", Method: http.MethodGet, Path: planeconfig.ShardPath + "/stats", Summary: "See what this router does", Tags: []string{"ring"},
		Description: "Of this replica only: the others have their own.",
		Errors:      []int{401, 403},
	}, r.stats)
}

// tokenRequest asks for a client token.
type tokenRequest struct {
	TTL     string `json:"ttl,omitempty" maxLength:"16" doc:"How long the token lives, 10s to 24h; 15m by default." example:"15m"`
	Subject string `json:"subject,omitempty" maxLength:"128" doc:"Who the holder is: the claim sub."`
}

// Asks implements plane.TokenBody.
func (t tokenRequest) Asks() (plane.Asked, *plane.Problem) {
	return plane.Asked{TTL: t.TTL, Subject: t.Subject}, nil
}

type ringInput struct {
	Epoch       uint64 `query:"epoch" doc:"The table that is known already."`
	Wait        string `query:"wait" maxLength:"16" doc:"How long a newer one is waited for, at most a minute." example:"30s"`
	IfNoneMatch string `header:"If-None-Match"`
}

// ringMember is a shard, and where it is.
type ringMember struct {
	ID      string `json:"id" doc:"The shard's ID."`
	Weight  int    `json:"weight,omitempty" doc:"Its share among the others' weights; 1 where it is absent."`
	Zone    string `json:"zone,omitempty" doc:"The zone that it fails with."`
	Address string `json:"address,omitempty" doc:"Where it is reached, as host:port; absent while it is nowhere."`
	Ready   bool   `json:"ready" doc:"Whether it says that it serves."`
}

// ringTable is a ring.Table whose members say where they are.
type ringTable struct {
	Version    int          `json:"version" doc:"Of this form of a table: 1."`
	Epoch      uint64       `json:"epoch" doc:"It grows by each change."`
	Partitions int          `json:"partitions" doc:"Their number. A key's is the low bits of the xxHash64 of the key, where spec.strategy is Hash."`
	Members    []ringMember `json:"members" doc:"The shards, in the order of their IDs."`
	Owners     []int        `json:"owners" doc:"For each partition the index of its shard among the members, or -1."`
	Moves      []ring.Move  `json:"moves,omitempty" doc:"Partitions that nobody serves now, as they are on the way to another shard."`
}

type ringOutput struct {
	ETag         string `header:"ETag"`
	CacheControl string `header:"Cache-Control"`
	Status       int
	Body         *ringTable
}

func (r *Router) ring(ctx context.Context, in *ringInput) (*ringOutput, error) {
	if problem := plane.NeedBinding(ctx); problem != nil {
		return nil, problem
	}
	wait := time.Duration(0)
	if in.Wait != "" {
		var err error
		if wait, err = time.ParseDuration(in.Wait); err != nil || wait < 0 || wait > maxWait {
			return nil, plane.Invalid("wait must be a duration such as 30s, at most " + maxWait.String())
		}
	}
	v := r.view.Load()
	if wait > 0 && v.table.Epoch <= in.Epoch {
		if !r.places.Take(1) {
			return nil, r.crowded()
		}
		defer r.places.Give(1)
		v = r.newer(ctx, in.Epoch, wait)
	}
	if !v.known() {
		return nil, problemNoTable()
	}
	table := &ringTable{Version: ring.FormatVersion, Epoch: v.table.Epoch, Partitions: v.table.Partitions, Owners: v.table.Owners, Moves: v.table.Moves}
	sum := xxhash.New()
	for _, m := range v.table.Members {
		at, _ := r.members.Member(m.ID)
		table.Members = append(table.Members, ringMember{ID: m.ID, Weight: m.Weight, Zone: m.Zone, Address: at.Address, Ready: at.Ready})
		_, _ = fmt.Fprintln(sum, at.Address, at.Ready)
	}
	out := &ringOutput{ETag: fmt.Sprintf("%q", fmt.Sprintf("%s-%x", v.epoch, sum.Sum64())), CacheControl: "no-cache", Status: http.StatusOK, Body: table}
	if in.IfNoneMatch == out.ETag || wait > 0 && v.table.Epoch <= in.Epoch {
		out.Status, out.Body = http.StatusNotModified, nil
	}
	return out, nil
}

// newer is a view of a later epoch, or the last one when the time is over or the router drains.
func (r *Router) newer(ctx context.Context, epoch uint64, wait time.Duration) *view {
	plane.Hold(ctx)
	defer plane.AnswerLater(ctx)
	ended := make(chan struct{})
	var drained bool
	_, leave := r.open.enter(func() {
		if !drained {
			drained = true
			close(ended)
		}
	})
	defer leave()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		v := r.view.Load()
		if v.table.Epoch > epoch {
			return v
		}
		select {
		case <-v.next:
		case <-timer.C:
			return v
		case <-ended:
			return v
		case <-ctx.Done():
			return v
		}
	}
}

type locateInput struct {
	Key string `query:"key" required:"true" minLength:"1" doc:"The key, as a request would have it."`
}

// located is where a key is.
type located struct {
	Partition int    `json:"partition" doc:"The key's partition."`
	Epoch     uint64 `json:"epoch" doc:"The table by which that is so."`
	Member    string `json:"member,omitempty" doc:"The shard that owns it."`
	Address   string `json:"address,omitempty" doc:"Where that is reached, as host:port."`
	Serving   bool   `json:"serving" doc:"Whether the shard serves it now: not while it is on the way to another one."`
	To        string `json:"to,omitempty" doc:"The shard that it is on the way to."`
}

type locateOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         located
}

func (r *Router) locate(ctx context.Context, in *locateInput) (*locateOutput, error) {
	if problem := plane.NeedBinding(ctx); problem != nil {
		return nil, problem
	}
	s, v := r.settings.Load(), r.view.Load()
	if len(in.Key) > s.key.most {
		return nil, s.key.problemLong()
	}
	p, err := s.placement.Partition(in.Key)
	if err != nil {
		return nil, problemUnplaced()
	}
	if p >= len(v.serving) {
		return nil, problemNoTable()
	}
	out := located{Partition: p, Epoch: v.table.Epoch, Serving: v.serving[p] != nil}
	if owner, ok := v.table.Owner(p); ok {
		out.Member, out.Address = owner.ID, addressOf(r.members, owner.ID)
	}
	if move, ok := v.table.Moving(p); ok {
		out.To = move.To
	}
	return &locateOutput{CacheControl: "no-store", Body: out}, nil
}

// memberStats are of a shard, as this router sees it.
type memberStats struct {
	overload.MemberStats
	Address     string `json:"address,omitempty" doc:"Where it is reached, as host:port."`
	Unreachable string `json:"unreachable,omitempty" doc:"For how long it could not be reached."`
}

// partitionStats are of a partition that takes much.
type partitionStats struct {
	overload.Heat
	Owner string `json:"owner,omitempty" doc:"The shard that owns it."`
}

type routerStats struct {
	Epoch   uint64           `json:"epoch" doc:"The table that this router routes by."`
	Moves   []ring.Move      `json:"moves" doc:"Partitions that are on the way."`
	Held    heldStats        `json:"held"`
	Open    int              `json:"open" doc:"WebSockets and streams of events that are open."`
	Members []memberStats    `json:"members"`
	Hottest []partitionStats `json:"hottest" doc:"The partitions that take the most of this router's requests, the hottest first."`
}

type heldStats struct {
	Partition int `json:"partition" doc:"Requests that are held for a partition on the way."`
	Shard     int `json:"shard" doc:"Requests that are held for a shard that can not be reached."`
	Limit     int `json:"limit" doc:"How many may be held, of both."`
}

type statsOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         routerStats
}

func (r *Router) stats(ctx context.Context, _ *struct{}) (*statsOutput, error) {
	if problem := plane.NeedBinding(ctx); problem != nil {
		return nil, problem
	}
	v := r.view.Load()
	out := routerStats{Epoch: v.table.Epoch, Moves: append([]ring.Move{}, v.table.Moves...), Members: []memberStats{}, Hottest: []partitionStats{}, Open: r.open.count()}
	out.Held.Partition, out.Held.Shard = r.held.counts()
	out.Held.Limit = r.settings.Load().held
	seen := map[string]overload.MemberStats{}
	if l, ok := r.limiter.(interface{ Stats() []overload.MemberStats }); ok {
		for _, s := range l.Stats() {
			seen[s.Member] = s
		}
	}
	for _, m := range v.members {
		s := memberStats{MemberStats: seen[m.id], Address: addressOf(r.members, m.id)}
		s.Member = m.id
		if back, since := m.absent(); back != nil {
			s.Unreachable = time.Since(since).Round(time.Millisecond).String()
		}
		out.Members = append(out.Members, s)
	}
	if l, ok := r.limiter.(interface{ Hottest(int) []overload.Heat }); ok {
		for _, h := range l.Hottest(hottest) {
			owner, _ := v.table.Owner(h.Partition)
			out.Hottest = append(out.Hottest, partitionStats{Heat: h, Owner: owner.ID})
		}
	}
	return &statsOutput{CacheControl: "no-store", Body: out}, nil
}
