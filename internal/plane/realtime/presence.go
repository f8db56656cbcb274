package realtime

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/danielgtaylor/huma/v2"

	"github.com/trellis-dev/trellis/internal/plane"
)

const (
	// presenceTTL is how long a client is shown whose replica was killed.
	presenceTTL = 60 * time.Second
	// presenceRefresh is how often a client that stays is written again. The
	// library would do so with every tick of its position check.
	presenceRefresh = 25 * time.Second
)

// Member is one connection that follows a room.
type Member struct {
	Client   string `json:"client" doc:"The connection's id; another after every reconnect."`
	Subject  string `json:"subject,omitempty" doc:"The subject of its token; absent for the binding and for anonymous."`
	Protocol string `json:"protocol" doc:"sse, websocket or centrifuge."`
	Since    string `json:"since" format:"date-time" doc:"When it connected."`
}

// Presence is who follows a room.
type Presence struct {
	Room    string   `json:"room" doc:"The room."`
	Count   int      `json:"count" doc:"Connections that follow the room."`
	Users   int      `json:"users" doc:"Different subjects among them."`
	Clients []Member `json:"clients" doc:"The connections, the longest connected first; at most limit."`
	More    bool     `json:"more" doc:"True when there are more connections than clients."`
}

// memberInfo is what of a member travels as the library's connection info.
type memberInfo struct {
	Protocol string `json:"protocol"`
	Since    string `json:"since"`
}

type presenceInput struct {
	Room  string `path:"room" maxLength:"512" doc:"1 to 128 letters, digits or - _ . : ~ @."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"The most clients to list. They are counted in any case."`
}

type presenceOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         Presence
}

func (g *Gateway) registerPresence() {
	huma.Register(g.plane.API, huma.Operation{
		OperationID: "presence",
		Method:      http.MethodGet,
		Path:        "/v1/rooms/{room}/presence",
		Summary:     "Who follows a room",
		Description: "Streams and sockets of all replicas; polls, waiting ones too, come and go and are not among them. " +
			"Needs the right presence, as it tells who the others are, and spec.presence to be Enabled.",
		Tags:   []string{"rooms"},
		Errors: []int{400, 401, 403, 503},
	}, g.presence)
}

func (g *Gateway) presence(ctx context.Context, in *presenceInput) (*presenceOutput, error) {
	if problem := g.mayUse(plane.IdentityOf(ctx), plane.RightPresence, in.Room); problem != nil {
		return nil, problem
	}
	if !g.cfg.Presence {
		return nil, problemNoPresence()
	}
	node, problem := g.ready()
	if problem != nil {
		return nil, problem
	}
	leave, problem := g.surveys.enter(ctx)
	if problem != nil {
		return nil, problem
	}
	defer leave()
	found, err := node.Presence(in.Room)
	if err != nil {
		return nil, plane.Fail(ctx, problemEngine(err))
	}
	return &presenceOutput{CacheControl: "no-store", Body: presenceOf(in.Room, in.Limit, found.Presence)}, nil
}

func presenceOf(room string, limit int, clients map[string]*centrifuge.ClientInfo) Presence {
	out := Presence{Room: room, Count: len(clients), Clients: make([]Member, 0, min(limit, len(clients)))}
	members := make([]Member, 0, len(clients))
	users := map[string]bool{}
	for id, c := range clients {
		var info memberInfo
		_ = json.Unmarshal(c.ConnInfo, &info)
		members = append(members, Member{Client: id, Subject: c.UserID, Protocol: info.Protocol, Since: info.Since})
		if c.UserID != "" {
			users[c.UserID] = true
		}
	}
	slices.SortFunc(members, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.Client, b.Client))
	})
	out.Users, out.More = len(users), len(members) > limit
	out.Clients = append(out.Clients, members[:min(limit, len(members))]...)
	return out
}

// memberOf is the connection info of a client that presence would show.
func (g *Gateway) memberOf(protocol string) []byte {
	if !g.cfg.Presence {
		return nil
	}
	info, err := json.Marshal(memberInfo{Protocol: protocol, Since: g.now().UTC().Format(publishedFormat)})
	if err != nil {
		return nil
	}
	return info
}

// handlePresence answers the presence requests of SDKs.
func (g *Gateway) handlePresence(client *centrifuge.Client) {
	allowed := func(room string) error {
		switch {
		case g.mayUse(plane.IdentityOf(client.Context()), plane.RightPresence, room) != nil:
			return centrifuge.ErrorPermissionDenied
		case !g.cfg.Presence:
			return centrifuge.ErrorNotAvailable
		}
		return nil
	}
	client.OnPresence(func(e centrifuge.PresenceEvent, cb centrifuge.PresenceCallback) {
		cb(centrifuge.PresenceReply{}, allowed(e.Channel))
	})
	client.OnPresenceStats(func(e centrifuge.PresenceStatsEvent, cb centrifuge.PresenceStatsCallback) {
		cb(centrifuge.PresenceStatsReply{}, allowed(e.Channel))
	})
}

// presences keeps who is there, and leaves out writes that say nothing new.
type presences struct {
	centrifuge.PresenceManager
	now func() time.Time
	// failed is told of what could not be written.
	failed func(error)

	mu      sync.Mutex
	written map[member]time.Time
}

type member struct{ room, client string }

func newPresences(m centrifuge.PresenceManager, now func() time.Time, failed func(error)) *presences {
	return &presences{PresenceManager: m, now: now, failed: failed, written: map[member]time.Time{}}
}

func redisPresence(node *centrifuge.Node, prefix string, shard *centrifuge.RedisShard) (centrifuge.PresenceManager, error) {
	m, err := centrifuge.NewRedisPresenceManager(node, centrifuge.RedisPresenceManagerConfig{
		Prefix: prefix, PresenceTTL: presenceTTL, Shards: []*centrifuge.RedisShard{shard},
	})
	if err != nil {
		return nil, fmt.Errorf("presence in redis: %w", err)
	}
	return m, nil
}

// AddPresence implements centrifuge.PresenceManager. A failure costs nobody the
// room, as it would in the library: it is written again with the next tick.
func (p *presences) AddPresence(room, client string, info *centrifuge.ClientInfo) error {
	key, now := member{room, client}, p.now()
	p.mu.Lock()
	fresh := now.Sub(p.written[key]) < presenceRefresh
	if !fresh {
		p.written[key] = now
	}
	p.mu.Unlock()
	if fresh {
		return nil
	}
	if err := p.PresenceManager.AddPresence(room, client, info); err != nil {
		p.mu.Lock()
		delete(p.written, key)
		p.mu.Unlock()
		p.failed(err)
	}
	return nil
}

// RemovePresence implements centrifuge.PresenceManager.
func (p *presences) RemovePresence(room, client, user string) error {
	p.mu.Lock()
	delete(p.written, member{room, client})
	p.mu.Unlock()
	return p.PresenceManager.RemovePresence(room, client, user)
}
