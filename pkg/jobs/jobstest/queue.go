// Package jobstest is a queue in memory that speaks the lease protocol of a JobQueue, to test workers against. It imports
// the standard library and pkg/jobs only. It keeps no order, no priorities and no schedules.
package jobstest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

// Token is what requests to a Queue have to bear.
const Token = "the-workers-token"

// Options of a Queue.
type Options struct {
	// LeaseTTL is how long a lease lasts without a heartbeat; 3s by default.
	LeaseTTL time.Duration
	// ResultBytes is the most bytes of a result; 1 MiB by default.
	ResultBytes int
	// RetryDelay is how long a failed job waits for its next attempt; 0 by default.
	RetryDelay time.Duration
}

// Queue is an http.Handler and, for tests without a network, an http.RoundTripper.
type Queue struct {
	options Options

	mu      sync.Mutex
	jobs    map[string]*entry
	made    int
	away    bool
	calls   map[string]int
	faults  map[string][]Fault
	changed chan struct{}
}

// Fault is what a call is answered instead: a status, with a Retry-After where that is set.
type Fault struct {
	Status     int
	RetryAfter string
	// After has the call be carried out all the same, so that only its answer is lost.
	After bool
}

type entry struct {
	jobs.Job
	payload  jobs.Submission
	token    int64
	expires  time.Time
	deadline time.Time
	failure  jobs.FailRequest
}

// New makes an empty queue.
func New(o Options) *Queue {
	if o.LeaseTTL == 0 {
		o.LeaseTTL = 3 * time.Second
	}
	if o.ResultBytes == 0 {
		o.ResultBytes = 1 << 20
	}
	return &Queue{options: o, jobs: map[string]*entry{}, calls: map[string]int{}, faults: map[string][]Fault{}, changed: make(chan struct{})}
}

// Add accepts a job, and returns its id.
func (q *Queue) Add(s jobs.Submission) string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.add(s).ID
}

func (q *Queue) add(s jobs.Submission) *entry {
	q.made++
	e := &entry{payload: s, Job: jobs.Job{ID: fmt.Sprintf("00000000-0000-7000-8000-%012d", q.made), Type: s.Type, Status: jobs.StatusQueued,
		Metadata: s.Metadata, AcceptedAt: time.Now(), MaxAttempts: max(1, s.MaxAttempts), Timeout: s.Timeout, Priority: "normal"}}
	if e.Timeout == "" {
		e.Timeout = time.Minute.String()
	}
	q.jobs[e.ID] = e
	q.notify()
	return e
}

// Job returns a job as it is now; its Status is "" when there is none.
func (q *Queue) Job(id string) jobs.Job {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sweep()
	if e := q.jobs[id]; e != nil {
		return e.copy()
	}
	return jobs.Job{}
}

// Failure returns what the worker said of a job's last failed attempt.
func (q *Queue) Failure(id string) jobs.FailRequest {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.jobs[id].failure
}

// Cancel asks for a job to be ended.
func (q *Queue) Cancel(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.jobs[id].CancelRequested = true
	q.notify()
}

// Steal ends a job's lease, as if it had run out, and does not hand the job out again.
func (q *Queue) Steal(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.jobs[id]
	e.end(jobs.OutcomeLost, "stolen")
	e.Status = jobs.StatusScheduled
	q.notify()
}

// Away has every call be refused with 503, until it is called with false.
func (q *Queue) Away(away bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.away = away
	q.notify()
}

// Inject has the next calls of a verb, e.g. "heartbeat", meet these faults, one each.
func (q *Queue) Inject(verb string, faults ...Fault) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.faults[verb] = append(q.faults[verb], faults...)
}

// Calls counts the calls of a verb.
func (q *Queue) Calls(verb string) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.calls[verb]
}

// Changed returns a channel that is closed at the next change of anything.
func (q *Queue) Changed() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.changed
}

// notify is called with the lock held.
func (q *Queue) notify() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// sweep ends the leases that ran out and the attempts past their deadline. It is called with the lock held.
func (q *Queue) sweep() {
	now := time.Now()
	for _, e := range q.jobs {
		switch {
		case e.Status == jobs.StatusRetrying && !now.Before(*e.RunAt):
			e.Status = jobs.StatusQueued
		case e.Status != jobs.StatusRunning:
		case !now.Before(e.deadline):
			q.failed(e, jobs.OutcomeTimeout, jobs.FailRequest{Error: "the attempt's timeout is over"})
		case !now.Before(e.expires):
			q.failed(e, jobs.OutcomeLost, jobs.FailRequest{Error: "the worker said nothing"})
		}
	}
}

// failed ends an attempt: the job is tried again, dead, or cancelled.
func (q *Queue) failed(e *entry, outcome jobs.Outcome, f jobs.FailRequest) {
	e.end(outcome, f.Error)
	e.failure = f
	wait, _ := time.ParseDuration(f.RetryAfter) // absent is 0
	at := time.Now().Add(max(wait, q.options.RetryDelay))
	switch {
	case e.CancelRequested:
		e.Status = jobs.StatusCancelled
	case f.Permanent || e.Attempt >= e.MaxAttempts:
		e.Status = jobs.StatusDead
	default:
		e.Status, e.RunAt = jobs.StatusRetrying, &at
	}
	q.notify()
}

func (e *entry) end(outcome jobs.Outcome, text string) {
	now := time.Now()
	last := &e.Attempts[len(e.Attempts)-1]
	last.EndedAt, last.Outcome, last.Error = &now, outcome, text
	e.Error = text
	e.Revision++
}

func (e *entry) copy() jobs.Job {
	out := e.Job
	out.Attempts = slices.Clone(e.Attempts)
	out.Metadata = maps.Clone(e.Metadata)
	return out
}

func (e *entry) lease(ttl time.Duration) jobs.Lease {
	l := jobs.Lease{Job: e.copy(), Payload: e.payload.Payload, ContentType: "application/json", Token: e.token, ExpiresAt: e.expires,
		DeadlineAt: e.deadline, HeartbeatEvery: (ttl / 3).String(), TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	if len(e.payload.PayloadBase64) > 0 {
		l.PayloadBase64, l.ContentType = e.payload.PayloadBase64, e.payload.ContentType
	}
	if l.Payload == nil && l.PayloadBase64 == nil {
		l.Payload = json.RawMessage("null")
	}
	return l
}
