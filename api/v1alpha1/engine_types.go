package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// EngineSpec says which engine and how it is provided.
//
// +kubebuilder:validation:XValidation:rule="!has(self.external) || !has(self.provisioned)",message="an Engine is either provisioned or external: remove one of them"
// +kubebuilder:validation:XValidation:rule="has(self.external) == has(oldSelf.external)",message="an Engine can not change between provisioned and external: create another Engine and point your patterns at it"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.provisioned) || !has(oldSelf.provisioned.storage) || (has(self.provisioned) && has(self.provisioned.storage))",message="storage can grow and not be taken away: set it as it was, or larger"
// +kubebuilder:validation:XValidation:rule="self.type == 'PostgreSQL' || !has(self.provisioned) || !has(self.provisioned.replicas) || self.provisioned.replicas in [1, 3, 5]",message="replicas must be 1, 3 or 5: a fail-over needs the majority of an odd number"
// +kubebuilder:validation:XValidation:rule="self.type != 'S3' || !has(self.provisioned) || !has(self.provisioned.replicas) || self.provisioned.replicas == 1",message="an S3 that is run here is one server, which can not replicate: set replicas to 1, or use external with a store that is replicated"
// +kubebuilder:validation:XValidation:rule="self.type == 'PostgreSQL' || !has(self.provisioned) || !has(self.provisioned.replicas) || !has(oldSelf.provisioned) || !has(oldSelf.provisioned.replicas) || self.provisioned.replicas >= oldSelf.provisioned.replicas",message="replicas can not be lowered, as the primary may be on any of them: create another Engine and point your patterns at it"
// +kubebuilder:validation:XValidation:rule="self.type != 'NATS' || !has(self.provisioned) || !has(self.provisioned.replicas) || !has(oldSelf.provisioned) || !has(oldSelf.provisioned.replicas) || oldSelf.provisioned.replicas != 1 || self.provisioned.replicas == 1",message="a NATS of one can not become a cluster, which could not take over its data: create another Engine and point your patterns at it"
// +kubebuilder:validation:XValidation:rule="self.type == 'S3' || !has(self.provisioned) || !has(self.provisioned.exposure)",message="only an engine of type S3 is reached from outside the cluster: remove provisioned.exposure, and expose the patterns that use the engine"
// +kubebuilder:validation:XValidation:rule="!has(self.sinks) || size(self.sinks) == 0",message="an Engine sends no events: remove sinks"
type EngineSpec struct {
	PatternSpec `json:",inline"`

	// type of the engine: NATS (with JetStream), PostgreSQL, Redis (Redis or Valkey), or S3. It can not be changed.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="type can not be changed: create another Engine and point your patterns at it"
	Type EngineType `json:"type,omitempty"`

	// provisioned overrides how the class runs this engine. Default: as the class says.
	// +optional
	Provisioned *ProvisionedEngine `json:"provisioned,omitempty"`

	// external points at an engine that Trellis does not run. Default: as the class says.
	// +optional
	External *ExternalEngine `json:"external,omitempty"`
}

// ProvisionedEngine is an engine that Trellis runs.
type ProvisionedEngine struct {
	// image of the engine, as a full name with a tag or digest, 512 characters at most.
	// Default: the class's. A change is rolled out one replica at a time.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image,omitempty"`

	// replicas of the engine, 1 to 7. Of NATS and Redis 1, or 3 or 5 with automatic fail-over, of which 1 or 2
	// may be lost at once; they can be raised, of NATS from 3 to 5 alone, and not lowered. Of PostgreSQL the primary and its read
	// replicas. Of S3 1: the server can not replicate. Default: the class's.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=7
	Replicas *int32 `json:"replicas,omitempty"`

	// storage of each replica. Default: the class's. Its size can grow, where the StorageClass allows
	// it, and never shrink; its storageClassName can not be changed.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(oldSelf.size) || (has(self.size) && quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) >= 0)",message="storage can grow and not shrink: set size as it was, or larger"
	// +kubebuilder:validation:XValidation:rule="has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",message="storageClassName can not be changed after creation: create another Engine and point your patterns at it"
	Storage *Storage `json:"storage,omitempty"`

	// resources of each replica's container. Default: the class's.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`

	// exposure outside the cluster, of S3 alone: browsers send and fetch objects there, by URLs that patterns
	// sign for the host of the Ingress or the hostname of the route. Default: reached from its own namespace alone.
	// +optional
	Exposure *Exposure `json:"exposure,omitempty"`
}

// ExternalEngine points at an engine by a Secret of the same namespace.
type ExternalEngine struct {
	// secretRef names the Secret whose key uri is the engine's connection URI, e.g.
	// rediss://user:password@host:6380/0,
	// redis+sentinel://user:password@host:26379,host2:26379/mymaster/0,
	// postgres://user:password@host:5432/database?sslmode=verify-full or
	// tls://user:password@host:4222 of NATS, whose credentials may be in the key user.creds instead.
	// Of S3, uri is the endpoint without a bucket, e.g. https://s3.eu-central-1.amazonaws.com or
	// http://minio.example:9000, and the keys accessKeyID and secretAccessKey are the credentials; optional are
	// region (default: us-east-1) and pathStyle, "true" for https://host/bucket or "false" for
	// https://bucket.host (default: false for hosts of amazonaws.com, else true), and publicUri, the endpoint
	// as clients outside the cluster reach it (default: uri).
	// The optional key ca.crt holds PEM certificates.
	// +required
	SecretRef SecretReference `json:"secretRef,omitzero"`
}

// EngineStatus says how an engine is.
type EngineStatus struct {
	PatternStatus `json:",inline"`

	// version that the engine itself reports.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Version string `json:"version,omitempty"`

	// replicas that hold the data: never fewer than there have been.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Replicas int32 `json:"replicas,omitempty"`

	// consumers is the number of patterns that use this engine.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Consumers int32 `json:"consumers,omitempty"`
}

// Engine is an existing system that holds the state of patterns, run by Trellis in this namespace
// or elsewhere by others.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=eng,categories=trellis
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.type`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 46 && !format.dns1123Label().validate(self.metadata.name).hasValue()",message="the name must be lower case letters, digits and '-', 46 characters at most: other names are made from it"
type Engine struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says which engine and how it is provided.
	// +required
	Spec EngineSpec `json:"spec,omitzero"`

	// status says how the engine is.
	// +optional
	// +default={"conditions":[{"type":"Ready","status":"Unknown","reason":"Pending","message":"the operator has not looked at it yet","lastTransitionTime":"1970-01-01T00:00:00Z"}]}
	Status EngineStatus `json:"status,omitzero"`
}

// GetPatternSpec implements Pattern.
func (e *Engine) GetPatternSpec() *PatternSpec { return &e.Spec.PatternSpec }

// GetPatternStatus implements Pattern.
func (e *Engine) GetPatternStatus() *PatternStatus { return &e.Status.PatternStatus }

// EngineList is a list of Engines.
//
// +kubebuilder:object:root=true
type EngineList struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`

	// items of the list.
	// +required
	Items []Engine `json:"items"`
}
