package realtimegateway

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

type spec = v1alpha1.RealtimeGatewaySpec

// makeGateway makes one as the API server would fill it in.
func makeGateway(mutate ...func(*spec)) *v1alpha1.RealtimeGateway {
	g := &v1alpha1.RealtimeGateway{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "rooms"}}
	g.Spec.Protocols = []v1alpha1.RealtimeProtocol{v1alpha1.ProtocolSSE, v1alpha1.ProtocolWebSocket}
	g.Spec.Engine, g.Spec.Replicas = v1alpha1.RealtimeMemory, ptr.To[int32](1)
	g.Spec.History = v1alpha1.RealtimeHistory{Size: 256, TTL: &metav1.Duration{Duration: 5 * time.Minute}}
	g.Spec.Limits = v1alpha1.RealtimeLimits{
		ConnectionsPerClient: 1, RoomsPerConnection: 2, MessageBytes: 3, PublishPerSecond: 4, Connections: 5,
	}
	for _, m := range mutate {
		m(&g.Spec)
	}
	return g
}

func onRedis(s *spec) { s.Engine = v1alpha1.RealtimeRedis }

func auth(a v1alpha1.RealtimeAuth) func(*spec) { return func(s *spec) { s.Auth = &a } }

func suspended(s *spec) { s.Suspend = ptr.To(true) }

func TestNeeds(t *testing.T) {
	dedicated := &v1alpha1.EngineSelection{Sharing: v1alpha1.EngineDedicated}
	tests := []struct {
		name   string
		mutate func(*spec)
		want   pattern.Needs
	}{
		{"nothing", func(*spec) {}, pattern.Needs{EngineName: "Memory", Replicas: 1}},
		{"an engine", func(s *spec) { onRedis(s); s.EngineSelection, s.Replicas = dedicated, ptr.To[int32](4) }, pattern.Needs{
			EngineName: "Redis", Replicas: 4, Engine: &pattern.EngineNeed{Type: v1alpha1.EngineRedis, Selection: dedicated}}},
		{"a Secret", func(s *spec) {
			s.Auth = &v1alpha1.RealtimeAuth{JWT: &v1alpha1.JWTAuth{SecretRef: &v1alpha1.SecretKeyReference{Name: "issuer", Key: "key"}}}
		}, pattern.Needs{EngineName: "Memory", Replicas: 1,
			Secrets: []pattern.SecretNeed{{Name: "issuer", Key: "key", Field: "spec.auth.jwt.secretRef"}}}},
		{"a page to try it", func(s *spec) { s.Playground = v1alpha1.PlaygroundEnabled }, pattern.Needs{EngineName: "Memory", Replicas: 1, Playground: true}},
		{"no Secret for public keys", func(s *spec) {
			s.Auth = &v1alpha1.RealtimeAuth{JWT: &v1alpha1.JWTAuth{JWKSURL: "https://example.com"}}
		}, pattern.Needs{EngineName: "Memory", Replicas: 1}},
		{"routes", func(s *spec) { s.Exposure = &v1alpha1.Exposure{GatewayRef: &v1alpha1.GatewayExposure{Name: "public"}} },
			pattern.Needs{EngineName: "Memory", Replicas: 1,
				APIs: []schema.GroupVersionKind{{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"}}}},
		{"no routes for an Ingress", func(s *spec) { s.Exposure = &v1alpha1.Exposure{Ingress: &v1alpha1.IngressExposure{Host: "a"}} },
			pattern.Needs{EngineName: "Memory", Replicas: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, needs(makeGateway(tt.mutate), &v1alpha1.PatternClass{})); diff != "" {
				t.Errorf("needs (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPlaneConfig reads what is written as the plane does, which refuses what it could not serve.
func TestPlaneConfig(t *testing.T) {
	base := planeconfig.Config{
		Kind: "RealtimeGateway", Namespace: "apps", Name: "rooms",
		HTTP: planeconfig.HTTP{Address: ":8080", AdminAddress: ":8081", MaxBodyBytes: 1 << 20, MaxBodyBytesInFlight: 64 << 20, MaxInFlight: 1024},
		Auth: planeconfig.Auth{
			TokenFile: "/etc/trellis/binding/token", PreviousTokenFile: "/etc/trellis/binding/previousToken",
			SigningKeyFile: "/etc/trellis/keys/signing-key", PreviousSigningKeyFile: "/etc/trellis/keys/previousSigningKey",
		},
		Engine: planeconfig.Engine{Type: "Memory"},
		Drain:  planeconfig.Drain{Delay: planeconfig.Duration(5 * time.Second), Timeout: planeconfig.Duration(20 * time.Second)},
	}
	realtime := planeconfig.Realtime{
		Protocols: []string{"SSE", "WebSocket"},
		History:   planeconfig.History{Size: 256, TTL: planeconfig.Duration(5 * time.Minute)},
		Limits: planeconfig.Limits{
			ConnectionsPerClient: 1, RoomsPerConnection: 2, MessageBytes: 3, PublishPerSecond: 4, Connections: 5, QueueBytes: 1 << 20,
		},
	}
	tests := []struct {
		name   string
		mutate func(*spec)
		engine *pattern.EngineInput
		want   func(*planeconfig.Config)
	}{
		{"in memory", func(*spec) {}, nil, func(*planeconfig.Config) {}},
		{"on Redis", onRedis, &pattern.EngineInput{Type: v1alpha1.EngineRedis, Name: "c-redis"}, func(c *planeconfig.Config) {
			c.Engine = planeconfig.Engine{
				Type: "Redis", URIFile: "/etc/trellis/engine/uri", CAFile: "/etc/trellis/engine/ca.crt",
				Prefix: "trellis:rtg:rooms:", PrefixFile: "/etc/trellis/keys/instance",
			}
		}},
		{"large messages", func(s *spec) { s.Limits.MessageBytes = 1 << 20 }, nil, func(c *planeconfig.Config) {
			c.HTTP.MaxBodyBytes, c.Realtime.Limits.MessageBytes = 2<<20, 1<<20
		}},
		{"a page to try it", func(s *spec) { s.Playground = v1alpha1.PlaygroundEnabled }, nil, func(c *planeconfig.Config) {
			c.Realtime.Playground = true
		}},
		{"origins", auth(v1alpha1.RealtimeAuth{AllowedOrigins: []string{"*"}}), nil, func(c *planeconfig.Config) {
			c.HTTP.AllowedOrigins = []string{"*"}
		}},
		{"a shared secret", auth(v1alpha1.RealtimeAuth{JWT: &v1alpha1.JWTAuth{
			SecretRef: &v1alpha1.SecretKeyReference{Name: "issuer", Key: "key"}, Issuer: "i", Audience: "a",
		}}), nil, func(c *planeconfig.Config) {
			c.Auth.JWT = &planeconfig.JWT{SecretFile: "/etc/trellis/jwt/secret", Issuer: "i", Audience: "a"}
		}},
		{"public keys", auth(v1alpha1.RealtimeAuth{JWT: &v1alpha1.JWTAuth{JWKSURL: "https://example.com"}}), nil, func(c *planeconfig.Config) {
			c.Auth.JWT = &planeconfig.JWT{JWKSURL: "https://example.com"}
		}},
		{"presence", func(s *spec) { s.Presence = v1alpha1.PresenceEnabled }, nil, func(c *planeconfig.Config) {
			c.Realtime.Presence = true
		}},
		{"anonymous", auth(v1alpha1.RealtimeAuth{Anonymous: &v1alpha1.AnonymousAuth{Rooms: []string{"a*"}, Rights: []v1alpha1.RoomRight{"subscribe"}}}),
			nil, func(c *planeconfig.Config) {
				c.Auth.Anonymous = &planeconfig.Grant{Rooms: []string{"a*"}, Rights: []string{"subscribe"}}
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text, _, err := planeConfig(makeGateway(tt.mutate), pattern.Inputs{Engine: tt.engine})
			if err != nil {
				t.Fatal(err)
			}
			got, err := planeconfig.Decode([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			want, r := base, realtime
			want.Realtime = &r
			tt.want(&want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("configuration (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWhatRollsThePods changes one setting at a time: pods are made anew only for
// what the plane cannot take up while it runs.
func TestWhatRollsThePods(t *testing.T) {
	template := func(mutate ...func(*spec)) any {
		t.Helper()
		p, err := plan(makeGateway(mutate...), pattern.Inputs{Class: &v1alpha1.PatternClass{}})
		if err != nil {
			t.Fatal(err)
		}
		for _, child := range p.Children {
			if d, ok := child.Object.(*appsv1.Deployment); ok {
				return d.Spec.Template
			}
		}
		t.Fatal("the plan has no Deployment")
		return nil
	}
	before := template()
	for name, c := range map[string]struct {
		mutate func(*spec)
		rolls  bool
	}{
		"connectionsPerClient":   {func(s *spec) { s.Limits.ConnectionsPerClient = 7 }, false},
		"roomsPerConnection":     {func(s *spec) { s.Limits.RoomsPerConnection = 7 }, false},
		"publishPerSecond":       {func(s *spec) { s.Limits.PublishPerSecond = 7 }, false},
		"connections":            {func(s *spec) { s.Limits.Connections = 7 }, false},
		"allowedOrigins":         {auth(v1alpha1.RealtimeAuth{AllowedOrigins: []string{"*"}}), false},
		"anonymous":              {auth(v1alpha1.RealtimeAuth{Anonymous: &v1alpha1.AnonymousAuth{Rooms: []string{"a"}}}), false},
		"public keys":            {auth(v1alpha1.RealtimeAuth{JWT: &v1alpha1.JWTAuth{JWKSURL: "https://example.com"}}), false},
		"a secret to be mounted": {auth(v1alpha1.RealtimeAuth{JWT: &v1alpha1.JWTAuth{SecretRef: &v1alpha1.SecretKeyReference{Name: "issuer", Key: "key"}}}), true},
		"messageBytes":           {func(s *spec) { s.Limits.MessageBytes = 7 }, true},
		"history":                {func(s *spec) { s.History.Size = 7 }, true},
		"presence":               {func(s *spec) { s.Presence = v1alpha1.PresenceEnabled }, true},
		"protocols":              {func(s *spec) { s.Protocols = s.Protocols[:1] }, true},
	} {
		if rolled := !cmp.Equal(before, template(c.mutate)); rolled != c.rolls {
			t.Errorf("%s: pods made anew %v, want %v", name, rolled, c.rolls)
		}
	}
}

// pods are the living Deployment of a gateway, n of whose pods serve.
func pods(n int32) []client.Object {
	d := &appsv1.Deployment{}
	d.Spec.Replicas, d.Spec.Selector = &n, &metav1.LabelSelector{MatchLabels: map[string]string{"app": "rooms"}}
	d.Status = appsv1.DeploymentStatus{Replicas: n, UpdatedReplicas: n, AvailableReplicas: n}
	return []client.Object{&corev1.Service{}, d}
}

func TestObserve(t *testing.T) {
	inMemory := &pattern.Verdict{OK: true, Reason: "InMemory", Message: "rooms are in the memory of the pod and lost when it restarts"}
	serves := &pattern.Verdict{OK: true, Reason: "PlaneReady", Message: "all pods are ready"}
	tests := []struct {
		name    string
		gateway *v1alpha1.RealtimeGateway
		seen    pattern.Observed
		want    pattern.Health
		pods    int32
	}{
		{"in memory", makeGateway(), pattern.Observed{Children: pods(1)}, pattern.Health{Engine: inMemory, Plane: serves}, 1},
		{"on an Engine that is not there yet", makeGateway(onRedis), pattern.Observed{Children: pods(2)}, pattern.Health{
			Engine: &pattern.Verdict{Reason: "EngineNotReady", Message: "the Engine is being created"}, Plane: serves}, 2},
		{"suspended", makeGateway(suspended), pattern.Observed{Children: pods(0)}, pattern.Health{
			Engine: inMemory, Plane: &pattern.Verdict{Reason: "Suspended", Message: "spec.suspend is true: set it to false to serve again"}}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, observe(tt.gateway, tt.seen)); diff != "" {
				t.Errorf("health (-want +got):\n%s", diff)
			}
			scale := v1alpha1.ScaleStatus{Replicas: tt.pods, DesiredReplicas: tt.pods, SettledReplicas: tt.pods, Selector: "app=rooms"}
			if diff := cmp.Diff(scale, tt.gateway.Status.ScaleStatus); diff != "" {
				t.Errorf("scale (-want +got):\n%s", diff)
			}
		})
	}
}

// TestMemoryIsNeverTwice shows that no two pods hold the rooms of a gateway in memory, not even in a roll.
func TestMemoryIsNeverTwice(t *testing.T) {
	class := pattern.Inputs{Class: &v1alpha1.PatternClass{}}
	_, memory := deployment(makeGateway(), class, "")
	if got := memory.Spec.Strategy.Type; got != appsv1.RecreateDeploymentStrategyType {
		t.Errorf("in memory, pods roll by %s", got)
	}
	_, d := deployment(makeGateway(onRedis), class, "")
	redis := d.Spec.Strategy
	if redis.Type != appsv1.RollingUpdateDeploymentStrategyType || redis.RollingUpdate.MaxUnavailable.IntValue() != 0 {
		t.Errorf("on Redis, pods roll by %v", redis)
	}
}
