// Package v1alpha1 is the API of Trellis: system-design patterns as Kubernetes
// resources, in the group patterns.trellis.dev.
//
// A PatternClass is the platform team's; an Engine holds state; every other
// kind is a pattern that a user applies. The package holds types, validation
// (CEL) and the words of conditions, and imports nothing but apimachinery and
// the core types of k8s.io/api.
//
// +kubebuilder:object:generate=true
// +groupName=patterns.trellis.dev
package v1alpha1
