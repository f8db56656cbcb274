package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// BlobLifecycleRule ends objects. All of prefix, tags, minSize and maxSize that is set must be true of an object.
//
// +kubebuilder:validation:XValidation:rule="has(self.expireAfter) || has(self.transitions) || has(self.abortIncompleteAfter) || has(self.expireNoncurrentAfter)",message="a rule needs expireAfter, transitions, abortIncompleteAfter or expireNoncurrentAfter"
// +kubebuilder:validation:XValidation:rule="!has(self.keepNoncurrent) || has(self.expireNoncurrentAfter)",message="keepNoncurrent says which versions expireNoncurrentAfter leaves: set that too"
// +kubebuilder:validation:XValidation:rule="!has(self.abortIncompleteAfter) || (!has(self.tags) && !has(self.minSize) && !has(self.maxSize))",message="an upload that is not complete has no tags and no size: put abortIncompleteAfter into a rule with a prefix alone"
type BlobLifecycleRule struct {
	// name of the rule, lower case letters, digits and '-', 63 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="a rule's name is lower case letters, digits and '-', 63 characters at most"
	Name string `json:"name,omitempty"`

	// prefix of the objects' keys, 1024 characters at most. Default: all of them.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Prefix string `json:"prefix,omitempty"`

	// tags that an object must have, at most 10.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=10
	Tags map[string]BlobTagValue `json:"tags,omitempty"`

	// minSize is the least bytes of an object, 1 or more. Default: no bound.
	// +optional
	MinSize *resource.Quantity `json:"minSize,omitempty"`

	// maxSize is the most bytes of an object, minSize or more. Default: no bound.
	// +optional
	MaxSize *resource.Quantity `json:"maxSize,omitempty"`

	// expireAfter removes objects so long after they were written, 1m to 876000h. Default: never.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('876000h')",message="expireAfter must be between 1m and 876000h"
	ExpireAfter *metav1.Duration `json:"expireAfter,omitempty"`

	// transitions to storage classes, at most 4. Default: none.
	// +optional
	// +listType=map
	// +listMapKey=storageClass
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	Transitions []BlobTransition `json:"transitions,omitempty"`

	// abortIncompleteAfter aborts uploads in parts so long after they were begun, 1m to 876000h. Default: those of files, when they expire.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('876000h')",message="abortIncompleteAfter must be between 1m and 876000h"
	AbortIncompleteAfter *metav1.Duration `json:"abortIncompleteAfter,omitempty"`

	// expireNoncurrentAfter removes versions so long after they were replaced, 1m to 876000h. Default: never.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('876000h')",message="expireNoncurrentAfter must be between 1m and 876000h"
	ExpireNoncurrentAfter *metav1.Duration `json:"expireNoncurrentAfter,omitempty"`

	// keepNoncurrent is how many of each object's newest replaced versions stay all the same, 1 to 100. Default: none.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	KeepNoncurrent *int32 `json:"keepNoncurrent,omitempty"`
}

// BlobTagValue is the value of an object's tag, 256 characters at most.
//
// +kubebuilder:validation:MaxLength=256
type BlobTagValue string

// BlobTransition moves objects to a storage class.
type BlobTransition struct {
	// after is how long after an object was written, 24h to 876000h. Default: 720h.
	// +optional
	// +default="720h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('24h') && duration(self) <= duration('876000h')",message="after must be between 24h and 876000h"
	After *metav1.Duration `json:"after,omitempty"`

	// storageClass of the store, e.g. STANDARD_IA, 63 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	StorageClass string `json:"storageClass,omitempty"`
}
