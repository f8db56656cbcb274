package jobs

import (
	"encoding/json"
	"time"
)

// Status is where a job is on its way. Every job ends in exactly one of StatusSucceeded, StatusDead and
// StatusCancelled, from which only a retry or a redrive brings it back.
type Status string

const (
	// StatusScheduled waits for its time.
	StatusScheduled Status = "scheduled"
	// StatusQueued waits for a worker.
	StatusQueued Status = "queued"
	// StatusRunning is leased by a worker.
	StatusRunning Status = "running"
	// StatusRetrying failed and waits for its next attempt.
	StatusRetrying Status = "retrying"
	// StatusSucceeded was completed, once.
	StatusSucceeded Status = "succeeded"
	// StatusDead failed for good.
	StatusDead Status = "dead"
	// StatusCancelled was ended on request.
	StatusCancelled Status = "cancelled"
)

// Terminal reports whether a job with this status is at its end.
func (s Status) Terminal() bool {
	return s == StatusSucceeded || s == StatusDead || s == StatusCancelled
}

// Submission is one job to accept. Payload is JSON; or PayloadBase64 bytes of ContentType.
type Submission struct {
	Type          string            `json:"type,omitempty" maxLength:"128" doc:"What kind of job it is, for workers and filters."`
	Payload       json.RawMessage   `json:"payload,omitempty" doc:"The job's input, any JSON."`
	PayloadBase64 []byte            `json:"payloadBase64,omitempty" doc:"The job's input as bytes in base64, instead of payload."`
	ContentType   string            `json:"contentType,omitempty" maxLength:"255" doc:"Media type of payloadBase64; application/octet-stream by default."`
	Priority      string            `json:"priority,omitempty" maxLength:"63" doc:"One of the queue's priorities; its default one by default."`
	RunAt         *time.Time        `json:"runAt,omitempty" doc:"When it may start, RFC 3339; at once by default."`
	Delay         string            `json:"delay,omitempty" maxLength:"32" doc:"How long until it may start, instead of runAt, e.g. 90s."`
	OrderingKey   string            `json:"orderingKey,omitempty" maxLength:"256" doc:"Jobs of one key run one at a time, in the order of acceptance, where the queue orders by key."`
	Timeout       string            `json:"timeout,omitempty" maxLength:"32" doc:"How long one attempt may take; the queue's timeout by default and at most."`
	MaxAttempts   int               `json:"maxAttempts,omitempty" minimum:"1" maximum:"100" doc:"How often it is tried; as the queue says by default."`
	Metadata      map[string]string `json:"metadata,omitempty" doc:"Up to 16 labels to find it by; keys of 63 and values of 256 characters at most."`
	// IdempotencyKey of an item of a batch; of a single job, the header Idempotency-Key says it.
	IdempotencyKey string `json:"idempotencyKey,omitempty" maxLength:"255" doc:"Accepted again under the same key, it is the same job."`
}

// Accepted says which job a submission became.
type Accepted struct {
	ID     string `json:"id" doc:"UUIDv7 of the job."`
	Status Status `json:"status"`
	// Existing is true when the idempotency key was known.
	Existing bool `json:"existing,omitempty" doc:"True when a submission with the same idempotency key had made this job."`
}

// Batch is up to 1,000 jobs to accept, in this order.
type Batch struct {
	Jobs []Submission `json:"jobs" minItems:"1" maxItems:"1000"`
}

// BatchReply says what became of the jobs of a batch, in its order. Its status is 202 where all were accepted, else 207.
type BatchReply struct {
	Results []BatchResult `json:"results"`
}

// BatchResult is the job that a submission became, or the problem why it became none.
type BatchResult struct {
	ID       string   `json:"id,omitempty" doc:"UUIDv7 of the job."`
	Status   Status   `json:"status,omitempty"`
	Existing bool     `json:"existing,omitempty"`
	Problem  *Refusal `json:"problem,omitempty"`
}

// Refusal is an RFC 9457 problem document: why a member of a batch was not accepted, or not completed.
type Refusal struct {
	Type   string `json:"type" doc:"A stable URI that names the kind of problem."`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail" doc:"What is wrong, and what to change."`
	// RetryAfter is in seconds.
	RetryAfter int `json:"retryAfter,omitempty" doc:"Seconds to wait before trying again."`
}

// Job is what a queue knows of a job, its payload and its result's content aside.
type Job struct {
	ID              string            `json:"id"`
	Type            string            `json:"type,omitempty"`
	Status          Status            `json:"status" enum:"scheduled,queued,running,retrying,succeeded,dead,cancelled"`
	Priority        string            `json:"priority"`
	OrderingKey     string            `json:"orderingKey,omitempty"`
	Metadata        map[string]string `json:"metadata,omitempty"`
	AcceptedAt      time.Time         `json:"acceptedAt"`
	RunAt           *time.Time        `json:"runAt,omitempty" doc:"When it may start, or start again."`
	StartedAt       *time.Time        `json:"startedAt,omitempty" doc:"When the last attempt began."`
	FinishedAt      *time.Time        `json:"finishedAt,omitempty"`
	Attempt         int               `json:"attempt" doc:"Attempts begun since it was accepted or redriven."`
	MaxAttempts     int               `json:"maxAttempts"`
	Timeout         string            `json:"timeout"`
	CancelRequested bool              `json:"cancelRequested,omitempty"`
	Progress        *Progress         `json:"progress,omitempty"`
	Attempts        []Attempt         `json:"attempts,omitempty" doc:"The last 25 attempts, the oldest first."`
	Error           string            `json:"error,omitempty" doc:"Why the last attempt failed."`
	Result          *Result           `json:"result,omitempty"`
	// Revision counts the changes of this job.
	Revision int64 `json:"revision" doc:"Counts the changes of this job; goes up only."`
}

// Progress is what a worker says of a job under way.
type Progress struct {
	Percent float64   `json:"percent" minimum:"0" maximum:"100"`
	Message string    `json:"message,omitempty" maxLength:"1024"`
	At      time.Time `json:"at,omitzero"`
}

// Outcome is how an attempt ended.
type Outcome string

const (
	// OutcomeSucceeded completed the job.
	OutcomeSucceeded Outcome = "succeeded"
	// OutcomeFailed was ended by its worker with an error.
	OutcomeFailed Outcome = "failed"
	// OutcomeLost had its lease run out: the worker died, or was cut off.
	OutcomeLost Outcome = "lost"
	// OutcomeTimeout took longer than the job's timeout.
	OutcomeTimeout Outcome = "timeout"
	// OutcomeReleased was handed back by its worker, and does not count.
	OutcomeReleased Outcome = "released"
	// OutcomeCancelled was ended on request.
	OutcomeCancelled Outcome = "cancelled"
)

// Attempt is one run of a job.
type Attempt struct {
	Number    int        `json:"number"`
	Worker    string     `json:"worker"`
	StartedAt time.Time  `json:"startedAt"`
	EndedAt   *time.Time `json:"endedAt,omitempty"`
	Outcome   Outcome    `json:"outcome,omitempty" doc:"Empty while it runs."`
	Error     string     `json:"error,omitempty"`
}

// Result is what a job came to. JSON is in Value, other bytes are in Base64.
type Result struct {
	ContentType string          `json:"contentType"`
	Bytes       int64           `json:"bytes"`
	Value       json.RawMessage `json:"value,omitempty"`
	Base64      []byte          `json:"base64,omitempty"`
}

// LeaseRequest asks for jobs to run.
type LeaseRequest struct {
	Worker string   `json:"worker" minLength:"1" maxLength:"253" doc:"Who asks, e.g. the pod's name."`
	Max    int      `json:"max,omitempty" minimum:"1" maximum:"100" doc:"The most jobs to lease; 1 by default."`
	Types  []string `json:"types,omitempty" maxItems:"32" doc:"Only jobs of these types; all by default."`
	// Wait is how long to wait for the first one, at most 60s.
	Wait string `json:"wait,omitempty" maxLength:"16" doc:"How long to wait for the first job, 60s at most; 0s by default."`
}

// LeaseReply holds what was leased; it may be empty.
type LeaseReply struct {
	Leases []Lease `json:"leases"`
}

// Lease is a job that its worker may run until ExpiresAt, and longer where it sends heartbeats.
type Lease struct {
	Job Job `json:"job"`
	// Payload is JSON where ContentType is application/json, else PayloadBase64 has it.
	Payload       json.RawMessage `json:"payload,omitempty"`
	PayloadBase64 []byte          `json:"payloadBase64,omitempty"`
	ContentType   string          `json:"contentType"`
	// Token fences: only its holder can extend or end this attempt, and any later attempt's is greater.
	Token int64 `json:"token" doc:"The fencing token: greater with every lease of this job."`
	// ExpiresAt is when the lease ends without a heartbeat; the heartbeat of HeartbeatEvery prevents it.
	ExpiresAt      time.Time `json:"expiresAt"`
	HeartbeatEvery string    `json:"heartbeatEvery" doc:"How often a heartbeat is to be sent."`
	// DeadlineAt is when the attempt's timeout is over.
	DeadlineAt time.Time `json:"deadlineAt"`
	// TraceParent continues the trace of the submission (W3C Trace Context).
	TraceParent string `json:"traceparent,omitempty"`
}

// HeartbeatRequest extends a lease.
type HeartbeatRequest struct {
	Token    int64     `json:"token"`
	Progress *Progress `json:"progress,omitempty"`
}

// HeartbeatReply says how long the lease now is, and whether to stop.
type HeartbeatReply struct {
	ExpiresAt time.Time `json:"expiresAt"`
	Cancelled bool      `json:"cancelled" doc:"True when the job is to be ended: stop, and fail it with cancelled."`
}

// CompleteRequest ends an attempt with a result: Value is JSON, or Base64 bytes of ContentType.
type CompleteRequest struct {
	Token       int64           `json:"token"`
	Value       json.RawMessage `json:"value,omitempty"`
	Base64      []byte          `json:"base64,omitempty"`
	ContentType string          `json:"contentType,omitempty" maxLength:"255"`
}

// Completion ends one attempt of a batch with a result.
type Completion struct {
	ID string `json:"id" doc:"UUIDv7 of the job."`
	CompleteRequest
}

// CompleteBatch is up to 1,000 attempts to end with results.
type CompleteBatch struct {
	Jobs []Completion `json:"jobs" minItems:"1" maxItems:"1000"`
}

// CompleteBatchReply says what became of the completions of a batch, in its order. Its status is 200 where all were completed, else 207.
type CompleteBatchReply struct {
	Results []Completed `json:"results"`
}

// Completed is the status of a job that was completed, or the problem why it was not. ID is empty where none was sent that is one.
type Completed struct {
	ID      string   `json:"id,omitempty" doc:"UUIDv7 of the job."`
	Status  Status   `json:"status,omitempty"`
	Problem *Refusal `json:"problem,omitempty"`
}

// FailRequest ends an attempt with an error.
type FailRequest struct {
	Token int64  `json:"token"`
	Error string `json:"error" minLength:"1" maxLength:"4096"`
	// Reason is matched by the queue's retryOn: error, timeout, exit:<code>, http:<status>.
	Reason string `json:"reason,omitempty" maxLength:"63" doc:"What the queue's retryOn is matched with: error, timeout, cancelled, exit:137, http:503."`
	// Permanent failures are not tried again.
	Permanent bool `json:"permanent,omitempty"`
	// RetryAfter is the least time until the next attempt.
	RetryAfter string `json:"retryAfter,omitempty" maxLength:"32"`
}

// ReleaseRequest hands a job back, untouched: the attempt does not count.
type ReleaseRequest struct {
	Token int64 `json:"token"`
}

// Page is a part of a list.
type Page struct {
	Jobs []Job `json:"jobs"`
	// Cursor of the next page; empty at the end.
	Cursor string `json:"cursor,omitempty"`
}

// Filter chooses jobs.
type Filter struct {
	Status   Status            `json:"status,omitempty"`
	Type     string            `json:"type,omitempty" maxLength:"128"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// RedriveRequest brings dead jobs back.
type RedriveRequest struct {
	Filter
	// Max jobs to bring back; all by default.
	Max int `json:"max,omitempty" minimum:"1" doc:"The most jobs to bring back; all by default."`
	// PerSecond spreads their starts.
	PerSecond float64 `json:"perSecond,omitempty" minimum:"0" doc:"How many start each second; all at once by default."`
}

// RedriveReply says how many came back.
type RedriveReply struct {
	Redriven int `json:"redriven"`
}

// Stats are the numbers of a queue.
type Stats struct {
	// Backlog is what workers have to do now: jobs that are due, and those that run.
	Backlog int64 `json:"backlog" doc:"Jobs that are due and those that run: what workers are scaled by."`
	// Startable is what of the backlog runs, or could be started by now as far as order by key and the rate allow.
	Startable int64            `json:"startable" doc:"Jobs of the backlog that run, and those that could be started by now as far as order by key and the rate allow. Of those of one priority that wait, 1,000 are counted at the most."`
	Depth     map[Status]int64 `json:"depth" doc:"Jobs by status."`
	// ByPriority counts the waiting jobs.
	ByPriority map[string]int64 `json:"byPriority" doc:"Jobs that wait, by priority."`
	// OldestAge of the jobs that are due, in seconds.
	OldestAgeSeconds float64 `json:"oldestAgeSeconds"`
	// Rates of the last minute.
	AcceptedPerSecond  float64 `json:"acceptedPerSecond"`
	CompletedPerSecond float64 `json:"completedPerSecond"`
	FailedPerSecond    float64 `json:"failedPerSecond"`
	Paused             bool    `json:"paused"`
	// Draining is true of a queue that is being deleted.
	Draining bool `json:"draining,omitempty" doc:"The queue is being deleted: it accepts no new jobs, and works off those that it has."`
}

// Types of the CloudEvents that a queue sends to its sinks.
const (
	EventAccepted  = "dev.trellis.job.accepted"
	EventStarted   = "dev.trellis.job.started"
	EventProgress  = "dev.trellis.job.progress"
	EventSucceeded = "dev.trellis.job.succeeded"
	EventFailed    = "dev.trellis.job.failed"
	EventDead      = "dev.trellis.job.dead"
)
