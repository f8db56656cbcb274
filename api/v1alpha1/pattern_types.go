package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Pattern is what the shared pipeline needs of a kind.
//
// +kubebuilder:object:generate=false
type Pattern interface {
	metav1.Object
	runtime.Object
	// GetPatternSpec returns the part of the spec that all kinds share.
	GetPatternSpec() *PatternSpec
	// GetPatternStatus returns the part of the status that all kinds share.
	GetPatternStatus() *PatternStatus
}

// DeletionPolicy says what happens to data when its object is deleted.
//
// +kubebuilder:validation:Enum=Retain;Delete
type DeletionPolicy string

const (
	// DeletionRetain keeps what holds data; an object of the same name adopts it again.
	DeletionRetain DeletionPolicy = "Retain"
	// DeletionDelete removes data together with its object.
	DeletionDelete DeletionPolicy = "Delete"
)

// PatternSpec is the part of the spec that all kinds share.
type PatternSpec struct {
	// className names the PatternClass that decides engines, images, sizes and limits, 63 characters
	// at most. Default: the class that is annotated patternclass.patterns.trellis.dev/is-default-class=true.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="className must be the name of a PatternClass: lower case letters, digits and '-', 63 characters at most"
	ClassName string `json:"className,omitempty"`

	// deletionPolicy says what happens to data when this object is deleted: Retain keeps it for an
	// object of the same name, Delete removes it. Default: the class's policy, which is Retain
	// unless the platform team changed it.
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// suspend stops the pods of this object and keeps all that it holds, while it is true. Default: false.
	// +optional
	Suspend *bool `json:"suspend,omitempty"`

	// sinks send this object's events as CloudEvents to the addresses of others, at most 16.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Sinks []Sink `json:"sinks,omitempty"`

	// podTemplate overrides the pods that serve this object.
	// +optional
	PodTemplate *PodTemplate `json:"podTemplate,omitempty"`
}

// PodTemplate overrides what a class and a plan say about pods. What makes a
// pod restricted (its security context) can not be overridden.
type PodTemplate struct {
	// labels added to the pods, at most 32; keys of patterns.trellis.dev and app.kubernetes.io are refused.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.contains('trellis.dev/') && !k.startsWith('app.kubernetes.io/'))",message="labels of trellis.dev and app.kubernetes.io are set by Trellis: use keys of your own"
	Labels map[string]LabelValue `json:"labels,omitempty"`

	// annotations added to the pods, at most 32; keys of patterns.trellis.dev are refused.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.contains('trellis.dev/'))",message="annotations of trellis.dev are set by Trellis: use keys of your own"
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`

	// resources of the main container. Default: the class's.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`

	// nodeSelector that a node must match, at most 32 labels.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	NodeSelector map[string]LabelValue `json:"nodeSelector,omitempty"`

	// tolerations of the pods, at most 32.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// affinity of the pods. Default: spread over nodes, as well as it goes.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`

	// priorityClassName of the pods, 253 characters at most.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	PriorityClassName string `json:"priorityClassName,omitempty"`

	// imagePullSecrets of the pods, at most 8.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	ImagePullSecrets []SecretReference `json:"imagePullSecrets,omitempty"`
}

// LabelValue is the value of a label, 63 characters at most.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="!format.labelValue().validate(self).hasValue()",message="a label's value is letters, digits, '-', '_' and '.', begins and ends with a letter or digit, 63 characters at most"
type LabelValue string

// AnnotationValue is the value of an annotation, 4096 characters at most.
//
// +kubebuilder:validation:MaxLength=4096
type AnnotationValue string

// SecretReference names a Secret of the same namespace.
type SecretReference struct {
	// name of the Secret, 253 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// SecretKeyReference names a key of a Secret of the same namespace.
type SecretKeyReference struct {
	// name of the Secret, 253 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// key in the Secret's data, 253 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// EngineSelection says which Engine a pattern uses.
//
// +kubebuilder:validation:XValidation:rule="!has(self.ref) || !has(self.sharing)",message="ref names an Engine, so sharing has no meaning: set one of them"
type EngineSelection struct {
	// ref names an Engine of the same namespace. Default: one that Trellis makes.
	// +optional
	Ref *EngineReference `json:"ref,omitempty"`

	// sharing of the Engine that Trellis makes: Shared by the patterns of one namespace and class,
	// or Dedicated to this one. Default: Shared.
	// +optional
	Sharing EngineSharing `json:"sharing,omitempty"`
}

// EngineReference names an Engine of the same namespace.
type EngineReference struct {
	// name of the Engine, 63 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
}

// EngineSharing says who shares an Engine.
//
// +kubebuilder:validation:Enum=Shared;Dedicated
type EngineSharing string

const (
	// EngineShared is used by all patterns of one namespace and class.
	EngineShared EngineSharing = "Shared"
	// EngineDedicated is used by one pattern.
	EngineDedicated EngineSharing = "Dedicated"
)

// PatternStatus is the part of the status that all kinds share.
type PatternStatus struct {
	// conditions say how this object is: Ready, Accepted, EngineReady, PlaneReady and, while they
	// hold, WorkersReady, SinksReady, Reconciling, Stalled, UpdateAvailable, ScalingActive, ScalingLimited and Exposed.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of the spec that this status speaks of.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// observedClassGeneration is the generation of the class that this object follows. While it is
	// older than the class's, a change of the class waits for this object's turn.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ObservedClassGeneration int64 `json:"observedClassGeneration,omitempty"`

	// address receives CloudEvents, in the Knative Addressable shape.
	// +optional
	Address *Address `json:"address,omitempty"`

	// endpoints are the URLs that clients use, at most 16.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Endpoints []Endpoint `json:"endpoints,omitempty"`

	// binding names the Secret that an application mounts, a servicebinding.io provisioned service.
	// +optional
	Binding *Binding `json:"binding,omitempty"`

	// defaultClassName is the class that was the default when this object, which names none, was first
	// looked at. It stays in use although another becomes the default, so that data does not move unasked.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	DefaultClassName string `json:"defaultClassName,omitempty"`

	// engine that holds this object's state.
	// +optional
	Engine *EngineStatusReference `json:"engine,omitempty"`

	// otherEngines are those in use besides engine, e.g. the database of a bucket's ledger, at most 4.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=4
	OtherEngines []EngineStatusReference `json:"otherEngines,omitempty"`

	// recommendation says what a simpler or a larger setting would serve better; empty when there is none.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Recommendation string `json:"recommendation,omitempty"`

	// deletionImpact says what a deletion of this object would keep and drop, at most 32 entries.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	DeletionImpact []DeletionImpact `json:"deletionImpact,omitempty"`
}

// Address receives events.
type Address struct {
	// url of the receiver.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	URL string `json:"url,omitempty"`
}

// Endpoint is a URL that clients use.
type Endpoint struct {
	// name of the endpoint, e.g. http or external.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	// url of the endpoint.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	URL string `json:"url,omitempty"`
}

// Binding names a binding Secret.
type Binding struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// EngineStatusReference says which engine is used.
type EngineStatusReference struct {
	// type of the engine, e.g. Memory or Redis.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Type string `json:"type,omitempty"`

	// name of the Engine; empty when the plane itself holds the state.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
}

// DeletionImpact is one thing that a deletion would keep or drop.
type DeletionImpact struct {
	// kind of the thing, e.g. PersistentVolumeClaim.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`

	// name of the thing.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// policy that applies to it: Retain or Delete.
	// +required
	Policy DeletionPolicy `json:"policy,omitempty"`

	// detail says what it holds.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Detail string `json:"detail,omitempty"`
}

// ScaleStatus is what the scale subresource reads.
type ScaleStatus struct {
	// replicas is the number of pods that serve this object or run its jobs, 0 from the start.
	// +optional
	// +default=0
	// +kubebuilder:validation:Minimum=0
	Replicas int32 `json:"replicas,omitempty"`

	// desiredReplicas is the number of pods that are asked for.
	// +optional
	// +kubebuilder:validation:Minimum=0
	DesiredReplicas int32 `json:"desiredReplicas,omitempty"`

	// settledReplicas is the number of pods that last all served. While more are being started, Ready
	// asks for these alone.
	// +optional
	// +kubebuilder:validation:Minimum=0
	SettledReplicas int32 `json:"settledReplicas,omitempty"`

	// selector matches those pods.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Selector string `json:"selector,omitempty"`
}
