package machine

import (
	"fmt"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// Version of the commands and of the snapshots. A replica that meets a greater one, or a kind of command that it
// does not know, must not go on.
const Version = 1

// kind is a kind of command, as it is written.
type kind uint64

// These numbers are in logs: one is never used for something else.
const (
	kindSubmit kind = iota + 1
	kindLease
	kindExtend
	kindComplete
	kindFail
	kindRelease
	kindCancel
	kindRetry
	kindDelete
	kindRedrive
	kindPurge
	kindPause
	kindTake
	kindSent
	kindFire
	kindConfigure
)

func (*Submit) kind() kind    { return kindSubmit }
func (*Lease) kind() kind     { return kindLease }
func (*Extend) kind() kind    { return kindExtend }
func (*Complete) kind() kind  { return kindComplete }
func (*Fail) kind() kind      { return kindFail }
func (*Release) kind() kind   { return kindRelease }
func (*Cancel) kind() kind    { return kindCancel }
func (*Retry) kind() kind     { return kindRetry }
func (*Delete) kind() kind    { return kindDelete }
func (*Redrive) kind() kind   { return kindRedrive }
func (*Purge) kind() kind     { return kindPurge }
func (*Pause) kind() kind     { return kindPause }
func (*Take) kind() kind      { return kindTake }
func (*Sent) kind() kind      { return kindSent }
func (*Fire) kind() kind      { return kindFire }
func (*Configure) kind() kind { return kindConfigure }

var kinds = map[kind]func() Command{
	kindSubmit:    func() Command { return &Submit{} },
	kindLease:     func() Command { return &Lease{} },
	kindExtend:    func() Command { return &Extend{} },
	kindComplete:  func() Command { return &Complete{} },
	kindFail:      func() Command { return &Fail{} },
	kindRelease:   func() Command { return &Release{} },
	kindCancel:    func() Command { return &Cancel{} },
	kindRetry:     func() Command { return &Retry{} },
	kindDelete:    func() Command { return &Delete{} },
	kindRedrive:   func() Command { return &Redrive{} },
	kindPurge:     func() Command { return &Purge{} },
	kindPause:     func() Command { return &Pause{} },
	kindTake:      func() Command { return &Take{} },
	kindSent:      func() Command { return &Sent{} },
	kindFire:      func() Command { return &Fire{} },
	kindConfigure: func() Command { return &Configure{} },
}

// Append adds a command's bytes to b.
func Append(b []byte, c Command) []byte {
	x := codec{bytes: b}
	k := uint64(c.kind())
	x.uint(&k)
	c.code(&x)
	return x.bytes
}

// Commands are those whose bytes were appended one after the other.
func Commands(b []byte) ([]Command, error) {
	var out []Command
	x := codec{bytes: b, reading: true}
	for x.at < len(b) {
		var k uint64
		x.uint(&k)
		known := kinds[kind(k)]
		if known == nil {
			return nil, fmt.Errorf("a command of the unknown kind %d: %w", k, ErrNewer)
		}
		c := known()
		c.code(&x)
		out = append(out, c)
	}
	return out, x.end("a command")
}

func (c *Submit) code(x *codec) {
	x.time(&c.Now)
	list(x, &c.Batch, x.newJob)
}

func (x *codec) newJob(n *NewJob) {
	x.string(&n.ID)
	x.string(&n.Type)
	x.content(&n.Content)
	x.string(&n.Priority)
	x.time(&n.RunAt)
	x.string(&n.OrderingKey)
	x.duration(&n.Timeout)
	x.count(&n.MaxAttempts)
	x.metadata(&n.Metadata)
	x.string(&n.IdempotencyKey)
	x.data(&n.Digest)
	x.string(&n.TraceParent)
}

func (c *Lease) code(x *codec) {
	x.time(&c.Now)
	x.string(&c.Worker)
	x.count(&c.Max)
	x.strings(&c.Types)
}

func (x *codec) claim(c *plane.Claim) {
	x.string(&c.ID)
	x.int(&c.Token)
}

func (c *Extend) code(x *codec) {
	x.time(&c.Now)
	x.claim(&c.Claim)
	optional(x, &c.Progress, x.progress)
}

func (c *Complete) code(x *codec) {
	x.time(&c.Now)
	x.claim(&c.Claim)
	x.content(&c.Result)
}

func (c *Fail) code(x *codec) {
	x.time(&c.Now)
	x.claim(&c.Claim)
	x.string((*string)(&c.Outcome))
	x.string(&c.Error)
	x.verdict(&c.Verdict)
	x.verdict(&c.IfCancelled)
	x.bool(&c.Swept)
}

func (x *codec) verdict(v *plane.Verdict) {
	x.string((*string)(&v.Status))
	x.time(&v.RetryAt)
}

func (c *Release) code(x *codec) {
	x.time(&c.Now)
	x.claim(&c.Claim)
}

func (c *Cancel) code(x *codec) {
	x.time(&c.Now)
	x.string(&c.ID)
}

func (c *Retry) code(x *codec) {
	x.time(&c.Now)
	x.string(&c.ID)
}

func (c *Delete) code(x *codec) { x.string(&c.ID) }

func (c *Redrive) code(x *codec) {
	x.time(&c.Now)
	x.filter(&c.Filter)
	x.count(&c.Max)
	x.duration(&c.Interval)
}

func (x *codec) filter(f *jobs.Filter) {
	x.string((*string)(&f.Status))
	x.string(&f.Type)
	x.metadata(&f.Metadata)
}

func (c *Purge) code(x *codec) {
	x.time(&c.Now)
	x.count(&c.Max)
}

func (c *Pause) code(x *codec) { x.bool(&c.Paused) }

func (c *Take) code(x *codec) {
	x.time(&c.Now)
	x.string(&c.Sink)
	x.count(&c.Max)
	x.duration(&c.TTL)
}

func (c *Sent) code(x *codec) {
	x.string(&c.Sink)
	x.strings(&c.IDs)
}

func (c *Fire) code(x *codec) {
	x.time(&c.Now)
	x.time(&c.Last)
	x.time(&c.At)
	x.string(&c.Name)
	optional(x, &c.Job, x.newJob)
}

func (c *Configure) code(x *codec) { x.settings(&c.Settings) }

func (x *codec) settings(s *Settings) {
	x.duration(&s.LeaseTTL)
	table(x, &s.Weights, x.count)
	x.bool(&s.Ordered)
	x.duration(&s.Interval)
	x.count(&s.Burst)
	x.int(&s.Waiting)
	x.duration(&s.DeadRetention)
	x.duration(&s.ResultTTL)
	table(x, &s.Sinks, func(types *[]string) {
		all := *types == nil
		x.bool(&all)
		if x.strings(types); x.reading && !all && *types == nil {
			*types = []string{}
		}
	})
}
