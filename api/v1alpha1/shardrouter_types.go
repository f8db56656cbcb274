package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ShardAuthentication says whom a router serves.
//
// +kubebuilder:validation:Enum=Token;None
type ShardAuthentication string

// ShardRouter takes requests to the shards of their keys.
type ShardRouter struct {
	// replicas of the router, 1 to 100. Default: 2.
	// +optional
	// +default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Replicas *int32 `json:"replicas,omitempty"`

	// authentication is Token, which asks for the binding's token or one that was made with it, or None, where the container itself
	// or something before the router asks. Default: Token.
	// +optional
	// +default="Token"
	Authentication ShardAuthentication `json:"authentication,omitempty"`

	// timeouts of a request.
	// +optional
	// +default={}
	Timeouts ShardTimeouts `json:"timeouts,omitzero"`

	// retries of what may be sent again.
	// +optional
	// +default={}
	Retries ShardRetries `json:"retries,omitzero"`

	// overload says what is refused where a shard is slow.
	// +optional
	// +default={}
	Overload ShardOverload `json:"overload,omitzero"`
}

// ShardTimeouts of a request.
type ShardTimeouts struct {
	// connect to a shard within 10ms to 1m. Default: 1s.
	// +optional
	// +default="1s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10ms') && duration(self) <= duration('1m')",message="connect must be between 10ms and 1m"
	Connect *metav1.Duration `json:"connect,omitempty"`

	// request is how long a shard may take until its answer begins, 100ms to 1h. Default: 30s.
	// +optional
	// +default="30s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('100ms') && duration(self) <= duration('1h')",message="request must be between 100ms and 1h"
	Request *metav1.Duration `json:"request,omitempty"`
}

// ShardRetries of what may be sent again: what has not reached a shard, GET, HEAD and OPTIONS, and what has an Idempotency-Key.
type ShardRetries struct {
	// attempts after the first one, 0 to 10. Default: 2.
	// +optional
	// +default=2
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10
	Attempts *int32 `json:"attempts,omitempty"`

	// budgetPercent is the share of the requests that may be retries, 1 to 100. Default: 20.
	// +optional
	// +default=20
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	BudgetPercent int32 `json:"budgetPercent,omitempty"`
}

// ShardOverload says what is refused where a shard is slow.
//
// +kubebuilder:validation:XValidation:rule="!has(self.minConcurrency) || !has(self.maxConcurrency) || self.minConcurrency <= self.maxConcurrency",message="minConcurrency is above maxConcurrency: lower it, or raise maxConcurrency"
type ShardOverload struct {
	// minConcurrency is how many requests a shard is given at once at least, however slow it is, 1 to 10000. Default: 4.
	// +optional
	// +default=4
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	MinConcurrency int32 `json:"minConcurrency,omitempty"`

	// maxConcurrency is how many it is given at most, 1 to 10000; between them each router follows how long requests take. Default: 1000.
	// +optional
	// +default=1000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	MaxConcurrency int32 `json:"maxConcurrency,omitempty"`

	// queue is how many requests may wait for a shard at each router, 0 to 10000. Default: 100.
	// +optional
	// +default=100
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	Queue *int32 `json:"queue,omitempty"`

	// queueTimeout is how long they wait before they are refused, 10ms to 1m. Default: 1s.
	// +optional
	// +default="1s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10ms') && duration(self) <= duration('1m')",message="queueTimeout must be between 10ms and 1m"
	QueueTimeout *metav1.Duration `json:"queueTimeout,omitempty"`

	// priority of requests: the less important are refused first. Default: all are the same.
	// +optional
	Priority *ShardPriority `json:"priority,omitempty"`

	// hotPartitionPercent is the share of the requests from which a partition is called hot, 1 to 100. Default: 20.
	// +optional
	// +default=20
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	HotPartitionPercent int32 `json:"hotPartitionPercent,omitempty"`
}

// ShardPriority says which class a request is of.
//
// +kubebuilder:validation:XValidation:rule="has(self.header) != has(self.expression)",message="a request's class is named by a header or by an expression: set exactly one of priority.header and priority.expression"
// +kubebuilder:validation:XValidation:rule="!has(self.defaultClass) || self.defaultClass in self.classes",message="priority.defaultClass is none of priority.classes: name one of them"
type ShardPriority struct {
	// header of a request that names its class, 128 characters at most.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9-]+$') && !self.lowerAscii().startsWith('trellis-')",message="priority.header is letters, digits and '-', and begins not with Trellis-: use one such as X-Priority"
	Header string `json:"header,omitempty"`

	// expression in CEL that is the class of a request, e.g. request.method == 'GET' ? 'low' : 'high', 4096 characters at most.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Expression string `json:"expression,omitempty"`

	// classes from the most to the least important, 1 to 8 of 63 characters at most.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.all(c, self.exists_one(o, o == c))",message="priority.classes has a class twice: remove one"
	Classes []string `json:"classes,omitempty"`

	// defaultClass of a request that names none, 63 characters at most. Default: the least important.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	DefaultClass string `json:"defaultClass,omitempty"`
}

// ShardReshardingMode says what becomes of the data of a partition that moves.
//
// +kubebuilder:validation:Enum=Hook;None
type ShardReshardingMode string

const (
	// ReshardByHook carries it from the container that had the partition to the one that gets it.
	ReshardByHook ShardReshardingMode = "Hook"
	// ReshardNothing has the partition begin empty.
	ReshardNothing ShardReshardingMode = "None"
)

// ShardResharding says what becomes of data when partitions move.
//
// +kubebuilder:validation:XValidation:rule="(self.mode == 'Hook') == has(self.hook)",message="mode Hook carries data over by resharding.hook, and None does not: set mode to Hook and hook.exportPath and hook.importPath, or set mode to None and remove hook"
type ShardResharding struct {
	// mode is Hook, which carries the data of a partition over by the container's own paths, or None, which has it begin empty at its
	// new shard, for what is a cache or is kept elsewhere.
	// +required
	Mode ShardReshardingMode `json:"mode,omitempty"`

	// hook of the container, for the mode Hook.
	// +optional
	Hook *ShardHook `json:"hook,omitempty"`

	// maxMoving is how many partitions move at once, 1 to 64. Default: 1.
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	MaxMoving int32 `json:"maxMoving,omitempty"`

	// pauseLimit is how long a partition may be served by nobody before its move is given up, and tried again later, 100ms to 10m.
	// Default: 10s.
	// +optional
	// +default="10s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('100ms') && duration(self) <= duration('10m')",message="pauseLimit must be between 100ms and 10m"
	PauseLimit *metav1.Duration `json:"pauseLimit,omitempty"`

	// heldRequests of moving partitions wait at each router, 0 to 100000; more are refused. Default: 1000.
	// +optional
	// +default=1000
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000
	HeldRequests *int32 `json:"heldRequests,omitempty"`

	// paused has no further partition begin to move, while it is true. Default: false.
	// +optional
	Paused *bool `json:"paused,omitempty"`
}

// ShardHook are paths of the container, each with {partition} for the number of the partition.
type ShardHook struct {
	// exportPath answers GET with all of a partition, and forgets it at DELETE, 1024 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^/([^/ #][^ #]*)?$') && self.contains('{partition}')",message="exportPath begins with one / and has {partition} in it, and no blank or #: use one such as /partitions/{partition}"
	ExportPath string `json:"exportPath,omitempty"`

	// importPath takes, by PUT, what exportPath of another shard answered, in the place of what there was, 1024 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^/([^/ #][^ #]*)?$') && self.contains('{partition}')",message="importPath begins with one / and has {partition} in it, and no blank or #: use one such as /partitions/{partition}"
	ImportPath string `json:"importPath,omitempty"`
}
