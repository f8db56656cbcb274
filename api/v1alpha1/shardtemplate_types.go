package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ShardProtocol is what a container speaks.
//
// +kubebuilder:validation:Enum=HTTP;H2C
type ShardProtocol string

const (
	// ShardHTTP is HTTP/1.1, and WebSockets.
	ShardHTTP ShardProtocol = "HTTP"
	// ShardH2C is HTTP/2 without TLS.
	ShardH2C ShardProtocol = "H2C"
)

// ShardTemplate is the container that each shard runs. It is reached through a member of Trellis beside it alone.
//
// +kubebuilder:validation:XValidation:rule="!has(self.podTemplate) || !has(self.podTemplate.resources)",message="the resources of a shard are template.resources: remove podTemplate.resources"
type ShardTemplate struct {
	// image of the container, as a full name with a tag or digest, 512 characters at most. Its root file system can not be written
	// to; /tmp and storage can.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image,omitempty"`

	// command in the place of the image's entrypoint, at most 64 of 4096 characters at most. Default: the image's.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=4096
	Command []string `json:"command,omitempty"`

	// args of the entrypoint, at most 64 of 4096 characters at most. Default: the image's.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=4096
	Args []string `json:"args,omitempty"`

	// env of the container, at most 64. Trellis adds TRELLIS_SHARD, the name of the shard, and TRELLIS_PARTITIONS.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Env []JobEnvVar `json:"env,omitempty"`

	// port that the container listens at, on localhost, 1 to 65535 and neither 8080 nor 8081.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +kubebuilder:validation:XValidation:rule="self != 8080 && self != 8081",message="ports 8080 and 8081 are taken by the member beside the container: have the container listen at another one"
	Port int32 `json:"port,omitempty"`

	// protocol of the port: HTTP, which is HTTP/1.1 and WebSockets, or H2C, which is HTTP/2 without TLS. Default: HTTP.
	// +optional
	// +default="HTTP"
	Protocol ShardProtocol `json:"protocol,omitempty"`

	// readyPath of the container answers 2xx when it serves, 1024 characters at most. Default: it serves when the port is open.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^/[^ ?#]*$')",message="readyPath begins with / and has no blank, ? or #"
	ReadyPath string `json:"readyPath,omitempty"`

	// drainTimeout is how long a request may go on when the shard is to stop, or whoever sent it has gone, 1s to 10m. Default: 30s.
	// +optional
	// +default="30s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('10m')",message="drainTimeout must be between 1s and 10m"
	DrainTimeout *metav1.Duration `json:"drainTimeout,omitempty"`

	// runAsUser is the user and the group that the pod runs as, 1 to 2147483647. Default: 65532.
	// +optional
	// +default=65532
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2147483647
	RunAsUser *int64 `json:"runAsUser,omitempty"`

	// resources of the container. Default: 50m and 64Mi requested, 1 CPU and 512Mi at most.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`

	// podTemplate overrides the pods of the shards.
	// +optional
	PodTemplate *PodTemplate `json:"podTemplate,omitempty"`
}

// ShardStorage is the claim of a shard.
type ShardStorage struct {
	// size of the claim in bytes, above 0, e.g. 10Gi. Default: 1Gi.
	// +optional
	// +default="1Gi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="size must be above 0"
	Size *resource.Quantity `json:"size,omitempty"`

	// storageClassName of the claim, 253 characters at most. It can not be changed. Default: the cluster's default.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	StorageClassName *string `json:"storageClassName,omitempty"`

	// mountPath of the claim in the container, 1024 characters at most. Default: /data.
	// +optional
	// +default="/data"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^/[^: ]+$') && self != '/tmp' && !self.startsWith('/tmp/')",message="mountPath is an absolute path without : and not /tmp, which is another volume: use one such as /data"
	MountPath string `json:"mountPath,omitempty"`
}

// ShardSpread says how far shards are kept apart.
//
// +kubebuilder:validation:Enum=Preferred;Required
type ShardSpread string

// ShardSpreadRequired leaves a pod pending rather than put it where another shard is.
const ShardSpreadRequired ShardSpread = "Required"

// ShardPlacement of the shards on nodes and zones.
type ShardPlacement struct {
	// zones is Preferred, which spreads shards over zones as well as it goes, or Required, which runs them evenly over the zones
	// and on nodes that have one alone. Default: Preferred.
	// +optional
	// +default="Preferred"
	Zones ShardSpread `json:"zones,omitempty"`

	// antiAffinity is Preferred, which puts shards on different nodes as well as it goes, or Required, which never puts two on
	// one. Default: Preferred.
	// +optional
	// +default="Preferred"
	AntiAffinity ShardSpread `json:"antiAffinity,omitempty"`
}
