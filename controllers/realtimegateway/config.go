package realtimegateway

import (
	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/planes"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Where the plane finds the shared secret of an outside issuer.
const (
	jwtDir  = "/etc/trellis/jwt"
	jwtFile = "secret"
)

// keyPeerToken of the keys Secret is what the pods of a gateway show each other.
const keyPeerToken = "peer-token"

// queueBytes that may wait for one slow client.
const queueBytes = 1 << 20

// planeConfig is the text of the plane's configuration, and of that part of it
// for which pods are made anew.
func planeConfig(g *v1alpha1.RealtimeGateway, in pattern.Inputs) (text, fixed string, err error) {
	config := planes.Config(owner(g))
	config.HTTP = planeconfig.HTTP{AllowedOrigins: allowedOrigins(g), MaxBodyBytes: maxBody(g)}
	setAuth(&config.Auth, g.Spec.Auth)
	config.Engine = planes.Engine(in.Engine, "trellis:rtg:"+g.Name+":")
	config.Realtime = realtimeConfig(g, in.Class)
	return planes.Texts(config)
}

func allowedOrigins(g *v1alpha1.RealtimeGateway) []string {
	if g.Spec.Auth == nil {
		return nil
	}
	return g.Spec.Auth.AllowedOrigins
}

// maxBody leaves room for a batch of small messages, or one of the largest with its envelope.
func maxBody(g *v1alpha1.RealtimeGateway) int64 {
	return max(1<<20, 2*int64(g.Spec.Limits.MessageBytes))
}

func setAuth(out *planeconfig.Auth, auth *v1alpha1.RealtimeAuth) {
	if auth == nil {
		return
	}
	if j := auth.JWT; j != nil {
		out.JWT = &planeconfig.JWT{JWKSURL: j.JWKSURL, Issuer: j.Issuer, Audience: j.Audience}
		if j.SecretRef != nil {
			out.JWT.SecretFile = jwtDir + "/" + jwtFile
		}
	}
	if a := auth.Anonymous; a != nil {
		out.Anonymous = &planeconfig.Grant{Rooms: a.Rooms}
		for _, r := range a.Rights {
			out.Anonymous.Rights = append(out.Anonymous.Rights, string(r))
		}
	}
}

func realtimeConfig(g *v1alpha1.RealtimeGateway, class *v1alpha1.PatternClass) *planeconfig.Realtime {
	limits := g.Spec.Limits
	out := &planeconfig.Realtime{
		Playground: planes.Playground(g.Spec.Playground, class),
		History:    planeconfig.History{Size: int(g.Spec.History.Size)},
		Presence:   g.Spec.Presence == v1alpha1.PresenceEnabled,
		Limits: planeconfig.Limits{
			ConnectionsPerClient: int(limits.ConnectionsPerClient),
			RoomsPerConnection:   int(limits.RoomsPerConnection),
			MessageBytes:         int64(limits.MessageBytes),
			PublishPerSecond:     int(limits.PublishPerSecond),
			Connections:          int(limits.Connections),
			QueueBytes:           queueBytes,
		},
	}
	if g.Spec.History.TTL != nil {
		out.History.TTL = planeconfig.Duration(g.Spec.History.TTL.Duration)
	}
	if isStateful(g) {
		out.Stateful = &planeconfig.Stateful{TokenFile: planes.KeysDir + "/" + keyPeerToken}
	}
	for _, p := range g.Spec.Protocols {
		out.Protocols = append(out.Protocols, string(p))
	}
	return out
}
