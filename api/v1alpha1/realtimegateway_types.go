package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RealtimeProtocol is a way in which updates reach a client.
//
// +kubebuilder:validation:Enum=Polling;LongPolling;SSE;WebSocket
type RealtimeProtocol string

// The protocols of a RealtimeGateway.
const (
	ProtocolPolling     RealtimeProtocol = "Polling"
	ProtocolLongPolling RealtimeProtocol = "LongPolling"
	ProtocolSSE         RealtimeProtocol = "SSE"
	ProtocolWebSocket   RealtimeProtocol = "WebSocket"
)

// RealtimeEngine is where a gateway keeps its rooms.
//
// +kubebuilder:validation:Enum=Memory;Redis
type RealtimeEngine string

const (
	// RealtimeMemory keeps rooms in the one pod.
	RealtimeMemory RealtimeEngine = "Memory"
	// RealtimeRedis keeps rooms in an Engine of type Redis.
	RealtimeRedis RealtimeEngine = "Redis"
)

// RealtimePresence says whether a gateway keeps who follows each room.
//
// +kubebuilder:validation:Enum=Enabled;Disabled
type RealtimePresence string

const (
	// PresenceEnabled keeps who follows each room.
	PresenceEnabled RealtimePresence = "Enabled"
	// PresenceDisabled keeps nothing of it.
	PresenceDisabled RealtimePresence = "Disabled"
)

// DeliveryMode is how messages find the pods that hold their receivers.
//
// +kubebuilder:validation:Enum=PubSub;Stateful
type DeliveryMode string

const (
	// DeliveryPubSub sends messages through the engine to every pod with a receiver.
	DeliveryPubSub DeliveryMode = "PubSub"
	// DeliveryStateful gives each room one owning pod.
	DeliveryStateful DeliveryMode = "Stateful"
)

// RealtimeGatewaySpec says how updates reach clients.
//
// +kubebuilder:validation:XValidation:rule="(has(self.engine) && self.engine != 'Memory') || !has(self.replicas) || self.replicas <= 1",message="engine Memory keeps rooms inside one pod, so replicas must be 1 or 0: set engine to Redis to run more"
// +kubebuilder:validation:XValidation:rule="(has(self.engine) && self.engine != 'Memory') || !has(self.engineSelection)",message="engine Memory uses no Engine: remove engineSelection, or set engine to Redis"
// +kubebuilder:validation:XValidation:rule="!has(self.sinks) || size(self.sinks) == 0",message="sinks are not served by RealtimeGateway in this version: remove sinks"
// +kubebuilder:validation:XValidation:rule="(has(self.engine) && self.engine != 'Memory') || !has(self.scaling)",message="engine Memory keeps rooms inside one pod, so it can not scale: set engine to Redis, or remove scaling"
// +kubebuilder:validation:XValidation:rule="!has(self.scaling) || !has(self.replicas) || self.replicas == 1 || (self.replicas >= self.scaling.minReplicas && self.replicas <= self.scaling.maxReplicas)",message="scaling chooses the number of replicas: remove replicas, or set one from minReplicas to maxReplicas to start with; suspend stops all"
// +kubebuilder:validation:XValidation:rule="!has(self.scaling) || self.scaling.connectionsPerReplica <= self.limits.connections",message="scaling.connectionsPerReplica is above limits.connections, so replicas would turn clients away before there are more: lower it, or raise limits.connections"
// +kubebuilder:validation:XValidation:rule="!has(self.delivery) || !has(self.delivery.mode) || self.delivery.mode != 'Stateful' || (has(self.engine) && self.engine != 'Memory')",message="delivery.mode Stateful keeps what a fail-over of a room needs in an engine: set engine to Redis, or the mode to PubSub"
type RealtimeGatewaySpec struct {
	PatternSpec `json:",inline"`

	// protocols served. Default: Polling, LongPolling, SSE and WebSocket.
	// +optional
	// +listType=set
	// +default=["Polling","LongPolling","SSE","WebSocket"]
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	Protocols []RealtimeProtocol `json:"protocols,omitempty"`

	// delivery says how messages find the pods that hold their receivers.
	// +optional
	Delivery *RealtimeDelivery `json:"delivery,omitempty"`

	// engine keeps the rooms: Memory in the one pod, lost when it restarts; Redis in an Engine, which
	// lets replicas be more than 1. Default: Memory.
	// +optional
	// +default="Memory"
	Engine RealtimeEngine `json:"engine,omitempty"`

	// engineSelection says which Engine is used. Default: the shared one of the namespace and class.
	// +optional
	EngineSelection *EngineSelection `json:"engineSelection,omitempty"`

	// history that a room keeps for clients that resume.
	// +optional
	// +default={}
	History RealtimeHistory `json:"history,omitzero"`

	// auth of clients, besides the tokens of the binding.
	// +optional
	Auth *RealtimeAuth `json:"auth,omitempty"`

	// limits of what one client can cost.
	// +optional
	// +default={}
	Limits RealtimeLimits `json:"limits,omitzero"`

	// presence keeps who follows each room, to be read with the right to: Enabled or Disabled. With Redis
	// it costs a write when a connection joins or leaves a room, one more every 25 seconds, and about
	// 300 bytes of the engine's memory for each room of each connection. Default: Disabled.
	// +optional
	// +default="Disabled"
	Presence RealtimePresence `json:"presence,omitempty"`

	// scaling lets Trellis choose the number of replicas by their connections. Default: replicas decides.
	// +optional
	Scaling *RealtimeScaling `json:"scaling,omitempty"`

	// replicas of the plane, 0 to 1000; the scale subresource sets it too. With scaling it is only what
	// is started with. Default: 1.
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Replicas *int32 `json:"replicas,omitempty"`

	// exposure outside the cluster. Default: a ClusterIP Service.
	// +optional
	Exposure *Exposure `json:"exposure,omitempty"`

	// playground is Enabled or Disabled: a page at / of the gateway on which rooms are tried by hand.
	// Default: Disabled, unless the class enables it.
	// +optional
	Playground Playground `json:"playground,omitempty"`
}

// Playground says whether a gateway has a page to try it by hand.
//
// +kubebuilder:validation:Enum=Enabled;Disabled
type Playground string

const (
	// PlaygroundEnabled serves the page.
	PlaygroundEnabled Playground = "Enabled"
	// PlaygroundDisabled serves none.
	PlaygroundDisabled Playground = "Disabled"
)

// RealtimeDelivery says how messages find the pods that hold their receivers.
type RealtimeDelivery struct {
	// mode is PubSub: any pod publishes in any room, by the engine. Or Stateful: each room has one owning pod, in
	// which its operations get their order and its newest messages stay in memory, and which another takes over from when
	// it is gone; it needs engine Redis. Default: PubSub.
	// +optional
	// +default="PubSub"
	Mode DeliveryMode `json:"mode,omitempty"`
}

// RealtimeHistory is what a room keeps.
type RealtimeHistory struct {
	// size is the most messages that a room keeps, 1 to 10000. Default: 256.
	// +optional
	// +default=256
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Size int32 `json:"size,omitempty"`

	// ttl is how long a message is kept, 1s to 168h. Default: 5m.
	// +optional
	// +default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('168h')",message="ttl must be between 1s and 168h"
	TTL *metav1.Duration `json:"ttl,omitempty"`
}

// RealtimeAuth says who may use the gateway besides the holders of its binding.
type RealtimeAuth struct {
	// jwt admits client tokens of an issuer of yours.
	// +optional
	JWT *JWTAuth `json:"jwt,omitempty"`

	// anonymous gives clients without a token these rights. Default: none.
	// +optional
	Anonymous *AnonymousAuth `json:"anonymous,omitempty"`

	// allowedOrigins of browsers, as scheme://host[:port] with * for one label, or * for all; at most 32.
	// Default: the gateway's own origin.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.all(o, o == '*' || o.matches('^https?://[A-Za-z0-9.*-]+(:[0-9]{1,5})?$'))",message="an origin is scheme://host[:port] with http or https and no path, e.g. https://app.example.com, with * for a label, or * for all"
	AllowedOrigins []string `json:"allowedOrigins,omitempty"`
}

// JWTAuth verifies tokens of an outside issuer.
//
// +kubebuilder:validation:XValidation:rule="has(self.secretRef) != has(self.jwksURL)",message="set exactly one of secretRef (shared secret) and jwksURL (public keys)"
type JWTAuth struct {
	// secretRef names a key of a Secret that holds the shared secret (HS256, HS384, HS512), 32 bytes at least.
	// +optional
	SecretRef *SecretKeyReference `json:"secretRef,omitempty"`

	// jwksURL serves the public keys, http or https, 2048 characters at most.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https']",message="jwksURL must be an absolute http or https URL"
	JWKSURL string `json:"jwksURL,omitempty"`

	// issuer that the claim iss must equal, 253 characters at most. Default: not checked.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Issuer string `json:"issuer,omitempty"`

	// audience that the claim aud must contain, 253 characters at most. Default: not checked.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Audience string `json:"audience,omitempty"`
}

// RoomRight is what may be done in a room.
//
// +kubebuilder:validation:Enum=subscribe;publish
type RoomRight string

// AnonymousAuth is what those without a token may do.
type AnonymousAuth struct {
	// rooms by name, or by a prefix that ends in *; at most 32.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.all(r, !r.contains('*') || r.indexOf('*') == size(r) - 1)",message="a room is a name, or a prefix that ends in *: remove the other *"
	Rooms []string `json:"rooms,omitempty"`

	// rights in those rooms: subscribe, publish. Default: subscribe.
	// +optional
	// +listType=set
	// +default=["subscribe"]
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	Rights []RoomRight `json:"rights,omitempty"`
}

// RealtimeLimits bound what one client can cost.
type RealtimeLimits struct {
	// connectionsPerClient is the most open streams and sockets of one token subject or, without a
	// token, of one address: 1 to 100000. Default: 64.
	// +optional
	// +default=64
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	ConnectionsPerClient int32 `json:"connectionsPerClient,omitempty"`

	// roomsPerConnection is the most rooms of one connection, 1 to 1000. Default: 32.
	// +optional
	// +default=32
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	RoomsPerConnection int32 `json:"roomsPerConnection,omitempty"`

	// messageBytes is the most bytes of one message's data, 1 to 1048576. Default: 65536.
	// +optional
	// +default=65536
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1048576
	MessageBytes int32 `json:"messageBytes,omitempty"`

	// publishPerSecond is the most messages that one client may publish in a second, 1 to 1000000.
	// Default: 1000.
	// +optional
	// +default=1000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	PublishPerSecond int32 `json:"publishPerSecond,omitempty"`

	// connections is the most open streams and sockets of one replica, 1 to 1000000. Default: 10000.
	// +optional
	// +default=10000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	Connections int32 `json:"connections,omitempty"`
}

// RealtimeGatewayStatus says how a gateway is.
type RealtimeGatewayStatus struct {
	PatternStatus `json:",inline"`
	ScaleStatus   `json:",inline"`
}

// RealtimeGateway pushes updates to clients that poll, long-poll, stream over Server-Sent Events or
// hold a WebSocket, in one order a room.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:resource:shortName=rtg,categories=patterns;trellis
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Engine",type=string,JSONPath=`.spec.engine`
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.status.endpoints[0].url`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40 && !format.dns1123Label().validate(self.metadata.name).hasValue()",message="the name must be lower case letters, digits and '-', 40 characters at most: other names are made from it"
type RealtimeGateway struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says how updates reach clients.
	// +optional
	// +default={}
	Spec RealtimeGatewaySpec `json:"spec,omitzero"`

	// status says how the gateway is.
	// +optional
	// +default={"conditions":[{"type":"Ready","status":"Unknown","reason":"Pending","message":"the operator has not looked at it yet","lastTransitionTime":"1970-01-01T00:00:00Z"}]}
	Status RealtimeGatewayStatus `json:"status,omitzero"`
}

// GetPatternSpec implements Pattern.
func (g *RealtimeGateway) GetPatternSpec() *PatternSpec { return &g.Spec.PatternSpec }

// GetPatternStatus implements Pattern.
func (g *RealtimeGateway) GetPatternStatus() *PatternStatus { return &g.Status.PatternStatus }

// RealtimeGatewayList is a list of RealtimeGateways.
//
// +kubebuilder:object:root=true
type RealtimeGatewayList struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`

	// items of the list.
	// +required
	Items []RealtimeGateway `json:"items"`
}
