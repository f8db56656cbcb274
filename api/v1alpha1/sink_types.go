package v1alpha1

// Sink is one receiver of events.
//
// +kubebuilder:validation:XValidation:rule="has(self.ref) != has(self.url)",message="a sink needs exactly one of ref and url"
// +kubebuilder:validation:XValidation:rule="!has(self.ref) || (!has(self.tokenSecret) && !has(self.caCertificates))",message="a pattern's address and token are filled in by Trellis: set tokenSecret and caCertificates with url only"
type Sink struct {
	// name of the sink, unique in its list, lower case letters, digits and '-', 63 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="a sink's name is lower case letters, digits and '-', 63 characters at most"
	Name string `json:"name,omitempty"`

	// ref names a pattern whose status.address receives the events.
	// +optional
	Ref *SinkReference `json:"ref,omitempty"`

	// url receives the events, http or https, without a user and a password, 2048 characters at most.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[a-z]+://[^/?#]*@')",message="url must hold no user and no password, as everybody who may read this object or the pods' configuration would see them: name a Secret with a bearer token in tokenSecret"
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https']",message="url must be an absolute http or https URL"
	URL string `json:"url,omitempty"`

	// tokenSecret names the key of a Secret whose value is sent to url as a bearer token. It is read anew for each event.
	// +optional
	TokenSecret *SecretKeyReference `json:"tokenSecret,omitempty"`

	// caCertificates that the certificate of url is checked against, in PEM. Default: those of the plane's image.
	// +optional
	CACertificates *CertificatesReference `json:"caCertificates,omitempty"`

	// types of the events that are sent: of a JobQueue accepted, started, progress, succeeded, failed, dead; of a BlobBucket
	// pending, uploaded, expired, deleted, orphaned. Default: all.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=6
	Types []SinkEventType `json:"types,omitempty"`

	// filter is a CEL expression whose value is a bool: events are sent for which it is true, e.g. event.data.attempt > 1.
	// It sees the variable event, with id, type, source, subject, time and data. 2048 characters at most. Default: all.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Filter string `json:"filter,omitempty"`

	// mapping makes what the receiver gets. Default: the event as it is.
	// +optional
	Mapping *SinkMapping `json:"mapping,omitempty"`
}

// SinkEventType is what an event tells of a job or of a file.
//
// +kubebuilder:validation:Enum=accepted;started;progress;succeeded;failed;dead;pending;uploaded;expired;deleted;orphaned
type SinkEventType string

// SinkMapping makes an event's subject and data of what a filter sees of it.
//
// +kubebuilder:validation:XValidation:rule="has(self.subject) || has(self.data)",message="a mapping needs a subject, data, or both"
type SinkMapping struct {
	// subject is a CEL expression whose value is a string, e.g. 'user-' + event.data.metadata.user. A RealtimeGateway takes
	// the subject for the room. 1024 characters at most. Default: event.subject.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Subject string `json:"subject,omitempty"`

	// data is a CEL expression whose value is sent as JSON, e.g. {'id': event.data.id}. 4096 characters at most.
	// Default: event.data.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Data string `json:"data,omitempty"`
}

// SinkReference names a pattern.
type SinkReference struct {
	// kind of the pattern, e.g. RealtimeGateway, 63 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`

	// name of the pattern, 63 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	// namespace of the pattern, 63 characters at most. In another namespace than this object's, a SinkGrant has to allow it.
	// Default: this object's.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="namespace must be the name of a namespace: lower case letters, digits and '-', 63 characters at most"
	Namespace string `json:"namespace,omitempty"`
}

// CertificatesReference names a key of a ConfigMap or Secret of the same namespace.
type CertificatesReference struct {
	// kind of the object: ConfigMap or Secret. Default: ConfigMap.
	// +optional
	// +default="ConfigMap"
	Kind CertificatesKind `json:"kind,omitempty"`

	// name of the object, 253 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// key in its data, 253 characters at most. Default: ca.crt.
	// +optional
	// +default="ca.crt"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// CertificatesKind is a kind of object that holds certificates.
//
// +kubebuilder:validation:Enum=ConfigMap;Secret
type CertificatesKind string

const (
	// CertificatesConfigMap is a ConfigMap.
	CertificatesConfigMap CertificatesKind = "ConfigMap"
	// CertificatesSecret is a Secret.
	CertificatesSecret CertificatesKind = "Secret"
)
