package realtime

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/danielgtaylor/huma/v2"

	"github.com/trellis-dev/trellis/internal/plane"
)

const centrifugePath = "/connection/websocket"

func (g *Gateway) registerCentrifuge() {
	g.plane.API.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "centrifuge",
		Method:      http.MethodGet,
		Path:        centrifugePath,
		Summary:     "The Centrifuge protocol, for its client SDKs",
		Description: "A channel is a room; subscriptions are positioned and recoverable. The token goes into the SDK's connect message (option token), or into the handshake.",
		Tags:        []string{"rooms"},
		Responses: map[string]*huma.Response{
			"101":     {Description: "The socket is open."},
			"default": g.problemResponse(),
		},
	})
	g.plane.OwnAuth(centrifugePath)
	g.plane.Router.Get(centrifugePath, g.centrifugeSocket)
}

func (g *Gateway) centrifugeHandler(node *centrifuge.Node) *centrifuge.WebsocketHandler {
	return centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		PingPongConfig: centrifuge.PingPongConfig{PingInterval: g.heartbeat},
		// The origin was checked before any handler was reached.
		CheckOrigin:        func(*http.Request) bool { return true },
		MessageSizeLimit:   int(g.limits().MessageBytes) + frameOverhead,
		WriteTimeout:       streamWriteTimeout,
		UseWriteBufferPool: true,
		// An idle connection does not keep the stack that its commands needed.
		ProcessCommandsOffReadLoop: true,
	})
}

type connectionKey struct{}

func (g *Gateway) centrifugeSocket(w http.ResponseWriter, r *http.Request) {
	if problem := g.checkUpgrade(r); problem != nil {
		plane.WriteProblem(w, problem)
		return
	}
	_, conn, problem := g.admit(r.Context(), labelCentrifuge)
	if problem != nil {
		plane.WriteProblem(w, problem)
		return
	}
	hijack := &watchedHijacker{ResponseWriter: w, of: conn}
	g.core.Load().centrifuge.ServeHTTP(hijack, r.WithContext(context.WithValue(r.Context(), connectionKey{}, conn)))
	if !hijack.taken {
		conn.close()
	}
}

// handle sets what the library asks us at the events of its clients: those of
// our own protocols, whose session is in their context, and those of its SDKs.
func (g *Gateway) handle(node *centrifuge.Node) {
	node.OnConnecting(func(ctx context.Context, e centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		if s, ours := ctx.Value(sessionKey{}).(*session); ours {
			return centrifuge.ConnectReply{Credentials: g.credentials(plane.IdentityOf(ctx), s.protocol)}, nil
		}
		return g.connecting(ctx, e)
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(e centrifuge.SubscribeEvent, cb centrifuge.SubscribeCallback) {
			g.onSubscribe(client, e, cb)
		})
		if _, ours := client.Context().Value(sessionKey{}).(*session); ours {
			return
		}
		if conn, ok := client.Context().Value(connectionKey{}).(*connection); ok {
			client.OnDisconnect(func(e centrifuge.DisconnectEvent) {
				if e.Code == centrifuge.DisconnectSlow.Code {
					conn.slow(slowQueue)
				}
			})
		}
		client.OnPublish(func(e centrifuge.PublishEvent, cb centrifuge.PublishCallback) { g.onPublish(client, e, cb) })
		client.OnHistory(func(e centrifuge.HistoryEvent, cb centrifuge.HistoryCallback) {
			if problem := g.mayUse(plane.IdentityOf(client.Context()), plane.RightSubscribe, e.Channel); problem != nil {
				cb(centrifuge.HistoryReply{}, centrifuge.ErrorPermissionDenied)
				return
			}
			cb(centrifuge.HistoryReply{}, nil)
		})
		g.handlePresence(client)
		client.OnRefresh(func(e centrifuge.RefreshEvent, cb centrifuge.RefreshCallback) { g.onRefresh(client, e, cb) })
	})
}

func (g *Gateway) credentials(id plane.Identity, protocol string) *centrifuge.Credentials {
	c := &centrifuge.Credentials{UserID: id.Subject, Info: g.memberOf(protocol)}
	if !id.ExpiresAt.IsZero() {
		c.ExpireAt = id.ExpiresAt.Unix()
	}
	return c
}

// connecting admits a client of an SDK.
func (g *Gateway) connecting(ctx context.Context, e centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
	var id plane.Identity
	var problem *plane.Problem
	switch {
	case e.Token != "":
		id, problem = g.plane.Auth().Token(ctx, e.Token)
	case plane.HasIdentity(ctx):
		id = plane.IdentityOf(ctx)
	default:
		id, problem = g.plane.Auth().Anonymous()
	}
	if problem != nil {
		return centrifuge.ConnectReply{}, connectFault(problem)
	}
	if conn, ok := ctx.Value(connectionKey{}).(*connection); ok {
		if problem := conn.of(clientKey(id, remoteAddr(ctx))); problem != nil {
			return centrifuge.ConnectReply{}, centrifuge.DisconnectConnectionLimit
		}
	}
	return centrifuge.ConnectReply{
		Context:     plane.WithIdentity(ctx, id),
		Credentials: g.credentials(id, labelCentrifuge),
		// An SDK that can get a new token keeps its connection.
		ClientSideRefresh: !id.ExpiresAt.IsZero(),
		// A long recovery goes out at the client's pace, and not through the
		// queue that is there to cut slow ones.
		ReplyWithoutQueue: true,
	}, nil
}

func connectFault(problem *plane.Problem) error {
	switch {
	case plane.ExpiredToken(problem):
		return centrifuge.ErrorTokenExpired
	case problem.Status == http.StatusServiceUnavailable:
		return errEngine
	}
	return centrifuge.DisconnectInvalidToken
}

func (g *Gateway) onSubscribe(client *centrifuge.Client, e centrifuge.SubscribeEvent, cb centrifuge.SubscribeCallback) {
	if problem := g.mayUse(plane.IdentityOf(client.Context()), plane.RightSubscribe, e.Channel); problem != nil {
		cb(centrifuge.SubscribeReply{}, centrifuge.ErrorPermissionDenied)
		return
	}
	s, ours := client.Context().Value(sessionKey{}).(*session)
	if !ours && len(client.Channels()) >= g.limits().RoomsPerConnection {
		cb(centrifuge.SubscribeReply{}, centrifuge.ErrorLimitExceeded)
		return
	}
	// A waiting poll is gone the next moment.
	present := g.cfg.Presence && !(ours && s.protocol == labelLongPolling)
	cb(centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{EnablePositioning: true, EnableRecovery: true, EmitPresence: present}}, nil)
}

func (g *Gateway) onPublish(client *centrifuge.Client, e centrifuge.PublishEvent, cb centrifuge.PublishCallback) {
	ctx := client.Context()
	id := plane.IdentityOf(ctx)
	if problem := g.mayUse(id, plane.RightPublish, e.Channel); problem != nil {
		cb(centrifuge.PublishReply{}, centrifuge.ErrorPermissionDenied)
		return
	}
	m := NewMessage{Data: json.RawMessage(e.Data)}
	if problem := g.checkMessage("data", &m); problem != nil {
		cb(centrifuge.PublishReply{}, &centrifuge.Error{Code: uint32(problem.Status), Message: problem.Title})
		return
	}
	if problem := g.mayPublish(clientKey(id, remoteAddr(ctx)), 1); problem != nil {
		cb(centrifuge.PublishReply{}, centrifuge.ErrorTooManyRequests)
		return
	}
	res, err := g.publish(ctx, id, e.Channel, m)
	if err != nil {
		cb(centrifuge.PublishReply{}, errEngine)
		return
	}
	pos, _ := ParsePosition(res.Position)
	cb(centrifuge.PublishReply{Result: &centrifuge.PublishResult{StreamPosition: pos.stream()}}, nil)
}

// onRefresh takes the new token of a connection whose old one is about to end.
// It must be of the same subject; new rights count from the next connection on.
func (g *Gateway) onRefresh(client *centrifuge.Client, e centrifuge.RefreshEvent, cb centrifuge.RefreshCallback) {
	id, problem := g.plane.Auth().Token(client.Context(), e.Token)
	switch {
	case problem != nil:
		cb(centrifuge.RefreshReply{Expired: true}, nil)
	case id.Subject != client.UserID():
		cb(centrifuge.RefreshReply{}, centrifuge.DisconnectInvalidToken)
	case id.ExpiresAt.IsZero():
		cb(centrifuge.RefreshReply{ExpireAt: g.now().Add(24 * time.Hour).Unix()}, nil)
	default:
		cb(centrifuge.RefreshReply{ExpireAt: id.ExpiresAt.Unix()}, nil)
	}
}
