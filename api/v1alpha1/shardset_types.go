package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ShardSetSpec says which servers keep the state of which keys.
//
// A shard is a container of the user's now. Databases as shards, and a queue in which writes wait for a shard that is away, would
// be fields beside template and beside router: shards have no other way to be described here, so that these can be added.
//
// +kubebuilder:validation:XValidation:rule="self.shards <= self.partitions",message="shards are more than partitions, so that some would own none: lower shards to the number of partitions at most"
// +kubebuilder:validation:XValidation:rule="(self.strategy == 'Range') == has(self.range)",message="range is of the strategy Range, which needs it: set strategy to Range and range.splits, or remove range"
// +kubebuilder:validation:XValidation:rule="(self.strategy == 'Directory') == has(self.directory)",message="directory is of the strategy Directory, which needs it: set strategy to Directory and directory.entries, or remove directory"
// +kubebuilder:validation:XValidation:rule="!has(self.range) || size(self.range.splits) < self.partitions",message="range.splits make more ranges than there are partitions: remove some, or make the ShardSet with more partitions"
// +kubebuilder:validation:XValidation:rule="!has(self.directory) || self.directory.entries.all(k, self.directory.entries[k] < self.partitions)",message="an entry of the directory names a partition that does not exist: partitions are counted from 0, use a number below spec.partitions"
// +kubebuilder:validation:XValidation:rule="has(self.range) == has(oldSelf.range) && (!has(self.range) || self.range == oldSelf.range)",message="range.splits can not be changed, as keys would be in other partitions than their data: create another ShardSet with the splits that you need, and move the data; to move a range to another shard, pin its partition"
// +kubebuilder:validation:XValidation:rule="!has(self.pins) || self.pins.all(p, p.partition < self.partitions)",message="a pin names a partition that does not exist: partitions are counted from 0, use a number below spec.partitions"
// +kubebuilder:validation:XValidation:rule="!has(self.pins) || self.pins.all(p, p.shard < self.shards)",message="a pin names a shard that does not exist: shards are counted from 0, use a number below spec.shards, or remove the pin before that shard goes"
// +kubebuilder:validation:XValidation:rule="!has(self.weights) || self.weights.all(w, w.shard < self.shards)",message="a weight names a shard that does not exist: shards are counted from 0, use a number below spec.shards, or remove the weight before that shard goes"
// +kubebuilder:validation:XValidation:rule="has(self.storage) == has(oldSelf.storage)",message="storage is given to shards when they are made or not at all: create another ShardSet, and move the data"
// +kubebuilder:validation:XValidation:rule="!has(self.key.jwtClaim) || self.router.authentication == 'Token'",message="key.jwtClaim is a claim of a token that the router has verified, and router.authentication is None: set it to Token, or take the key from elsewhere"
// +kubebuilder:validation:XValidation:rule="!has(self.sinks) || size(self.sinks) == 0",message="a ShardSet sends no events: remove sinks"
type ShardSetSpec struct {
	PatternSpec `json:",inline"`

	// shards that there are to be, 1 to 100; the scale subresource sets it too. A shard that goes gives its partitions to the
	// others first. Default: 1.
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +kubebuilder:validation:XValidation:rule="self > 0",message="there is one shard at least: to stop all of them set suspend to true, which changes nothing of who owns what"
	Shards int32 `json:"shards,omitempty"`

	// partitions that keys are divided into, a power of two, 16 to 16384. It can not be changed: have ten times as many as there will
	// ever be shards. Default: 1024.
	// +optional
	// +default=1024
	// +kubebuilder:validation:Minimum=16
	// +kubebuilder:validation:Maximum=16384
	// +kubebuilder:validation:XValidation:rule="self in [16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384]",message="partitions must be a power of two: use 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192 or 16384"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="partitions can not be changed, as keys would be in other partitions than their data: create another ShardSet, and move the data"
	Partitions int32 `json:"partitions,omitempty"`

	// template is the container that each shard runs.
	// +required
	Template ShardTemplate `json:"template,omitzero"`

	// storage of each shard, a claim that outlives its pod. It can grow. Default: none, for state in memory alone.
	// +optional
	// +kubebuilder:validation:XValidation:rule="quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) >= 0",message="storage can grow and not shrink: set size as it was, or larger"
	// +kubebuilder:validation:XValidation:rule="has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",message="storageClassName can not be changed after creation: create another ShardSet, and move the data"
	Storage *ShardStorage `json:"storage,omitempty"`

	// key is where a request has its key, which can not be changed. How long it may be can.
	// +required
	// +kubebuilder:validation:XValidation:rule="has(self.header) && has(oldSelf.header) && self.header == oldSelf.header || has(self.query) && has(oldSelf.query) && self.query == oldSelf.query || has(self.path) && has(oldSelf.path) && self.path == oldSelf.path || has(self.cookie) && has(oldSelf.cookie) && self.cookie == oldSelf.cookie || has(self.jwtClaim) && has(oldSelf.jwtClaim) && self.jwtClaim == oldSelf.jwtClaim || has(self.jsonBody) && has(oldSelf.jsonBody) && self.jsonBody == oldSelf.jsonBody",message="where the key is can not be changed, as requests would reach other shards than their data: create another ShardSet, and move the data"
	Key ShardKey `json:"key,omitzero"`

	// strategy by which a key is of a partition: Hash of the key, Range of keys in their order, or a Directory that names them.
	// It can not be changed. Default: Hash.
	// +optional
	// +default="Hash"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="strategy can not be changed, as keys would be in other partitions than their data: create another ShardSet with the strategy that you need, and move the data"
	Strategy ShardStrategy `json:"strategy,omitempty"`

	// range says where ranges begin, for the strategy Range.
	// +optional
	Range *ShardRange `json:"range,omitempty"`

	// directory names the partitions of keys, for the strategy Directory.
	// +optional
	Directory *ShardDirectory `json:"directory,omitempty"`

	// pins of partitions to shards, whatever the balance, at most 100.
	// +optional
	// +listType=map
	// +listMapKey=partition
	// +kubebuilder:validation:MaxItems=100
	Pins []ShardPin `json:"pins,omitempty"`

	// weights of shards that are to own more than others, or less, at most 100. Default: 1 of each.
	// +optional
	// +listType=map
	// +listMapKey=shard
	// +kubebuilder:validation:MaxItems=100
	Weights []ShardWeight `json:"weights,omitempty"`

	// placement of the shards on nodes and zones.
	// +optional
	// +default={}
	Placement ShardPlacement `json:"placement,omitzero"`

	// router takes requests to the shards of their keys.
	// +optional
	// +default={}
	Router ShardRouter `json:"router,omitzero"`

	// resharding says what becomes of data when partitions move.
	// +required
	Resharding ShardResharding `json:"resharding,omitzero"`

	// domains are parts of the paths that other ShardSets of the namespace serve, at most 16.
	// +optional
	// +listType=map
	// +listMapKey=pathPrefix
	// +kubebuilder:validation:MaxItems=16
	Domains []ShardDomain `json:"domains,omitempty"`

	// exposure of the routers outside the cluster. Default: a ClusterIP Service.
	// +optional
	Exposure *Exposure `json:"exposure,omitempty"`
}

// ShardSetStatus says how the shards are. Its replicas are those of the shards.
type ShardSetStatus struct {
	PatternStatus `json:",inline"`
	ScaleStatus   `json:",inline"`

	// ring is the table of the partitions as it was last published.
	// +optional
	Ring *ShardRingStatus `json:"ring,omitempty"`
}

// ShardRingStatus says who owns the partitions.
type ShardRingStatus struct {
	// epoch of the table; while partitions move, that of a while ago.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Epoch int64 `json:"epoch,omitempty"`

	// members are the shards that own partitions.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Members int32 `json:"members,omitempty"`

	// partitionsMoving are those that are not yet where they are to be, rounded to two digits.
	// +optional
	// +kubebuilder:validation:Minimum=0
	PartitionsMoving int32 `json:"partitionsMoving,omitempty"`

	// imbalance is the most partitions of a shard against its share by weight, e.g. 1.0.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Imbalance string `json:"imbalance,omitempty"`

	// hottestPartitions get more than router.overload.hotPartitionPercent of the requests each, at most 10.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	// +kubebuilder:validation:items:Minimum=0
	HottestPartitions []int32 `json:"hottestPartitions,omitempty"`

	// failure is why a partition could not be moved the last time, while it is to move still: it is tried again. At most 512 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Failure string `json:"failure,omitempty"`

	// table is who owns which partition, in the binary form of docs/ring.md as base64, at most 65536 characters: where the published
	// one is lost, it is made anew from this. It is there while no partition is to move.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	Table string `json:"table,omitempty"`

	// history of memberships, the oldest first, at most 64: what table came from.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	History []ShardMembershipStatus `json:"history,omitempty"`
}

// ShardMembershipStatus says which shards there were from an epoch on.
type ShardMembershipStatus struct {
	// epoch of the table that they are the members of first.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Epoch int64 `json:"epoch,omitempty"`

	// shards that there were.
	// +required
	// +kubebuilder:validation:Minimum=1
	Shards int32 `json:"shards,omitempty"`

	// weights of those whose weight was not 1, at most 100.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	Weights []ShardWeight `json:"weights,omitempty"`
}

// ShardSet runs servers that keep state, and routes each request to the one that owns its key.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.shards,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:resource:shortName=shs,categories=patterns;trellis
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Shards",type=integer,JSONPath=`.status.replicas`
// +kubebuilder:printcolumn:name="Moving",type=integer,JSONPath=`.status.ring.partitionsMoving`
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.status.endpoints[0].url`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40 && !format.dns1123Label().validate(self.metadata.name).hasValue()",message="the name must be lower case letters, digits and '-', 40 characters at most: other names are made from it"
// +kubebuilder:validation:XValidation:rule="!has(self.spec.domains) || self.spec.domains.all(d, d.name != self.metadata.name)",message="a domain names this ShardSet itself, and requests would go round: remove it, or name another"
type ShardSet struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says which servers keep the state of which keys.
	// +required
	Spec ShardSetSpec `json:"spec,omitzero"`

	// status says how the shards are.
	// +optional
	// +default={"conditions":[{"type":"Ready","status":"Unknown","reason":"Pending","message":"the operator has not looked at it yet","lastTransitionTime":"1970-01-01T00:00:00Z"}]}
	Status ShardSetStatus `json:"status,omitzero"`
}

// GetPatternSpec implements Pattern.
func (s *ShardSet) GetPatternSpec() *PatternSpec { return &s.Spec.PatternSpec }

// GetPatternStatus implements Pattern.
func (s *ShardSet) GetPatternStatus() *PatternStatus { return &s.Status.PatternStatus }

// ShardSetList is a list of ShardSets.
//
// +kubebuilder:object:root=true
type ShardSetList struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`

	// items of the list.
	// +required
	Items []ShardSet `json:"items"`
}
