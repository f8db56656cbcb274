package realtimegateway

import (
	"time"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Where the plane finds what is mounted.
const (
	configDir  = "/etc/trellis/config"
	bindingDir = "/etc/trellis/binding"
	keysDir    = "/etc/trellis/keys"
	jwtDir     = "/etc/trellis/jwt"
	engineDir  = "/etc/trellis/engine"
	configFile = planeconfig.FileName
	jwtFile    = "secret"
)

// How a plane stops; the pod's grace period is the sum.
const (
	drainDelay   = 5 * time.Second
	drainTimeout = 20 * time.Second
	drainSlack   = 5 * time.Second
)

// queueBytes that may wait for one slow client.
const queueBytes = 1 << 20

// planeConfig is the text of the plane's configuration, and of that part of it
// for which pods are made anew.
func planeConfig(g *v1alpha1.RealtimeGateway, in pattern.Inputs) (text, fixed string, err error) {
	config := planeconfig.Config{
		Kind:      Kind,
		Namespace: g.Namespace,
		Name:      g.Name,
		HTTP:      planeconfig.HTTP{AllowedOrigins: allowedOrigins(g), MaxBodyBytes: maxBody(g)},
		Auth:      authConfig(g),
		Engine:    engineConfig(g, in.Engine),
		Drain:     planeconfig.Drain{Delay: planeconfig.Duration(drainDelay), Timeout: planeconfig.Duration(drainTimeout)},
		Realtime:  realtimeConfig(g, in.Class),
	}
	whole, err := planeconfig.Encode(config)
	if err != nil {
		return "", "", err
	}
	part, err := planeconfig.Encode(config.Fixed())
	return string(whole), string(part), err
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

func authConfig(g *v1alpha1.RealtimeGateway) planeconfig.Auth {
	out := planeconfig.Auth{TokenFile: bindingDir + "/token", SigningKeyFile: keysDir + "/signing-key"}
	auth := g.Spec.Auth
	if auth == nil {
		return out
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
	return out
}

func engineConfig(g *v1alpha1.RealtimeGateway, engine *pattern.EngineInput) planeconfig.Engine {
	if engine == nil {
		return planeconfig.Engine{Type: string(v1alpha1.RealtimeMemory)}
	}
	return planeconfig.Engine{
		Type:       string(engine.Type),
		URIFile:    engineDir + "/uri",
		CAFile:     engineDir + "/ca.crt",
		Prefix:     "trellis:rtg:" + g.Name + ":",
		PrefixFile: keysDir + "/instance",
	}
}

// playground tells whether the page is served: where the gateway says nothing, the class decides.
func playground(g *v1alpha1.RealtimeGateway, class *v1alpha1.PatternClass) bool {
	if g.Spec.Playground != "" {
		return g.Spec.Playground == v1alpha1.PlaygroundEnabled
	}
	return class != nil && class.Spec.Plane.Playground == v1alpha1.PlaygroundPolicyEnabled
}

func realtimeConfig(g *v1alpha1.RealtimeGateway, class *v1alpha1.PatternClass) *planeconfig.Realtime {
	limits := g.Spec.Limits
	out := &planeconfig.Realtime{
		Playground: playground(g, class),
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
	for _, p := range g.Spec.Protocols {
		out.Protocols = append(out.Protocols, string(p))
	}
	return out
}
