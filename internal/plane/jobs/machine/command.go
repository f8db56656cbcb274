package machine

import (
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// Command is one step of a queue. The result of State.Apply is said at each.
type Command interface {
	apply(*State) any
	kind() kind
	code(*codec)
}

// Submit accepts jobs; results []plane.SubmitResult.
type Submit struct {
	Now   time.Time
	Batch []NewJob
}

// NewJob is a submission whose payload may be elsewhere.
type NewJob struct {
	plane.NewJob
	// Content is the payload; NewJob.Payload is not looked at.
	Content Content
}

// Lease hands out jobs; result []Leased.
type Lease struct {
	Now    time.Time
	Worker string
	Max    int
	Types  []string
}

// Leased is a job that was handed out.
type Leased struct {
	plane.Leased
	Content Content
}

// Extend keeps a lease; result Extended.
type Extend struct {
	Now      time.Time
	Claim    plane.Claim
	Progress *jobs.Progress
}

// Extended is how long a lease is, and whether its worker is to stop.
type Extended struct {
	Expires   time.Time
	Cancelled bool
	Err       error
}

// Ended is what became of a job.
type Ended struct {
	Job jobs.Job
	// Again is true for a command that had been applied before.
	Again bool
	Err   error
}

// Complete ends a job as succeeded; result Ended.
type Complete struct {
	Now    time.Time
	Claim  plane.Claim
	Result Content
}

// Fail ends an attempt; result Ended. The verdict is in the command, as it has jitter in it and depends on a
// configuration: one for the job as it is, and one for the case that its end was asked for meanwhile.
type Fail struct {
	Now         time.Time
	Claim       plane.Claim
	Outcome     jobs.Outcome
	Error       string
	Verdict     plane.Verdict
	IfCancelled plane.Verdict
	// Swept is true where a sweep does it: then it counts only if the attempt is over at Now.
	Swept bool
}

// Release hands a job back; result Ended.
type Release struct {
	Now   time.Time
	Claim plane.Claim
}

// Cancel ends a job, or has its worker told; result Ended.
type Cancel struct {
	Now time.Time
	ID  string
}

// Retry starts a job anew or at once; result Ended.
type Retry struct {
	Now time.Time
	ID  string
}

// Delete forgets a job; result Ended without a job.
type Delete struct{ ID string }

// Redrive starts dead jobs anew, one each Interval; result int.
type Redrive struct {
	Now      time.Time
	Filter   jobs.Filter
	Max      int
	Interval time.Duration
}

// Purge forgets up to Max jobs past their keeping; result int.
type Purge struct {
	Now time.Time
	Max int
}

// Pause stops or resumes handing jobs out; result nil.
type Pause struct{ Paused bool }

// Take leases a sink's events; result []plane.Event.
type Take struct {
	Now  time.Time
	Sink string
	Max  int
	TTL  time.Duration
}

// Sent forgets a sink's events; result nil.
type Sent struct {
	Sink string
	IDs  []string
}

// Fire submits a schedule's job, where it last fired at Last; result Fired.
type Fire struct {
	Now, Last, At time.Time
	Name          string
	Job           *NewJob
}

// Fired is whether a schedule fired.
type Fired struct {
	Done bool
	Err  error
}

// Configure has settings count; result nil.
type Configure struct{ Settings Settings }

func (c *Submit) apply(s *State) any    { return s.submit(*c) }
func (c *Lease) apply(s *State) any     { return s.lease(*c) }
func (c *Extend) apply(s *State) any    { return s.extend(*c) }
func (c *Complete) apply(s *State) any  { return s.complete(*c) }
func (c *Fail) apply(s *State) any      { return s.fail(*c) }
func (c *Release) apply(s *State) any   { return s.release(*c) }
func (c *Cancel) apply(s *State) any    { return s.cancel(*c) }
func (c *Retry) apply(s *State) any     { return s.retry(*c) }
func (c *Delete) apply(s *State) any    { return s.delete(*c) }
func (c *Redrive) apply(s *State) any   { return s.redrive(*c) }
func (c *Purge) apply(s *State) any     { return s.purge(*c) }
func (c *Pause) apply(s *State) any     { s.pause(*c); return nil }
func (c *Take) apply(s *State) any      { return s.take(*c) }
func (c *Sent) apply(s *State) any      { s.sent(*c); return nil }
func (c *Fire) apply(s *State) any      { return s.fire(*c) }
func (c *Configure) apply(s *State) any { s.configure(*c); return nil }
