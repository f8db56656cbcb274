package machine

import (
	"encoding/json"
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// keptAttempts is how many attempts a job remembers.
const keptAttempts = 25

// mediaJSON is the content type whose bytes are shown as JSON.
const mediaJSON = "application/json"

// Content is a payload or a result: its bytes, or what they can be found by where they are kept elsewhere.
type Content struct {
	Type string
	Data []byte
	// Ref is where the bytes are instead of in Data; empty where they are in Data.
	Ref string
	// Size of the bytes.
	Size int64
}

// Inline is a content that has its bytes itself.
func Inline(b plane.Body) Content {
	return Content{Type: b.ContentType, Data: b.Data, Size: int64(len(b.Data))}
}

// Body is the content with its bytes, where those are here.
func (c Content) Body() plane.Body { return plane.Body{ContentType: c.Type, Data: c.Data} }

// job is what the machine knows of a job. Times are in nanoseconds since 1970, 0 for none.
type job struct {
	id          string
	kind        string
	key         string
	idempotency string
	traceParent string
	failure     string
	digest      []byte
	metadata    map[string]string
	class       *class
	progress    *jobs.Progress
	result      *Content
	attempts    []attempt
	payload     Content

	// seq counts the jobs in the order of acceptance.
	seq                                uint64
	accepted, runAt, started, finished int64
	timeout, expires, deadline         int64
	token, revision                    int64
	attempt, maxAttempts               int32
	status                             status
	cancelRequested                    bool
	// due is true once its time has come.
	due bool
	// inKey is true while it is in the pile of its ordering key.
	inKey bool

	// place is the one pile that the job is in; pos is where in each kind of pile it is.
	place *pile
	pos   [slots]int32
}

// attempt is one run of a job.
type attempt struct {
	number         int32
	token          int64
	worker         string
	started, ended int64
	outcome        jobs.Outcome
	failure        string
	// swept is true when it was ended by a sweep and not by its worker.
	swept bool
}

// status in one byte; the order is that of statuses, and part of the encoding.
type status uint8

const (
	scheduled status = iota
	queued
	running
	retrying
	succeeded
	dead
	cancelled
	statusCount
)

var statuses = [statusCount]jobs.Status{
	jobs.StatusScheduled, jobs.StatusQueued, jobs.StatusRunning, jobs.StatusRetrying,
	jobs.StatusSucceeded, jobs.StatusDead, jobs.StatusCancelled,
}

func (s status) terminal() bool { return s >= succeeded }
func (s status) waiting() bool  { return s == scheduled || s == queued || s == retrying }

// nanos is the time as the machine keeps it.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// instant is the opposite of nanos.
func instant(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

func pointer(n int64) *time.Time {
	if n == 0 {
		return nil
	}
	t := instant(n)
	return &t
}

// dueAt is when the job may start.
func (j *job) dueAt() int64 {
	if j.runAt != 0 {
		return j.runAt
	}
	return j.accepted
}

// summary is the job without attempts and result.
func (j *job) summary() jobs.Job {
	out := jobs.Job{
		ID: j.id, Type: j.kind, Status: statuses[j.status], Priority: j.class.name, OrderingKey: j.key,
		Metadata: j.metadata, AcceptedAt: instant(j.accepted), RunAt: pointer(j.runAt), StartedAt: pointer(j.started),
		FinishedAt: pointer(j.finished), Attempt: int(j.attempt), MaxAttempts: int(j.maxAttempts),
		Timeout: time.Duration(j.timeout).String(), CancelRequested: j.cancelRequested, Error: j.failure, Revision: j.revision,
	}
	if j.progress != nil {
		p := *j.progress
		out.Progress = &p
	}
	return out
}

// view is the job with its attempts, without its result.
func (j *job) view() jobs.Job {
	out := j.summary()
	for _, a := range j.attempts {
		out.Attempts = append(out.Attempts, jobs.Attempt{
			Number: int(a.number), Worker: a.worker, StartedAt: instant(a.started), EndedAt: pointer(a.ended),
			Outcome: a.outcome, Error: a.failure,
		})
	}
	return out
}

// Result is a content as the contract shows it.
func (c Content) Result() *jobs.Result {
	r := &jobs.Result{ContentType: c.Type, Bytes: int64(len(c.Data))}
	if c.Type == mediaJSON {
		r.Value = json.RawMessage(c.Data)
	} else {
		r.Base64 = c.Data
	}
	return r
}

// begin notes a new attempt.
func (j *job) begin(now int64, worker string) {
	j.attempt++
	j.token++
	j.started = now
	if len(j.attempts) == keptAttempts {
		j.attempts = append(j.attempts[:0], j.attempts[1:]...)
	}
	j.attempts = append(j.attempts, attempt{number: j.attempt, token: j.token, worker: worker, started: now})
}

// end notes how the attempt under way ended.
func (j *job) end(now int64, outcome jobs.Outcome, failure string, swept bool) {
	a := &j.attempts[len(j.attempts)-1]
	a.ended, a.outcome, a.failure, a.swept = now, outcome, failure, swept
	j.expires, j.deadline, j.progress = 0, 0, nil
}

// ended is the attempt that the token stands for, where it was ended by its worker.
func (j *job) ended(token int64) (jobs.Outcome, bool) {
	for i := len(j.attempts) - 1; i >= 0; i-- {
		if a := j.attempts[i]; a.token == token {
			return a.outcome, a.ended != 0 && !a.swept
		}
	}
	return "", false
}
