package v1alpha1

import "k8s.io/apimachinery/pkg/api/resource"

// ShardStrategy says by what a key is of a partition.
//
// +kubebuilder:validation:Enum=Hash;Range;Directory
type ShardStrategy string

const (
	// ShardByHash spreads keys evenly.
	ShardByHash ShardStrategy = "Hash"
	// ShardByRange keeps keys together that are next to each other.
	ShardByRange ShardStrategy = "Range"
	// ShardByDirectory has each key where it was put.
	ShardByDirectory ShardStrategy = "Directory"
)

// ShardKey is where a request has its key.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="(has(self.header) ? 1 : 0) + (has(self.query) ? 1 : 0) + (has(self.path) ? 1 : 0) + (has(self.cookie) ? 1 : 0) + (has(self.jwtClaim) ? 1 : 0) + (has(self.jsonBody) ? 1 : 0) == 1",message="a key is in one place: set exactly one of key.header, key.query, key.path, key.cookie, key.jwtClaim and key.jsonBody"
// +kubebuilder:validation:XValidation:rule="has(self.jsonBody) || !has(self.maxBody)",message="maxBody is of key.jsonBody: remove it"
type ShardKey struct {
	// header of the request that has the key, 128 characters at most.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9-]+$') && !self.lowerAscii().startsWith('trellis-') && !(self.lowerAscii() in ['host', 'connection', 'content-length', 'transfer-encoding', 'upgrade', 'authorization', 'cookie'])",message="key.header is letters, digits and '-', begins not with Trellis-, and is none of HTTP's own: use one such as X-Account"
	Header string `json:"header,omitempty"`

	// query parameter that has the key, 128 characters at most.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Query string `json:"query,omitempty"`

	// path in which {key} stands for the segment that is the key, e.g. /counters/{key} or /carts/{key}/{rest...}, 1024 characters at most.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^(/[^/ ?#{}]*)*/[{]key[}](/[^/ ?#{}]*)*(/[{]([A-Za-z_][A-Za-z0-9_]*[.][.][.]|[$])[}])?$')",message="key.path begins with / and has {key} once, as a segment of its own, and no wildcard besides but {rest...} at its end: use one such as /counters/{key}"
	Path string `json:"path,omitempty"`

	// cookie that has the key, 128 characters at most.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_.-]+$')",message="key.cookie is letters, digits, '_', '.' and '-'"
	Cookie string `json:"cookie,omitempty"`

	// jwtClaim of the bearer token that has the key, e.g. sub, 128 characters at most.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	JWTClaim string `json:"jwtClaim,omitempty"`

	// jsonBody is a JSON pointer (RFC 6901) to the key in the body, e.g. /customer/id, 1024 characters at most.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^(/([^/~]|~[01])*)+$')",message="key.jsonBody is a JSON pointer, which begins with / and has ~0 for ~ in a name, and ~1 for /: use one such as /customer/id"
	JSONBody string `json:"jsonBody,omitempty"`

	// maxBytes of a key, 1 to 8192; a request with a longer one is refused. Default: 1024.
	// +optional
	// +default=1024
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=8192
	MaxBytes int32 `json:"maxBytes,omitempty"`

	// maxBody is how many bytes of a body are read to find jsonBody in it, above 0; a request with a larger one is refused. Default: 1Mi.
	// +optional
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0')) && quantity(string(self)).compareTo(quantity('64Mi')) <= 0",message="maxBody must be above 0 and at most 64Mi"
	MaxBody *resource.Quantity `json:"maxBody,omitempty"`
}

// ShardRange says where ranges begin.
type ShardRange struct {
	// splits are the keys at which the second range and the later ones begin, in the order of their bytes, 1 to 1023 of 256
	// characters at most. The first range is partition 0. They can not be changed.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1023
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.isSorted()",message="splits are not in order: sort them, by the order of their bytes, the lowest first"
	Splits []string `json:"splits,omitempty"`
}

// ShardFallback says what becomes of a key that a directory does not name.
//
// +kubebuilder:validation:Enum=Hash;Refuse
type ShardFallback string

// ShardPartition is the number of a partition, from 0.
//
// +kubebuilder:validation:Minimum=0
// +kubebuilder:validation:Maximum=16383
type ShardPartition int32

// ShardDirectory names the partitions of keys.
//
// +kubebuilder:validation:XValidation:rule="oldSelf.entries.all(k, k in self.entries && self.entries[k] == oldSelf.entries[k])",message="an entry of the directory can not be changed or removed, as the data of its key would stay behind: pin its partition to the shard where it is to be, or create another ShardSet and move the data"
// +kubebuilder:validation:XValidation:rule="oldSelf.fallback == 'Refuse' || (self.fallback == 'Hash' && size(self.entries) == size(oldSelf.entries))",message="with fallback Hash every key is in a partition already, and the data of a new entry's key would stay behind: pin the key's partition, or create another ShardSet and move the data"
type ShardDirectory struct {
	// entries are the partitions by key, 1 to 1000 with keys of 256 characters at most. Keys that share a partition move together.
	// Entries can be added where fallback is Refuse, and neither changed nor removed.
	// +required
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=1000
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) > 0 && size(k) <= 256)",message="a key of the directory is longer than 256 characters, or empty: shorten it"
	Entries map[string]ShardPartition `json:"entries,omitempty"`

	// fallback of a key that is not among the entries: Refuse it with 404, or place it by its Hash. Default: Refuse.
	// +optional
	// +default="Refuse"
	Fallback ShardFallback `json:"fallback,omitempty"`
}

// ShardPin has a shard own a partition.
type ShardPin struct {
	// partition that is pinned, 0 to 16383.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=16383
	Partition *int32 `json:"partition,omitempty"`

	// shard that owns it, 0 to 99.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=99
	Shard *int32 `json:"shard,omitempty"`
}

// ShardWeight has a shard own more than others, or less.
type ShardWeight struct {
	// shard that it is of, 0 to 99.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=99
	Shard *int32 `json:"shard,omitempty"`

	// weight is how many partitions it owns for each of a shard with weight 1, 1 to 100.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Weight int32 `json:"weight,omitempty"`
}

// ShardDomain is a part of the paths that another ShardSet serves.
type ShardDomain struct {
	// pathPrefix of the requests, which begins and ends with /, e.g. /orders/, 256 characters at most; the longest that fits counts.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^/([^ ?#/]+/)+$') && !self.startsWith('/.trellis/')",message="pathPrefix begins and ends with /, has no blank, ? or #, and is not Trellis's own /.trellis/: use one such as /orders/"
	PathPrefix string `json:"pathPrefix,omitempty"`

	// name of the ShardSet of the same namespace that serves them, 40 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="a domain's name is that of a ShardSet of this namespace: lower case letters, digits and '-', 40 characters at most"
	Name string `json:"name,omitempty"`
}
