package planeconfig

// Headers between a router, a member and the container of a shard. A router takes them off what clients send.
const (
	// HeaderPartition is the number of the request's partition.
	HeaderPartition = "Trellis-Partition"
	// HeaderEpoch is the epoch of the table that the sender routed by; in an answer, that of the member's.
	HeaderEpoch = "Trellis-Epoch"
	// HeaderMemberToken is the members' token. It does not reach the container.
	HeaderMemberToken = "Trellis-Member-Token"
	// HeaderNotProcessed is "true" in what a member answers in the place of its container: the request did not reach it.
	HeaderNotProcessed = "Trellis-Not-Processed"
)

// ShardPath begins what routers and members serve of their own; all else is the container's.
const ShardPath = "/.trellis/v1"

// Keys of the ConfigMap in which a ShardSet's table is published.
const (
	// RingTableKey holds the table that is served by, as pkg/ring's JSON.
	RingTableKey = "table.json"
	// RingStateKey holds what the one who changes it must know besides.
	RingStateKey = "state.json"
)

// Shards configures a ShardSet's routers and its members.
type Shards struct {
	// RingConfigMap is the name of the ConfigMap that has the table, and MoverLease of the Lease of the one router that
	// changes it.
	RingConfigMap string `json:"ringConfigMap"`
	MoverLease    string `json:"moverLease"`
	// ConfigMap is the name of the one that has this configuration. The mover follows it by the API server, as a mounted file
	// comes late.
	ConfigMap string `json:"configMap"`
	// Partitions of the table.
	Partitions int `json:"partitions"`
	// Members that there are to be. Their IDs are the names of their pods.
	Members []ShardMember `json:"members"`
	// MembersService is the headless Service of the members: its EndpointSlices say where each of them is.
	MembersService string `json:"membersService"`
	// MemberTokenFile holds the token that members want from routers, MemberTokenFile's neighbour
	// KeyPreviousMemberToken the one before.
	MemberTokenFile string `json:"memberTokenFile"`
	// Published is true where there was a table at any time: one that is not there is lost, and none is made as for a new set.
	Published bool `json:"published,omitempty"`
	// Table is what is known of a lost one, in pkg/ring's binary form as base64: as it was when it was seen last; empty where
	// partitions were on their way then, and while there is one. History are its memberships, of which the first ones may be
	// missing.
	Table   string            `json:"table,omitempty"`
	History []ShardMembership `json:"history,omitempty"`

	Key        ShardKey        `json:"key"`
	Placement  ShardPlacement  `json:"placement"`
	Router     ShardRouter     `json:"router"`
	Resharding ShardResharding `json:"resharding"`
	// Domains are the other ShardSets that are reached through this one.
	Domains []ShardDomain `json:"domains,omitempty"`
	// Container is what a member runs.
	Container ShardContainer `json:"container"`
}

// KeyPreviousMemberToken holds the members' token before a rotation.
const KeyPreviousMemberToken = "previousMemberToken"

// ShardMember is one that is to own partitions.
type ShardMember struct {
	ID     string `json:"id"`
	Weight int    `json:"weight,omitempty"`
}

// ShardMembership says who the members were from an epoch on.
type ShardMembership struct {
	Epoch   uint64        `json:"epoch"`
	Members []ShardMember `json:"members"`
}

// ShardKey says where a request's key is. Exactly one is set.
type ShardKey struct {
	// Header, Query and Cookie are names.
	Header string `json:"header,omitempty"`
	Query  string `json:"query,omitempty"`
	Cookie string `json:"cookie,omitempty"`
	// Path is a pattern as of net/http with one wildcard {key}, e.g. "/counters/{key}/"; it may end in {rest...}.
	Path string `json:"path,omitempty"`
	// JWTClaim is the name of a claim of the verified bearer token.
	JWTClaim string `json:"jwtClaim,omitempty"`
	// JSONBody is a JSON pointer (RFC 6901) into the body, e.g. "/customer/id".
	JSONBody string `json:"jsonBody,omitempty"`
	// MaxBytes of a key; 1024 by default.
	MaxBytes int `json:"maxBytes,omitempty"`
	// MaxBodyBytes that are read of a body to find the key in it; 1 MiB by default.
	MaxBodyBytes int64 `json:"maxBodyBytes,omitempty"`
}

// ShardPlacement says which partition a key is of.
type ShardPlacement struct {
	// Strategy is "Hash", "Range" or "Directory".
	Strategy string `json:"strategy"`
	// Splits are the keys at which ranges begin, in order: partition i has the keys from Splits[i-1] up to Splits[i],
	// in the order of their bytes. For Range.
	Splits []string `json:"splits,omitempty"`
	// Directory says which partition a key is of. For Directory; a key that is not in it goes by its hash where
	// DirectoryFallback is "Hash", and is refused where it is "Refuse".
	Directory         map[string]int `json:"directory,omitempty"`
	DirectoryFallback string         `json:"directoryFallback,omitempty"`
	// Pins are members that own what they are asked to, whatever the balance: by partition, the member's ID.
	Pins map[int]string `json:"pins,omitempty"`
}

// ShardRouter bounds what a router does for a request.
type ShardRouter struct {
	// Authentication is "Token" or "None".
	Authentication string `json:"authentication"`
	// ConnectTimeout of a member; 1 s by default. RequestTimeout until its answer begins; 30 s by default.
	ConnectTimeout Duration `json:"connectTimeout,omitempty"`
	RequestTimeout Duration `json:"requestTimeout,omitempty"`
	// Retries of what may be sent again; none by default. RetryBudget is the share of requests that may be retries, in
	// percent; 20 by default.
	Retries     int           `json:"retries"`
	RetryBudget int           `json:"retryBudget,omitempty"`
	Overload    ShardOverload `json:"overload"`
}

// ShardOverload says what a router sheds where a member is slow.
type ShardOverload struct {
	// MinConcurrency, MaxConcurrency bound the requests that a member serves at once; between them the router adapts
	// to how long they take. 4 and 1000 by default.
	MinConcurrency int `json:"minConcurrency,omitempty"`
	MaxConcurrency int `json:"maxConcurrency,omitempty"`
	// Queue is how many requests may wait for a member, less than 0 for none, and QueueTimeout for how long; 100 and 1 s by
	// default.
	Queue        int      `json:"queue,omitempty"`
	QueueTimeout Duration `json:"queueTimeout,omitempty"`
	// PriorityHeader names the class of a request; PriorityExpression is a CEL expression that does. At most one is
	// set; what names no class is of DefaultClass.
	PriorityHeader     string `json:"priorityHeader,omitempty"`
	PriorityExpression string `json:"priorityExpression,omitempty"`
	// Classes from the most to the least important.
	Classes      []string `json:"classes,omitempty"`
	DefaultClass string   `json:"defaultClass,omitempty"`
	// HotPartition is the share of a ShardSet's requests, in percent, from which a partition is called hot; 20 by default.
	HotPartition int `json:"hotPartition,omitempty"`
}

// ShardResharding says how partitions move.
type ShardResharding struct {
	// Mode is "Hook" (the data is carried over) or "None" (a partition begins empty at its new owner).
	Mode string `json:"mode"`
	// ExportPath and ImportPath of the container, with {partition} in each.
	ExportPath string `json:"exportPath,omitempty"`
	ImportPath string `json:"importPath,omitempty"`
	// MaxMoving partitions at once; 1 by default.
	MaxMoving int `json:"maxMoving,omitempty"`
	// PauseLimit is how long a partition may be served by nobody before its move is given up and tried later; 10 s by
	// default. HeldRequests of moving partitions wait at each router, 1000 by default and none where it is below 0.
	PauseLimit   Duration `json:"pauseLimit,omitempty"`
	HeldRequests int      `json:"heldRequests,omitempty"`
	// Paused has no further move begin.
	Paused bool `json:"paused,omitempty"`
}

// ShardDomain is a part of the paths that another ShardSet serves.
type ShardDomain struct {
	// PathPrefix, e.g. "/orders/".
	PathPrefix string `json:"pathPrefix"`
	// URL of the other ShardSet's routers.
	URL string `json:"url"`
	// TokenFile of its binding.
	TokenFile string `json:"tokenFile,omitempty"`
}

// ShardContainer is the user's container, beside which a member runs in a pod.
type ShardContainer struct {
	// Port on localhost at which it serves HTTP/1.1 (WebSocket too) or, where H2C is true, HTTP/2.
	Port int  `json:"port"`
	H2C  bool `json:"h2c,omitempty"`
	// ReadyPath answers 2xx once it serves; empty where it is asked whether the port is open.
	ReadyPath string `json:"readyPath,omitempty"`
	// DrainTimeout is how long a request may be in flight when its partition is to move, or the pod to stop; 30 s by default.
	DrainTimeout Duration `json:"drainTimeout,omitempty"`
}
