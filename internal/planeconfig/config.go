// Package planeconfig is the typed configuration of a data plane: what a
// controller writes into the plane's ConfigMap and what trellis-plane reads.
//
// It is the only package that controllers and planes share besides api. It
// imports nothing of the tree but pkg/ring and holds no secret: secrets are named by the
// path of the file they are mounted at.
package planeconfig

import "time"

// FileName is the key of the plane's ConfigMap, and so the name of the file.
const FileName = "config.json"

// Ports of every plane.
const (
	// PortHTTP serves the pattern's contract.
	PortHTTP = 8080
	// PortAdmin serves /livez, /readyz and /metrics; the Service does not name it.
	PortAdmin = 8081
	// PortPeers serves the replicas of the same plane, where they speak to each other; the Service does not name it.
	PortPeers = 8082
)

// EnvPodIP is the environment variable with the IP address of a plane's pod.
const EnvPodIP = "TRELLIS_POD_IP"

// Keys of the Secrets that hold what was in use before a rotation.
const (
	KeyPreviousToken      = "previousToken"
	KeyPreviousSigningKey = "previousSigningKey"
	KeyPreviousPeerToken  = "previousPeerToken"
	// KeyPreviousWorkerToken is that of a queue's own workers.
	KeyPreviousWorkerToken = "previousWorkerToken"
	KeyPreviousPassword    = "previousPassword"
)

// EventsPath is where a plane receives CloudEvents, as the pattern's status.address says.
const EventsPath = "/v1/events"

// MetricConnections is the gauge of a plane's open connections, by protocol: what the operator scales by.
const MetricConnections = "trellis_plane_connections"

// Config is the whole configuration of one plane process.
type Config struct {
	// Kind is the pattern's kind, e.g. "RealtimeGateway".
	Kind string `json:"kind"`
	// Namespace and Name say which object this plane serves; they label metrics and traces.
	Namespace string `json:"namespace"`
	Name      string `json:"name"`

	HTTP    HTTP    `json:"http"`
	Auth    Auth    `json:"auth"`
	Engine  Engine  `json:"engine"`
	Drain   Drain   `json:"drain"`
	Tracing Tracing `json:"tracing,omitzero"`

	// Realtime is set when Kind is RealtimeGateway.
	Realtime *Realtime `json:"realtime,omitempty"`
	// Jobs is set when Kind is JobQueue.
	Jobs *Jobs `json:"jobs,omitempty"`
	// Blobs is set when Kind is BlobBucket.
	Blobs *Blobs `json:"blobs,omitempty"`
	// Shards is set when Kind is ShardSet.
	Shards *Shards `json:"shards,omitempty"`
}

// HTTP bounds the contract's server.
type HTTP struct {
	// Address to listen at, ":8080" by default.
	Address string `json:"address,omitempty"`
	// AdminAddress to listen at, ":8081" by default.
	AdminAddress string `json:"adminAddress,omitempty"`
	// MaxBodyBytes bounds a request's body; 1 MiB by default.
	MaxBodyBytes int64 `json:"maxBodyBytes,omitempty"`
	// MaxBodyBytesInFlight bounds the bodies of all requests that are served at once, together; 64 MiB by default, and
	// never less than MaxBodyBytes. What is read of a body is in memory a few times over while it is served.
	MaxBodyBytesInFlight int64 `json:"maxBodyBytesInFlight,omitempty"`
	// MaxInFlight bounds the requests served at once, held-open streams aside; 1024 by default.
	MaxInFlight int `json:"maxInFlight,omitempty"`
	// AllowedOrigins of browsers (CORS and WebSocket), as scheme://host[:port]
	// with * for one label or for everything. Empty: same origin only.
	AllowedOrigins []string `json:"allowedOrigins,omitempty"`
}

// Auth says who may do what.
type Auth struct {
	// TokenFile holds the binding's token: full rights.
	TokenFile string `json:"tokenFile"`
	// PreviousTokenFile, where there is such a file, holds the token before, which is accepted too;
	// KeyPreviousToken beside TokenFile by default.
	PreviousTokenFile string `json:"previousTokenFile,omitempty"`
	// SigningKeyFile holds the key (HS256) for client tokens that this plane mints.
	SigningKeyFile string `json:"signingKeyFile"`
	// WorkerTokenFile, where set, holds the token of a queue's own workers: they lease and end jobs, and no more.
	WorkerTokenFile string `json:"workerTokenFile,omitempty"`
	// PreviousWorkerTokenFile, where there is such a file, holds the one before; KeyPreviousWorkerToken beside
	// WorkerTokenFile by default.
	PreviousWorkerTokenFile string `json:"previousWorkerTokenFile,omitempty"`
	// PreviousSigningKeyFile, where there is such a file, holds the key before: tokens signed with it are accepted;
	// KeyPreviousSigningKey beside SigningKeyFile by default.
	PreviousSigningKeyFile string `json:"previousSigningKeyFile,omitempty"`
	// JWT, when set, admits client tokens of an outside issuer too.
	JWT *JWT `json:"jwt,omitempty"`
	// Anonymous, when set, gives those without a token these rights.
	Anonymous *Grant `json:"anonymous,omitempty"`
}

// JWT verifies the tokens of an outside issuer. One of SecretFile and JWKSURL is set.
type JWT struct {
	// SecretFile holds a shared secret (HS256, HS384, HS512).
	SecretFile string `json:"secretFile,omitempty"`
	// JWKSURL serves the public keys (RS*, PS*, ES*, EdDSA); fetched again on an unknown key id.
	JWKSURL string `json:"jwksURL,omitempty"`
	// Issuer and Audience, when set, must match the claims iss and aud.
	Issuer   string `json:"issuer,omitempty"`
	Audience string `json:"audience,omitempty"`
}

// Grant is a set of rooms and what may be done there.
type Grant struct {
	// Rooms are names, or prefixes that end in *.
	Rooms []string `json:"rooms"`
	// Rights are "subscribe", "publish" and "presence".
	Rights []string `json:"rights"`
}

// Engine says where the state is.
type Engine struct {
	// Type is "Memory" or the type of an Engine, e.g. "Redis".
	Type string `json:"type"`
	// URIFile holds the connection URI; empty for Memory. A file KeyPreviousPassword beside it holds the
	// password before a rotation: it is used where the URI's is refused.
	URIFile string `json:"uriFile,omitempty"`
	// CAFile holds PEM certificates that the engine's TLS certificate is checked against. Where it
	// is empty or there is no such file, the system's are used.
	CAFile string `json:"caFile,omitempty"`
	// Prefix of every key, so that patterns can share an engine.
	Prefix string `json:"prefix,omitempty"`
	// PrefixFile, when set, holds a text that is appended to Prefix, with ":" after it.
	PrefixFile string `json:"prefixFile,omitempty"`
}

// Drain bounds a graceful stop. The pod's grace period is longer than both together.
type Drain struct {
	// Delay between the failing of /readyz and the closing of the listener, so that endpoints are updated first.
	Delay Duration `json:"delay,omitempty"`
	// Timeout for what is in flight.
	Timeout Duration `json:"timeout,omitempty"`
}

// Tracing exports OpenTelemetry spans; off when Endpoint is empty.
type Tracing struct {
	// Endpoint is an OTLP/HTTP base URL.
	Endpoint string `json:"endpoint,omitempty"`
	// SampleRatio of new traces, 0 to 1.
	SampleRatio float64 `json:"sampleRatio,omitempty"`
}

// Realtime configures the realtime plane.
type Realtime struct {
	// Protocols served: "Polling", "LongPolling", "SSE", "WebSocket".
	Protocols []string `json:"protocols"`
	History   History  `json:"history"`
	Limits    Limits   `json:"limits"`
	// Playground serves a page at / on which rooms are tried by hand.
	Playground bool `json:"playground,omitempty"`
	// Presence has the plane keep who follows each room.
	Presence bool `json:"presence,omitempty"`
	// Stateful, where it is set, gives each room one owner among the replicas. It needs an engine.
	Stateful *Stateful `json:"stateful,omitempty"`
}

// Stateful configures how the replicas of a realtime plane find a room's owner and each other.
type Stateful struct {
	// Address that a replica serves its peers at; ":8082" by default. They reach it at the IP address of its pod, from
	// the environment variable EnvPodIP or, where that is not set, at the address that it listens at.
	Address string `json:"address,omitempty"`
	// Partitions of the table; 1024 by default. It can not change while rooms are kept.
	Partitions int `json:"partitions,omitempty"`
	// TokenFile holds what replicas show each other, and the file PreviousTokenFile, where there is one, what they did before.
	TokenFile         string `json:"tokenFile"`
	PreviousTokenFile string `json:"previousTokenFile,omitempty"`
}

// History is what a room keeps for those that resume.
type History struct {
	// Size is the most messages kept a room.
	Size int `json:"size"`
	// TTL is how long a message is kept.
	TTL Duration `json:"ttl"`
}

// Limits bound what one client can cost.
type Limits struct {
	// ConnectionsPerClient bounds the open streams and sockets of one token subject or, without one, of one address.
	ConnectionsPerClient int `json:"connectionsPerClient"`
	// RoomsPerConnection bounds the subscriptions of one connection.
	RoomsPerConnection int `json:"roomsPerConnection"`
	// MessageBytes bounds one message's data, in bytes.
	MessageBytes int64 `json:"messageBytes"`
	// PublishPerSecond bounds the messages that one client may publish.
	PublishPerSecond int `json:"publishPerSecond"`
	// Connections bounds the open streams and sockets of one replica.
	Connections int `json:"connections"`
	// QueueBytes bounds what waits for a slow client before it is cut.
	QueueBytes int `json:"queueBytes"`
}

// Duration is a time.Duration written as "1m30s".
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}
