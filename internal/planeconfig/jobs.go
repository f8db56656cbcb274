package planeconfig

import "encoding/json"

// MetricBacklog is the gauge of the jobs that workers have to do now, due or running, of a paused queue the running
// ones alone: what the operator scales workers by. Every replica of a plane reports the whole queue's.
const MetricBacklog = "trellis_jobs_backlog"

// MetricStartable is the gauge of those of the backlog that run, or that a worker would be given if it asked within the
// next seconds: others wait for their key or for the rate. By it the operator begins pods for one job each.
const MetricStartable = "trellis_jobs_startable"

// MetricDepth is the gauge of the whole queue's jobs by their status, with the label LabelStatus.
const (
	MetricDepth = "trellis_jobs_depth"
	LabelStatus = "status"
)

// MetricPaused is 1 while no jobs are handed out. MetricDraining is 1 when a replica accepts no new jobs any more, and its
// other gauges know of all that it accepted.
const (
	MetricPaused   = "trellis_jobs_paused"
	MetricDraining = "trellis_jobs_draining"
)

// MetricRunning is the gauge of the jobs that one worker runs now: those with the fewest are stopped first.
const MetricRunning = "trellis_worker_running"

// Where the executables lie in the plane's image.
const (
	PlaneBinary  = "/trellis-plane"
	RunnerBinary = "/trellis-runner"
)

// Jobs configures the plane of a JobQueue.
type Jobs struct {
	// Timeout of one attempt, and the most that a job may ask for.
	Timeout Duration `json:"timeout"`
	// LeaseTTL is how long a worker that says nothing keeps its job; it is told to say something three times as often.
	LeaseTTL Duration `json:"leaseTTL"`
	Retry    JobRetry `json:"retry"`
	// Priorities by name; one is the default.
	Priorities []JobPriority `json:"priorities"`
	// Ordered has jobs of one key run one at a time, in the order of acceptance.
	Ordered bool `json:"ordered,omitempty"`
	// Rate bounds the starts of jobs; nil for none.
	Rate *JobRate `json:"rate,omitempty"`
	// Limits of what is accepted.
	Limits JobLimits `json:"limits"`
	// DeadRetention is how long dead and cancelled jobs are kept.
	DeadRetention Duration `json:"deadRetention"`
	// ResultTTL is how long succeeded jobs and their results are kept.
	ResultTTL Duration      `json:"resultTTL"`
	Schedules []JobSchedule `json:"schedules,omitempty"`
	Sinks     []Sink        `json:"sinks,omitempty"`
	// Paused hands no jobs out; they are accepted all the same.
	Paused bool `json:"paused,omitempty"`
	// Draining accepts no jobs, as the queue is being deleted; they are handed out all the same.
	Draining bool `json:"draining,omitempty"`
}

// JobRetry says when a failed job is tried again.
type JobRetry struct {
	MaxAttempts int `json:"maxAttempts"`
	// Initial wait, multiplied by Multiplier for each further one up to Max; each is shortened by up to
	// Jitter (0 to 1) of it, at random.
	Initial    Duration `json:"initial"`
	Max        Duration `json:"max"`
	Multiplier float64  `json:"multiplier"`
	Jitter     float64  `json:"jitter"`
	// RetryOn are the reasons that are tried again: error, timeout, lost, exit:<code>, http:<status>, with * at
	// the end for any. Empty: all but permanent failures.
	RetryOn []string `json:"retryOn,omitempty"`
}

// JobPriority is a named share of the workers.
type JobPriority struct {
	Name string `json:"name"`
	// Weight is how many jobs of it are handed out for each of a priority with weight 1, where both wait.
	Weight  int  `json:"weight"`
	Default bool `json:"default,omitempty"`
}

// JobRate bounds the starts of jobs, by a token bucket.
type JobRate struct {
	PerSecond float64 `json:"perSecond"`
	Burst     int     `json:"burst"`
}

// JobLimits bound what is accepted.
type JobLimits struct {
	PayloadBytes int64 `json:"payloadBytes"`
	ResultBytes  int64 `json:"resultBytes"`
	// Waiting is the most jobs that wait; more are refused with 503.
	Waiting int64 `json:"waiting"`
}

// JobSchedule submits a job at times.
type JobSchedule struct {
	Name string `json:"name"`
	// Cron has five fields, or is @hourly and the like; TimeZone is an IANA name, UTC by default.
	Cron     string `json:"cron"`
	TimeZone string `json:"timeZone,omitempty"`
	// Concurrency is Allow, Forbid (skip while the job before is not at its end) or Replace (cancel it).
	Concurrency string `json:"concurrency"`
	// Missed is Skip, RunOnce or RunAll, for times that passed while no plane ran; no older than MissedWithin.
	Missed       string   `json:"missed"`
	MissedWithin Duration `json:"missedWithin"`
	Suspended    bool     `json:"suspended,omitempty"`

	Type        string            `json:"type,omitempty"`
	Payload     json.RawMessage   `json:"payload,omitempty"`
	Priority    string            `json:"priority,omitempty"`
	OrderingKey string            `json:"orderingKey,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
}
