package v1alpha1

// Exposure says how a pattern is reached.
//
// +kubebuilder:validation:XValidation:rule="!has(self.ingress) || !has(self.gatewayRef)",message="a pattern is exposed by an Ingress or by a Gateway: remove ingress or gatewayRef"
type Exposure struct {
	// serviceType of the Service: ClusterIP, NodePort or LoadBalancer. Default: ClusterIP.
	// +optional
	// +default="ClusterIP"
	// +kubebuilder:validation:Enum=ClusterIP;NodePort;LoadBalancer
	// +kubebuilder:validation:MaxLength=63
	ServiceType string `json:"serviceType,omitempty"`

	// ingress makes an Ingress.
	// +optional
	Ingress *IngressExposure `json:"ingress,omitempty"`

	// gatewayRef makes an HTTPRoute of a Gateway.
	// +optional
	GatewayRef *GatewayExposure `json:"gatewayRef,omitempty"`
}

// IngressExposure makes an Ingress.
type IngressExposure struct {
	// host of the Ingress, 253 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="host must be a DNS name such as rooms.example.com"
	Host string `json:"host,omitempty"`

	// className of the Ingress, 253 characters at most. Default: the cluster's default.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ClassName string `json:"className,omitempty"`

	// tlsSecretName names a Secret of type kubernetes.io/tls, 253 characters at most. Default: no TLS.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	TLSSecretName string `json:"tlsSecretName,omitempty"`

	// annotations of the Ingress, at most 32.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`
}

// GatewayExposure makes an HTTPRoute.
type GatewayExposure struct {
	// name of the Gateway, 253 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// namespace of the Gateway, 63 characters at most. Default: this namespace.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// sectionName of the Gateway's listener, 253 characters at most. One that begins with https is taken for
	// one that speaks TLS, in the endpoint that the status names. Default: every listener.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SectionName string `json:"sectionName,omitempty"`

	// hostname of the route, 253 characters at most. Default: the listener's.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Hostname string `json:"hostname,omitempty"`
}
