package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SinkGrantSpec says whose sinks may send to what.
type SinkGrantSpec struct {
	// from are those that may send, at least one and at most 16.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	From []SinkGrantFrom `json:"from,omitempty"`

	// to are the patterns of this namespace that they may send to, at least one and at most 16.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	To []SinkGrantTo `json:"to,omitempty"`
}

// SinkGrantFrom is whose sinks are meant.
type SinkGrantFrom struct {
	// kind of the pattern that sends, e.g. JobQueue, 63 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`

	// namespace of the pattern that sends, 63 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="namespace must be the name of a namespace: lower case letters, digits and '-', 63 characters at most"
	Namespace string `json:"namespace,omitempty"`
}

// SinkGrantTo is what may be sent to.
type SinkGrantTo struct {
	// kind of the pattern that receives, e.g. RealtimeGateway, 63 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`

	// name of the pattern that receives, 63 characters at most. Default: all of the kind.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
}

// SinkGrant lets patterns of other namespaces send their events to patterns of this one, as a ReferenceGrant of the Gateway
// API does for routes. The operator hands their pods a token that may send to the receiver, and do nothing else, while the grant stands, and
// takes it away when it goes.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=sgrant,categories=trellis
// +kubebuilder:printcolumn:name="From",type=string,JSONPath=`.spec.from[*].namespace`
// +kubebuilder:printcolumn:name="To",type=string,JSONPath=`.spec.to[*].kind`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type SinkGrant struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says whose sinks may send to what.
	// +required
	Spec SinkGrantSpec `json:"spec,omitzero"`
}

// SinkGrantList is a list of SinkGrants.
//
// +kubebuilder:object:root=true
type SinkGrantList struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`

	// items of the list.
	// +required
	Items []SinkGrant `json:"items"`
}
