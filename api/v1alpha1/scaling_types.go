package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Scaling bounds the number of replicas that Trellis chooses by their load. The terms are those of
// the HorizontalPodAutoscaler v2.
//
// +kubebuilder:validation:XValidation:rule="!has(self.minReplicas) || self.minReplicas <= self.maxReplicas",message="minReplicas is above maxReplicas: lower it, or raise maxReplicas"
type Scaling struct {
	// minReplicas is the fewest replicas, 1 to 1000. Default: 1.
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MinReplicas int32 `json:"minReplicas,omitempty"`

	// maxReplicas is the most replicas, 1 to 1000.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxReplicas int32 `json:"maxReplicas,omitempty"`

	// scaleDownStabilization is for how long the load must ask for fewer replicas before some are
	// stopped, 0s to 1h. Default: 5m.
	// +optional
	// +default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('1h')",message="scaleDownStabilization must be between 0s and 1h"
	ScaleDownStabilization *metav1.Duration `json:"scaleDownStabilization,omitempty"`
}

// RealtimeScaling scales a gateway by its open connections.
type RealtimeScaling struct {
	Scaling `json:",inline"`

	// connectionsPerReplica is how many open streams, sockets and waiting polls one replica is to have
	// on average, 1 to 1000000 and no more than limits.connections.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	ConnectionsPerReplica int32 `json:"connectionsPerReplica,omitempty"`
}

// JobScaling scales the workers of a queue by its backlog: the jobs that are due and those that run.
//
// +kubebuilder:validation:XValidation:rule="!has(self.minReplicas) || self.minReplicas <= self.maxReplicas",message="minReplicas is above maxReplicas: lower it, or raise maxReplicas"
type JobScaling struct {
	// minReplicas is the fewest workers, 0 to 1000. With 0 the last one goes when nothing is left to do, and the first
	// job wakes one. Default: 0.
	// +optional
	// +default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	MinReplicas *int32 `json:"minReplicas,omitempty"`

	// maxReplicas is the most workers, 1 to 1000.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxReplicas int32 `json:"maxReplicas,omitempty"`

	// backlogPerWorker is how many jobs, due or running, one worker is to have, 1 to 100000. Default: concurrency.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	BacklogPerWorker *int32 `json:"backlogPerWorker,omitempty"`

	// scaleDownStabilization is for how long the backlog must ask for fewer workers before some are
	// stopped, 0s to 1h. Default: 1m.
	// +optional
	// +default="1m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('1h')",message="scaleDownStabilization must be between 0s and 1h"
	ScaleDownStabilization *metav1.Duration `json:"scaleDownStabilization,omitempty"`

	// idleAfter is for how long there must be nothing to do before the last worker is stopped, where minReplicas
	// is 0, 1s to 24h. Default: 5m.
	// +optional
	// +default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="idleAfter must be between 1s and 24h"
	IdleAfter *metav1.Duration `json:"idleAfter,omitempty"`
}
