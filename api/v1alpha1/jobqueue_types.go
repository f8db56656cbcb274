package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// JobEngine is where a queue keeps its jobs.
//
// +kubebuilder:validation:Enum=PostgreSQL;NATS
type JobEngine string

const (
	// JobsPostgreSQL keeps jobs in tables of an Engine of type PostgreSQL.
	JobsPostgreSQL JobEngine = "PostgreSQL"
	// JobsNATS keeps jobs in streams of an Engine of type NATS.
	JobsNATS JobEngine = "NATS"
)

// JobOrdering says which jobs wait for each other.
//
// +kubebuilder:validation:Enum=None;Key
type JobOrdering string

const (
	// OrderingNone has no job wait for another.
	OrderingNone JobOrdering = "None"
	// OrderingKey has jobs of one key run one at a time, in the order of acceptance.
	OrderingKey JobOrdering = "Key"
)

// JobQueueSpec says how jobs are accepted, run and kept.
//
// +kubebuilder:validation:XValidation:rule="!has(self.scaling) || !has(self.worker.replicas) || self.worker.replicas == 1",message="scaling chooses the number of workers: remove worker.replicas; suspend stops all"
// +kubebuilder:validation:XValidation:rule="!has(self.worker.pull) || !has(self.scaling)",message="with worker.pull no worker is run here, so there is nothing to scale: remove scaling, and scale your own workers by the backlog of GET /v1/stats"
// +kubebuilder:validation:XValidation:rule="!has(self.worker.job) || !has(self.scaling)",message="worker.job runs as many pods as there are jobs for: remove scaling, and set worker.job.maxParallel"
// +kubebuilder:validation:XValidation:rule="!has(self.worker.job) || !has(self.concurrency) || self.concurrency == 1",message="with worker.job each pod runs one job: remove concurrency, and set worker.job.maxParallel"
// +kubebuilder:validation:XValidation:rule="!has(self.schedules) || self.schedules.all(s, !has(s.priority) || self.priorities.exists(p, p.name == s.priority))",message="a schedule's priority is none of spec.priorities: name one of them, or remove it"
// +kubebuilder:validation:XValidation:rule="self.ordering == 'Key' || !has(self.schedules) || self.schedules.all(s, !has(s.orderingKey))",message="a schedule has an orderingKey and the queue does not order: set ordering to Key, or remove it"
// +kubebuilder:validation:XValidation:rule="has(self.engineSelection) == has(oldSelf.engineSelection) && (!has(self.engineSelection) || self.engineSelection == oldSelf.engineSelection)",message="engineSelection can not be changed, as jobs do not move from one Engine to another: create another JobQueue, send new jobs there, and delete this one when its backlog is 0"
// +kubebuilder:validation:XValidation:rule="has(self.className) == has(oldSelf.className) && (!has(self.className) || self.className == oldSelf.className) || (has(self.engineSelection) && (has(self.engineSelection.ref) || (has(self.engineSelection.sharing) && self.engineSelection.sharing == 'Dedicated')))",message="className can not be changed while the Engine is the class's shared one, as jobs do not move to another: create another JobQueue, send new jobs there, and delete this one when its backlog is 0"
// +kubebuilder:validation:XValidation:rule="!has(self.sinks) || self.sinks.all(s, !has(s.types) || s.types.all(t, t in ['accepted', 'started', 'progress', 'succeeded', 'failed', 'dead']))",message="a sink's types of a JobQueue are accepted, started, progress, succeeded, failed and dead: remove the others"
type JobQueueSpec struct {
	PatternSpec `json:",inline"`

	// engine keeps the jobs: PostgreSQL or NATS (JetStream). It can not be changed, as jobs do not move
	// from one engine to another. Default: PostgreSQL.
	// +optional
	// +default="PostgreSQL"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="engine can not be changed, as jobs do not move from one engine to another: create another JobQueue, send new jobs there, and delete this one when its backlog is 0"
	Engine JobEngine `json:"engine,omitempty"`

	// engineSelection says which Engine is used. Like engine it can not be changed, nor className while that is the
	// shared one. Default: the shared one of the namespace and class.
	// +optional
	EngineSelection *EngineSelection `json:"engineSelection,omitempty"`

	// replicas of the plane, which accepts jobs and hands them out, 0 to 100. They share all in the engine. Default: 1.
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Replicas *int32 `json:"replicas,omitempty"`

	// worker runs the jobs.
	// +required
	Worker JobWorker `json:"worker,omitzero"`

	// concurrency is how many jobs one worker runs at once, 1 to 100. Default: 1.
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Concurrency int32 `json:"concurrency,omitempty"`

	// timeout of one attempt, and the most that a job may ask for, 1s to 168h. When workers are stopped, those under
	// way are given as long to end, 10m at most; then they are handed back. Default: 15m.
	// +optional
	// +default="15m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('168h')",message="timeout must be between 1s and 168h"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// retry says when a failed job is tried again.
	// +optional
	// +default={}
	Retry JobRetry `json:"retry,omitzero"`

	// priorities by name, 1 to 8, of which one is the default. Where jobs of several wait, their weights share the
	// workers, so that none is starved. Default: normal, with weight 1.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +default=[{"name":"normal","weight":1,"default":true}]
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:XValidation:rule="self.filter(p, has(p.default) && p.default).size() == 1",message="exactly one priority must be the default, for jobs that name none: set default to true on one"
	Priorities []JobPriority `json:"priorities,omitempty"`

	// ordering is None or Key: jobs of one orderingKey run one at a time, in the order of acceptance, and a job that
	// is tried again holds up those behind it. Default: None.
	// +optional
	// +default="None"
	Ordering JobOrdering `json:"ordering,omitempty"`

	// rateLimit bounds the starts of jobs of all workers together. Default: none.
	// +optional
	RateLimit *JobRateLimit `json:"rateLimit,omitempty"`

	// scaling lets Trellis choose the number of workers by the backlog. Default: worker.replicas decides.
	// +optional
	Scaling *JobScaling `json:"scaling,omitempty"`

	// deadLetter keeps the jobs that failed for good.
	// +optional
	// +default={}
	DeadLetter JobDeadLetter `json:"deadLetter,omitzero"`

	// results of the jobs that succeeded.
	// +optional
	// +default={}
	Results JobResults `json:"results,omitzero"`

	// limits of what is accepted.
	// +optional
	// +default={}
	Limits JobLimits `json:"limits,omitzero"`

	// schedules submit jobs at times, at most 32.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Schedules []JobSchedule `json:"schedules,omitempty"`

	// paused hands no jobs out, and accepts them all the same, while it is true. Default: false.
	// +optional
	Paused *bool `json:"paused,omitempty"`

	// drain says for how long a deletion waits for jobs. Default: for those that run alone, as long as a worker is given to stop.
	// +optional
	// +default={}
	Drain JobDrain `json:"drain,omitzero"`

	// exposure outside the cluster. Default: a ClusterIP Service.
	// +optional
	Exposure *Exposure `json:"exposure,omitempty"`
}

// JobDrain says for how long a deletion waits for jobs.
type JobDrain struct {
	// timeout is how long a deleted queue, which takes no new jobs any more, goes on before its workers are stopped, 0s to
	// 24h: under the policy Delete until no job is queued, running or retrying, under Retain until none runs. Default: 0s.
	// +optional
	// +default="0s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="timeout must be between 0s and 24h"
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// JobRetry says when a failed job is tried again.
type JobRetry struct {
	// maxAttempts is how often a job is tried before it is dead, 1 to 100; a job may ask for another number. Default: 5.
	// +optional
	// +default=5
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	MaxAttempts int32 `json:"maxAttempts,omitempty"`

	// backoff is how long a failed job waits.
	// +optional
	// +default={}
	Backoff JobBackoff `json:"backoff,omitzero"`

	// retryOn are the reasons that are tried again, at most 32: error, timeout, lost, exit:<code> and http:<status>, with
	// * for the last digits, as in http:5*. Default: all but what the worker calls permanent.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.all(r, r.matches('^(error|timeout|lost|(exit|http):([0-9]{1,3}|[0-9]{0,2}[*]))$'))",message="a reason is error, timeout, lost, exit:<code> or http:<status>, with * for the last digits, as in http:5*"
	RetryOn []string `json:"retryOn,omitempty"`
}

// JobBackoff is how long a failed job waits.
//
// +kubebuilder:validation:XValidation:rule="!has(self.initial) || !has(self.max) || duration(self.initial) <= duration(self.max)",message="backoff.initial is above backoff.max: lower it, or raise max"
type JobBackoff struct {
	// initial wait after the first failure, 0s to 24h. Default: 1s.
	// +optional
	// +default="1s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="initial must be between 0s and 24h"
	Initial *metav1.Duration `json:"initial,omitempty"`

	// max wait after any failure, 0s to 168h. Default: 10m.
	// +optional
	// +default="10m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('168h')",message="max must be between 0s and 168h"
	Max *metav1.Duration `json:"max,omitempty"`

	// multiplierPercent is each wait in percent of the one before, 100 to 1000: 200 doubles it. Default: 200.
	// +optional
	// +default=200
	// +kubebuilder:validation:Minimum=100
	// +kubebuilder:validation:Maximum=1000
	MultiplierPercent int32 `json:"multiplierPercent,omitempty"`

	// jitterPercent is by how much of it a wait is shortened at most, at random, so that jobs that failed together are
	// not tried together, 0 to 100. Default: 20.
	// +optional
	// +default=20
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	JitterPercent *int32 `json:"jitterPercent,omitempty"`
}

// JobPriority is a named share of the workers.
type JobPriority struct {
	// name of the priority, lower case letters, digits and '-', 63 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="a priority's name is lower case letters, digits and '-', 63 characters at most"
	Name string `json:"name,omitempty"`

	// weight is how many jobs of it are started for each of a priority with weight 1, where both wait, 1 to 100. Default: 1.
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Weight int32 `json:"weight,omitempty"`

	// default is true for the priority of jobs that name none. Default: false.
	// +optional
	Default *bool `json:"default,omitempty"`
}

// JobRateLimit bounds the starts of jobs, by a token bucket.
type JobRateLimit struct {
	// perSecond is how many jobs may start each second, 1 to 100000.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	PerSecond int32 `json:"perSecond,omitempty"`

	// burst is how many may start at once after a pause, 1 to 100000. Default: perSecond.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	Burst *int32 `json:"burst,omitempty"`
}

// JobDeadLetter keeps the jobs that failed for good.
type JobDeadLetter struct {
	// retention is how long dead and cancelled jobs are kept, to be looked at and redriven, 1m to 8760h. Default: 168h.
	// +optional
	// +default="168h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('8760h')",message="retention must be between 1m and 8760h"
	Retention *metav1.Duration `json:"retention,omitempty"`
}

// JobResults are what jobs came to.
type JobResults struct {
	// ttl is how long succeeded jobs and their results are kept, 1m to 8760h. Default: 24h.
	// +optional
	// +default="24h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('8760h')",message="ttl must be between 1m and 8760h"
	TTL *metav1.Duration `json:"ttl,omitempty"`

	// maxBytes is the most bytes of one result, 0 to 1048576; a job with a larger one fails. Default: 262144.
	// +optional
	// +default=262144
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1048576
	MaxBytes *int32 `json:"maxBytes,omitempty"`
}

// JobLimits bound what is accepted.
type JobLimits struct {
	// payloadBytes is the most bytes of one payload, 1 to 1048576. Default: 262144.
	// +optional
	// +default=262144
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1048576
	PayloadBytes int32 `json:"payloadBytes,omitempty"`

	// waiting is the most jobs that wait, 1 to 100000000; more are refused with 503 until some have run. Default: 500000.
	// +optional
	// +default=500000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000000
	Waiting int32 `json:"waiting,omitempty"`
}

// JobQueueStatus says how a queue is. Its replicas are those of the workers.
type JobQueueStatus struct {
	PatternStatus `json:",inline"`
	ScaleStatus   `json:",inline"`

	// jobs are counted now and then: when the spec changes, and every few minutes where they are many more or fewer. The
	// numbers of now are those of GET /v1/stats.
	// +optional
	Jobs *JobCountsStatus `json:"jobs,omitempty"`
}

// JobCountsStatus has the jobs of a queue by what they are, each rounded to two digits.
type JobCountsStatus struct {
	// waiting jobs are due.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Waiting int64 `json:"waiting,omitempty"`

	// scheduled jobs are due later, those among them that are to be tried again.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Scheduled int64 `json:"scheduled,omitempty"`

	// running jobs are a worker's.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Running int64 `json:"running,omitempty"`

	// dead jobs have failed for good, and are kept.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Dead int64 `json:"dead,omitempty"`

	// succeeded jobs are kept with their results.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Succeeded int64 `json:"succeeded,omitempty"`

	// countedAt is when they were counted.
	// +optional
	CountedAt metav1.Time `json:"countedAt,omitzero"`
}

// JobQueue accepts long-running tasks at once and has workers run them later, with retries, a status and
// a result for every job, and a place where those lie that failed for good.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.worker.replicas,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:resource:shortName=jq,categories=patterns;trellis
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Engine",type=string,JSONPath=`.spec.engine`
// +kubebuilder:printcolumn:name="Workers",type=integer,JSONPath=`.status.replicas`
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.status.endpoints[0].url`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40 && !format.dns1123Label().validate(self.metadata.name).hasValue()",message="the name must be lower case letters, digits and '-', 40 characters at most: other names are made from it"
type JobQueue struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says how jobs are accepted, run and kept.
	// +required
	Spec JobQueueSpec `json:"spec,omitzero"`

	// status says how the queue is.
	// +optional
	// +default={"conditions":[{"type":"Ready","status":"Unknown","reason":"Pending","message":"the operator has not looked at it yet","lastTransitionTime":"1970-01-01T00:00:00Z"}]}
	Status JobQueueStatus `json:"status,omitzero"`
}

// GetPatternSpec implements Pattern.
func (q *JobQueue) GetPatternSpec() *PatternSpec { return &q.Spec.PatternSpec }

// GetPatternStatus implements Pattern.
func (q *JobQueue) GetPatternStatus() *PatternStatus { return &q.Status.PatternStatus }

// JobQueueList is a list of JobQueues.
//
// +kubebuilder:object:root=true
type JobQueueList struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`

	// items of the list.
	// +required
	Items []JobQueue `json:"items"`
}
