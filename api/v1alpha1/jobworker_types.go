package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// JobWorker runs jobs: by one of exec, http, job and pull.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="(has(self.exec) ? 1 : 0) + (has(self.http) ? 1 : 0) + (has(self.job) ? 1 : 0) + (has(self.pull) ? 1 : 0) == 1",message="set exactly one of worker.exec (a command for each job), worker.http (each job is posted to the container), worker.job (a Kubernetes Job for each job) and worker.pull (workers of yours lease jobs over the contract)"
// +kubebuilder:validation:XValidation:rule="has(self.pull) || has(self.image)",message="worker.image is needed with exec, http and job: name the image that runs the jobs"
// +kubebuilder:validation:XValidation:rule="!has(self.pull) || (!has(self.image) && !has(self.env) && !has(self.resources) && !has(self.podTemplate) && (!has(self.replicas) || self.replicas == 1))",message="with worker.pull no worker is run here: remove image, env, resources, podTemplate and replicas"
// +kubebuilder:validation:XValidation:rule="!has(self.job) || !has(self.replicas) || self.replicas == 1",message="worker.job runs as many pods as there are jobs for: remove worker.replicas, and set worker.job.maxParallel"
// +kubebuilder:validation:XValidation:rule="!has(self.podTemplate) || !has(self.podTemplate.resources)",message="the resources of a worker are worker.resources: remove podTemplate.resources"
type JobWorker struct {
	// image of the container that runs the jobs, as a full name with a tag or digest, 512 characters at most.
	// It runs as user 65532 with a root file system that can not be written to; /tmp and the job's own folder can.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image,omitempty"`

	// exec starts a command for each job.
	// +optional
	Exec *JobExec `json:"exec,omitempty"`

	// http posts each job to the container.
	// +optional
	HTTP *JobHTTP `json:"http,omitempty"`

	// job runs each job in a Kubernetes Job of its own, for the very heavy.
	// +optional
	Job *JobOnce `json:"job,omitempty"`

	// pull runs no worker: those of yours lease jobs over the contract.
	// +optional
	Pull *JobPull `json:"pull,omitempty"`

	// env of the container, at most 64.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Env []JobEnvVar `json:"env,omitempty"`

	// resources of the container. Default: 50m and 64Mi requested, 1 CPU and 512Mi at most.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`

	// podTemplate overrides the pods of the workers.
	// +optional
	PodTemplate *PodTemplate `json:"podTemplate,omitempty"`

	// replicas of the worker, 0 to 1000; the scale subresource sets it too. Default: 1.
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Replicas *int32 `json:"replicas,omitempty"`
}

// JobExec starts a command for each job.
type JobExec struct {
	// command and its arguments, 1 to 64 of 4096 characters at most; the first is looked up on PATH.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=4096
	Command []string `json:"command,omitempty"`
}

// JobHTTP posts each job to the container.
type JobHTTP struct {
	// port that the container listens at, 1 to 65535 and not 8081.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +kubebuilder:validation:XValidation:rule="self != 8081",message="port 8081 is taken by the runner beside the container: have the container listen at another one"
	Port int32 `json:"port,omitempty"`

	// path that jobs are posted to, 1024 characters at most. Default: /.
	// +optional
	// +default="/"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^/[^ ?#]*$')",message="path begins with / and has no blank, ? or #"
	Path string `json:"path,omitempty"`
}

// JobOnce starts a command for each job, in a Kubernetes Job of its own.
type JobOnce struct {
	// command and its arguments, 1 to 64 of 4096 characters at most; the first is looked up on PATH. What it is given and
	// gives is as with exec.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=4096
	Command []string `json:"command,omitempty"`

	// maxParallel is how many Kubernetes Jobs are under way at most, 1 to 100. Default: 1.
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	MaxParallel int32 `json:"maxParallel,omitempty"`

	// ttlAfterFinished is how long a Kubernetes Job and its pod are kept to be looked at when they have ended, 1m to 168h.
	// Default: 10m.
	// +optional
	// +default="10m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('168h')",message="ttlAfterFinished must be between 1m and 168h"
	TTLAfterFinished *metav1.Duration `json:"ttlAfterFinished,omitempty"`
}

// JobPull runs no worker.
type JobPull struct{}

// JobEnvVar is a variable of a worker's environment.
//
// +kubebuilder:validation:XValidation:rule="!has(self.value) || !has(self.valueFrom)",message="a variable has a value or comes from somewhere: remove value or valueFrom"
type JobEnvVar struct {
	// name of the variable, letters, digits and '_', 128 characters at most; those that begin with TRELLIS_ are the runner's.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z_][A-Za-z0-9_]*$') && !self.startsWith('TRELLIS_')",message="a variable's name is letters, digits and '_', begins with no digit, and not with TRELLIS_"
	Name string `json:"name,omitempty"`

	// value of the variable, 4096 characters at most. Default: empty.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Value *string `json:"value,omitempty"`

	// valueFrom a Secret or a ConfigMap, read when a pod starts.
	// +optional
	ValueFrom *JobEnvSource `json:"valueFrom,omitempty"`
}

// JobEnvSource is where a variable's value comes from.
//
// +kubebuilder:validation:XValidation:rule="has(self.secretKeyRef) != has(self.configMapKeyRef)",message="set exactly one of secretKeyRef and configMapKeyRef"
type JobEnvSource struct {
	// secretKeyRef names a key of a Secret.
	// +optional
	SecretKeyRef *SecretKeyReference `json:"secretKeyRef,omitempty"`

	// configMapKeyRef names a key of a ConfigMap.
	// +optional
	ConfigMapKeyRef *ConfigMapKeyReference `json:"configMapKeyRef,omitempty"`
}

// ConfigMapKeyReference names a key of a ConfigMap of the same namespace.
type ConfigMapKeyReference struct {
	// name of the ConfigMap, 253 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// key in the ConfigMap's data, 253 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}
