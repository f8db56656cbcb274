package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

// What a Store answers when it can not do what is asked. Anything else is a fault of the engine, which may
// be over a moment later: it becomes 503 with Retry-After.
var (
	// ErrNotFound: there is no such job, or no longer.
	ErrNotFound = errors.New("no such job")
	// ErrFenced: the lease that the token stands for is over.
	ErrFenced = errors.New("the lease is over")
	// ErrState: the job's status does not allow it.
	ErrState = errors.New("the job's status does not allow it")
	// ErrFull: as many jobs wait as the limits allow.
	ErrFull = errors.New("the queue is full")
	// ErrCursor: the cursor is none that List gave.
	ErrCursor = errors.New("not a cursor of this list")
	// ErrKeyReused: the idempotency key stands for another payload.
	ErrKeyReused = errors.New("the idempotency key was used for another job")
)

const (
	// StartableCounted is how many jobs of a priority are counted that can be started.
	StartableCounted = 1000
	// StartableWithin is how soon the rate has to let a job start for it to be counted: as often as counts are told.
	StartableWithin = statsEvery
)

// Store keeps the jobs of one queue in an engine. What it returned without an error is durable. Every method is
// safe for several replicas of the plane at once, and each change of a job is one atomic step: a replica that
// dies anywhere leaves every job in a status from which it goes on.
//
// Times come from the caller's clock, so that tests can move it; replicas' clocks may differ by a second or two, which
// shifts a lease and breaks nothing. Of clocks that differ by more, or jump, this is promised. No job is completed twice:
// which attempt counts is told by its token, and by no clock. What a clock says that is ahead by d happens up to d early
// where it compares: leases and attempts end, jobs start and are forgotten; an attempt that ends so is lost, its worker
// fenced, and counts as one. What that clock wrote happens up to d late, and no later, by one that is right: the end of
// a lease, the next attempt, the start of a job that was accepted then. A clock that goes back holds up no sweep: Next is
// a few seconds after now at the latest. A bound on the rate of starts waits for ClocksDiffer at most for a clock that
// was ahead. A schedule fires once for each time, unless the clock goes back by more than an hour: see schedule.due.
type Store interface {
	// Run connects, prepares and follows the engine until ctx ends, through restarts of the engine. It returns an
	// error only for what no waiting mends.
	Run(ctx context.Context) error

	// Submit accepts jobs, all that it can: results[i] belongs to batch[i]. One with an idempotency key that is known
	// and the same content is the job that it made; with other content it is ErrKeyReused. The order of acceptance
	// is the order of the batch.
	Submit(ctx context.Context, now time.Time, batch []NewJob) (results []SubmitResult, err error)

	// Get returns a job with its attempts and, where it has one, its result.
	Get(ctx context.Context, id string) (jobs.Job, error)
	// List returns jobs that match, the newest first, without attempts and results. cursor is "" or what the page
	// before gave; strangers send what they like, and get ErrCursor.
	List(ctx context.Context, f jobs.Filter, cursor string, limit int) (jobs.Page, error)

	// Lease hands out jobs that are due, and does not wait: leased[i], at most queries[i].Max, belongs to queries[i], and
	// earlier queries go first. Priorities share by their weights; of one ordering key the oldest job that is not at its
	// end goes first and alone. Where the settings bound the rate of starts, all replicas together keep to it; again is
	// then when more may start, and zero where only a Change that is Due brings more.
	Lease(ctx context.Context, now time.Time, queries []LeaseQuery) (leased [][]Leased, again time.Time, err error)
	// Extend keeps a lease until now + the lease's length, notes progress, and tells whether to stop.
	Extend(ctx context.Context, now time.Time, c Claim, p *jobs.Progress) (expires time.Time, cancelled bool, err error)
	// Complete ends jobs as succeeded: results[i] belongs to batch[i]. A second one with the same claim returns the job as it
	// is, as its answer may have been lost. The jobs come without attempts and results.
	Complete(ctx context.Context, now time.Time, batch []Completion) (results []CompleteResult, err error)
	// Fail ends an attempt: the job is tried again at verdict.RetryAt, or dead, or cancelled. As with Complete, again is no fault.
	Fail(ctx context.Context, now time.Time, c Claim, f Failure) (jobs.Job, error)
	// Release hands a job back as it was before the lease: the attempt does not count.
	Release(ctx context.Context, now time.Time, c Claim) error

	// Cancel ends a job that waits at once; for one that runs, its worker is told by Extend, and it is fenced when
	// the lease ends. ErrState for one that is at its end.
	Cancel(ctx context.Context, now time.Time, id string) (jobs.Job, error)
	// Retry starts a dead or cancelled job anew, and one that waits at once. ErrState for others.
	Retry(ctx context.Context, now time.Time, id string) (jobs.Job, error)
	// Delete forgets a job. ErrState while it runs.
	Delete(ctx context.Context, id string) error
	// Redrive starts up to r.Max dead jobs that match anew, the oldest first, perSecond of them each second.
	Redrive(ctx context.Context, now time.Time, r jobs.RedriveRequest) (int, error)

	// Stats counts.
	Stats(ctx context.Context, now time.Time) (jobs.Stats, error)
	// SetPaused stops and resumes handing jobs out, for all replicas, and outlives a restart.
	SetPaused(ctx context.Context, paused bool) error

	// Sweep ends what is over: leases that ran out (lost) and attempts past their deadline (timeout) as Fail would, jobs and results
	// past their keeping. It does a bounded piece of work and tells when it is to be called next at the latest.
	Sweep(ctx context.Context, now time.Time) (Swept, error)

	// Changes tells of every change of a job and of every job that comes due, made by any replica, until ctx ends. A slow
	// reader misses some: then it gets one Change with Missed set. The channel is closed at the end.
	Changes(ctx context.Context) <-chan Change

	// Events are the CloudEvents that a sink has not got yet, in order per job, leased to the caller for ttl so that replicas
	// share the work: while one of a job's events is leased to another caller, none of that job's are handed out.
	Events(ctx context.Context, now time.Time, sink string, atMost int, ttl time.Duration) ([]Event, error)
	// Sent forgets events that a sink has got, or that are given up.
	Sent(ctx context.Context, sink string, ids []string) error
	// Waiting is how many events a sink has not got yet; it need not count further than atMost.
	Waiting(ctx context.Context, sink string, atMost int) (int, error)

	// Schedule returns when the schedule last fired, zero for never, and the id of the job that it made then.
	Schedule(ctx context.Context, name string) (fired time.Time, job string, err error)
	// Fire submits the schedule's job for the time at, once for all replicas: it does nothing and returns false where
	// last is not what Schedule says any more. A nil job moves the time alone.
	Fire(ctx context.Context, now time.Time, name string, last, at time.Time, job *NewJob) (bool, error)

	// Reconfigure has settings count from now on.
	Reconfigure(s Settings)
}

// Handing is a Store that accepts jobs and hands out jobs in one step: to a worker that waits, a new job is one write away, and not two.
type Handing interface {
	// SubmitAndLease is Submit followed by Lease, as one. The jobs that it hands out are those that Lease would, whichever they are.
	// Where nothing is said against a batch, but nothing could be handed out, leased[i] is empty.
	SubmitAndLease(ctx context.Context, now time.Time, batch []NewJob, queries []LeaseQuery) (results []SubmitResult, leased [][]Leased, err error)
}

// ClocksDiffer is by how much replicas' clocks may differ for a bound on the rate of starts to be theirs together: a time
// that is further ahead was written by a clock that was wrong, and counts no more.
const ClocksDiffer = 5 * time.Minute

// Settings are what a store has to know of the configuration.
type Settings struct {
	LeaseTTL time.Duration
	// Weights by the name of a priority.
	Weights map[string]int
	// Ordered has jobs of one key run one at a time.
	Ordered bool
	// Rate of starts and Burst, 0 for no bound.
	Rate  float64
	Burst int
	// Waiting is the most jobs that wait.
	Waiting int64
	// DeadRetention and ResultTTL are how long jobs are kept at their end.
	DeadRetention, ResultTTL time.Duration
	// Sinks by name, with the types of events each wants; nil for all.
	Sinks map[string][]string
	// Decide says what becomes of a job after a failed attempt. It is pure but for its jitter.
	Decide func(job jobs.Job, f Failure, now time.Time) Verdict
}

// Body is a payload or a result.
type Body struct {
	ContentType string
	Data        []byte
}

// Swept is what a sweep did.
type Swept struct {
	// Next is when to sweep again at the latest.
	Next time.Time
	// Lost leases and TimedOut attempts that were ended; Dead of those jobs are at their end.
	Lost, TimedOut, Dead int
}

// NewJob is a checked submission.
type NewJob struct {
	// ID is a UUIDv7.
	ID             string
	Type           string
	Payload        Body
	Priority       string
	RunAt          time.Time // zero: at once
	OrderingKey    string
	Timeout        time.Duration
	MaxAttempts    int
	Metadata       map[string]string
	IdempotencyKey string
	// Digest of what the idempotency key stands for.
	Digest      []byte
	TraceParent string
}

// SubmitResult is the job that a submission became, or why it became none: ErrFull or ErrKeyReused.
type SubmitResult struct {
	jobs.Accepted
	Err error
}

// LeaseQuery asks for jobs.
type LeaseQuery struct {
	Worker string
	Max    int
	Types  []string
}

// Leased is a job that was handed out.
type Leased struct {
	Job         jobs.Job
	Payload     Body
	Token       int64
	Expires     time.Time
	Deadline    time.Time
	TraceParent string
}

// Claim says whose attempt it is.
type Claim struct {
	ID    string
	Token int64
}

// Completion ends an attempt with a result.
type Completion struct {
	Claim
	Result Body
}

// CompleteResult is the job that was completed, or why it was not: ErrNotFound, ErrFenced or ErrState.
type CompleteResult struct {
	Job jobs.Job
	Err error
}

// Failure is why an attempt ended.
type Failure struct {
	Outcome    jobs.Outcome
	Reason     string
	Error      string
	Permanent  bool
	RetryAfter time.Duration
}

// Verdict is what becomes of a job after a failure.
type Verdict struct {
	// Status is StatusRetrying, StatusDead or StatusCancelled.
	Status jobs.Status
	// RetryAt is when the next attempt may start.
	RetryAt time.Time
}

// Change tells that a job changed.
type Change struct {
	ID string
	// Due is true when a job may be leased that could not before.
	Due bool
	// Missed is true when changes were left out: whoever waits for one looks for itself.
	Missed bool
}

// Event is a CloudEvent to be sent.
type Event struct {
	// ID is unique, and the same at every attempt to send it.
	ID   string
	Type string
	Time time.Time
	Job  jobs.Job
	// TraceParent of the submission.
	TraceParent string
}
