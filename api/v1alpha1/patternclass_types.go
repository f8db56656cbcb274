package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// EngineType is a kind of engine.
//
// +kubebuilder:validation:Enum=NATS;PostgreSQL;Redis;S3
type EngineType string

const (
	// EngineNATS is NATS with JetStream.
	EngineNATS EngineType = "NATS"
	// EnginePostgreSQL is PostgreSQL.
	EnginePostgreSQL EngineType = "PostgreSQL"
	// EngineRedis is Redis or Valkey.
	EngineRedis EngineType = "Redis"
	// EngineS3 is a store of objects that speaks S3.
	EngineS3 EngineType = "S3"
)

// UpdatePolicy says when a new operator may change running pods.
//
// +kubebuilder:validation:Enum=Manual;Automatic
type UpdatePolicy string

const (
	// UpdateManual waits for the annotation patterns.trellis.dev/approve-update.
	UpdateManual UpdatePolicy = "Manual"
	// UpdateAutomatic rolls at once.
	UpdateAutomatic UpdatePolicy = "Automatic"
)

// PatternClassSpec is what the platform team offers and allows.
type PatternClassSpec struct {
	// engines offered by this class, one entry a type, at most 8. A type that is not listed is not offered.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Engines []EngineClass `json:"engines,omitempty"`

	// plane is the process that serves the contracts.
	// +required
	Plane PlaneClass `json:"plane,omitzero"`

	// limits of every pattern of this class. Default: none.
	// +optional
	Limits *ClassLimits `json:"limits,omitempty"`

	// deletionPolicy of patterns that do not set their own: Retain or Delete. Default: Retain.
	// +optional
	// +default="Retain"
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// updatePolicy says when a new operator may change running pods of unchanged objects: Manual
	// waits for the annotation patterns.trellis.dev/approve-update on each object, Automatic rolls
	// at once. Default: Manual.
	// +optional
	// +default="Manual"
	UpdatePolicy UpdatePolicy `json:"updatePolicy,omitempty"`

	// podDefaults apply to every pod of this class; a pattern's podTemplate goes before them.
	// +optional
	PodDefaults *PodTemplate `json:"podDefaults,omitempty"`
}

// EngineClass is how a class provides one type of engine.
//
// +kubebuilder:validation:XValidation:rule="!has(self.external) || (!has(self.image) && !has(self.replicas) && !has(self.storage) && !has(self.resources))",message="an external engine is not run by Trellis: remove image, replicas, storage and resources, or remove external"
// +kubebuilder:validation:XValidation:rule="has(self.external) || has(self.image)",message="set image to have this engine run in the pattern's namespace, or external to point at one that runs elsewhere"
// +kubebuilder:validation:XValidation:rule="self.type == 'PostgreSQL' || !has(self.replicas) || self.replicas in [1, 3, 5]",message="replicas must be 1, 3 or 5: a fail-over needs the majority of an odd number"
// +kubebuilder:validation:XValidation:rule="self.type != 'S3' || !has(self.replicas) || self.replicas == 1",message="an S3 that is run here is one server, which can not replicate: set replicas to 1, or external to a store that is replicated"
type EngineClass struct {
	// type of the engine: NATS, PostgreSQL, Redis or S3.
	// +required
	Type EngineType `json:"type,omitempty"`

	// image of the engine, as a full name with a tag or digest, 512 characters at most.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image,omitempty"`

	// replicas of the engine, 1 to 7: of NATS and Redis 1, or 3 or 5 with automatic fail-over; of PostgreSQL the
	// primary and its read replicas; of S3 1. Engines of NATS and Redis that run are given more, and never fewer. Default: 1.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=7
	Replicas *int32 `json:"replicas,omitempty"`

	// storage of each replica. A larger size reaches also the Engines that run, a smaller one and
	// another storageClassName only those that are made from now on. Default: 1Gi of the cluster's
	// default StorageClass.
	// +optional
	Storage *Storage `json:"storage,omitempty"`

	// resources of each replica's container. Default: 50m and 64Mi requested, 1 CPU and 256Mi at most.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`

	// external points at an engine that Trellis does not run.
	// +optional
	External *ClassExternalEngine `json:"external,omitempty"`
}

// Storage is what one replica's claim asks for.
type Storage struct {
	// size of the claim in bytes, above 0, e.g. 10Gi. Default: 1Gi.
	// +optional
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="size must be above 0"
	Size *resource.Quantity `json:"size,omitempty"`

	// storageClassName of the claim, 253 characters at most. Default: the cluster's default.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	StorageClassName *string `json:"storageClassName,omitempty"`
}

// ClassExternalEngine points at an engine by a Secret of any namespace.
type ClassExternalEngine struct {
	// secretRef names the Secret whose key uri is the engine's connection URI; its keys are those of an Engine's
	// external.secretRef.
	// +required
	SecretRef NamespacedSecretReference `json:"secretRef,omitzero"`
}

// NamespacedSecretReference names a Secret.
type NamespacedSecretReference struct {
	// namespace of the Secret, 63 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// name of the Secret, 253 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// PlaneClass is the process that serves the contracts.
type PlaneClass struct {
	// image of the plane without its tag, 512 characters at most.
	// Default: ghcr.io/trellis-dev/trellis-plane.
	// +optional
	// +default="ghcr.io/trellis-dev/trellis-plane"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image,omitempty"`

	// version of the plane, the image's tag, e.g. v0.1.0, 128 characters at most. A new operator does
	// not change it: the pods roll when you do.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_][A-Za-z0-9_.-]*$')",message="version is the image's tag alone, e.g. v0.1.0: letters, digits, '_', '.' and '-', and no '.' or '-' at its beginning"
	Version string `json:"version,omitempty"`

	// resources of each plane container. Default: 50m and 64Mi requested, 1 CPU and 512Mi at most.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`

	// playground says who may have a page to try a pattern by hand: Allowed leaves it to each pattern, Enabled
	// serves it unless a pattern disables it, Forbidden refuses patterns that enable it. Default: Allowed.
	// +optional
	// +default="Allowed"
	Playground PlaygroundPolicy `json:"playground,omitempty"`
}

// PlaygroundPolicy is what a class says about pages to try patterns by hand.
//
// +kubebuilder:validation:Enum=Allowed;Enabled;Forbidden
type PlaygroundPolicy string

const (
	// PlaygroundPolicyAllowed leaves it to each pattern; off unless it says so.
	PlaygroundPolicyAllowed PlaygroundPolicy = "Allowed"
	// PlaygroundPolicyEnabled serves it unless a pattern says otherwise.
	PlaygroundPolicyEnabled PlaygroundPolicy = "Enabled"
	// PlaygroundPolicyForbidden refuses patterns that ask for it.
	PlaygroundPolicyForbidden PlaygroundPolicy = "Forbidden"
)

// ClassLimits bound what one pattern may ask for.
type ClassLimits struct {
	// maxReplicas of one pattern's plane, and of a queue's workers, 1 to 1000. Default: no limit.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxReplicas *int32 `json:"maxReplicas,omitempty"`

	// maxStorage of one Engine, all replicas together, in bytes, above 0. Default: no limit.
	// +optional
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="maxStorage must be above 0"
	MaxStorage *resource.Quantity `json:"maxStorage,omitempty"`

	// allowedEngines that a pattern may choose, Memory among them. Default: all that the class offers.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:Enum=Memory;NATS;PostgreSQL;Redis;S3
	// +kubebuilder:validation:items:MaxLength=63
	AllowedEngines []string `json:"allowedEngines,omitempty"`
}

// PatternClass is what a platform team offers to those who apply patterns: engines, images, sizes
// and limits. Like a StorageClass, one may be marked the default.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=pclass,categories=trellis
// +kubebuilder:printcolumn:name="Default",type=string,JSONPath=`.metadata.annotations.patternclass\.patterns\.trellis\.dev/is-default-class`
// +kubebuilder:printcolumn:name="Plane",type=string,JSONPath=`.spec.plane.version`
// +kubebuilder:printcolumn:name="Engines",type=string,JSONPath=`.spec.engines[*].type`
// +kubebuilder:printcolumn:name="Deletion",type=string,JSONPath=`.spec.deletionPolicy`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40 && !format.dns1123Label().validate(self.metadata.name).hasValue()",message="the name must be lower case letters, digits and '-', 40 characters at most: other names are made from it"
type PatternClass struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what the platform team offers and allows.
	// +required
	Spec PatternClassSpec `json:"spec,omitzero"`
}

// PatternClassList is a list of PatternClasses.
//
// +kubebuilder:object:root=true
type PatternClassList struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`

	// items of the list.
	// +required
	Items []PatternClass `json:"items"`
}
