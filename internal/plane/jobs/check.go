package jobs

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// Bounds of a submission.
const (
	maxType        = 128
	maxPriority    = 63
	maxOrderingKey = 256
	maxKey         = 255
	maxAttempts    = 100
	// maxDelay is the longest that a job may wait for its time.
	maxDelay = 366 * 24 * time.Hour
	// minTimeout is the least time of an attempt.
	minTimeout = time.Second

	typeJSON  = "application/json"
	typeBytes = "application/octet-stream"
)

// faults of a submission, of which one has a status of its own.
type faults struct {
	plane.Faults
	// payload is the problem of a payload that is too large.
	payload *plane.Problem
}

func faultsAt(at string) *faults { return &faults{Faults: plane.Faults{At: at}} }

func (f *faults) problem() *plane.Problem {
	if problem := f.Problem(); problem != nil {
		return problem
	}
	return f.payload
}

// newJob checks a submission and makes it ready to be stored. at is where a problem says that it is.
func (l *live) newJob(at string, s jobs.Submission, now time.Time) (NewJob, *plane.Problem) {
	f := faultsAt(at)
	j := NewJob{Type: s.Type, OrderingKey: s.OrderingKey, Metadata: s.Metadata, IdempotencyKey: s.IdempotencyKey, MaxAttempts: l.cfg.Retry.MaxAttempts}
	f.Text("type", s.Type, maxType)
	f.Text("orderingKey", s.OrderingKey, maxOrderingKey)
	f.Text("idempotencyKey", s.IdempotencyKey, maxKey)
	l.checkPayload(f, s, &j)
	l.checkPriority(f, s, &j)
	f.start(s, now, &j)
	l.checkTimeout(f, s, &j)
	f.Metadata("metadata", s.Metadata)
	if s.MaxAttempts != 0 {
		if j.MaxAttempts = s.MaxAttempts; s.MaxAttempts < 1 || s.MaxAttempts > maxAttempts {
			f.Add("maxAttempts", "must be from 1 to %d", maxAttempts)
		}
	}
	if problem := f.problem(); problem != nil {
		return NewJob{}, problem
	}
	if j.IdempotencyKey != "" {
		j.Digest = digest(s, j.Payload)
	}
	return j, nil
}

func (l *live) checkPayload(f *faults, s jobs.Submission, j *NewJob) {
	switch {
	case s.Payload != nil && s.PayloadBase64 != nil:
		f.Add("payloadBase64", "and payload exclude each other: send JSON as payload, or bytes as payloadBase64")
		return
	case s.PayloadBase64 != nil:
		j.Payload = Body{ContentType: s.ContentType, Data: s.PayloadBase64}
		if j.Payload.ContentType == "" {
			j.Payload.ContentType = typeBytes
		}
		f.MediaType("contentType", s.ContentType)
		f.asItSays("payloadBase64", j.Payload)
	default:
		if s.ContentType != "" {
			f.Add("contentType", "goes with payloadBase64; a payload is application/json")
		}
		j.Payload = Body{ContentType: typeJSON, Data: compact(s.Payload)}
	}
	if limit := l.cfg.Limits.PayloadBytes; int64(len(j.Payload.Data)) > limit {
		f.payload = problemPayload(f.At+".payload", len(j.Payload.Data), limit)
	}
}

// compact is JSON without white space between its parts, null where there is none.
func compact(text json.RawMessage) []byte {
	if text == nil {
		return []byte("null")
	}
	var out bytes.Buffer
	if err := json.Compact(&out, text); err != nil {
		// The decoder let it pass, so it is JSON.
		return text
	}
	return out.Bytes()
}

// asItSays refuses bytes that are said to be JSON and are none: whoever reads them gets them as JSON.
func (f *faults) asItSays(field string, b Body) {
	if b.ContentType == typeJSON && !isJSON(b.ContentType, b.Data) {
		f.Add(field, "must be JSON, as contentType says: leave contentType out for bytes of any kind")
	}
}

func (l *live) checkPriority(f *faults, s jobs.Submission, j *NewJob) {
	j.Priority = s.Priority
	if s.Priority == "" {
		j.Priority = l.priority
	}
	if _, known := l.settings.Weights[j.Priority]; !known {
		f.Add("priority", "is not one of this queue's: %s", l.priorities())
	}
}

func (f *faults) start(s jobs.Submission, now time.Time, j *NewJob) {
	if s.RunAt != nil && s.Delay != "" {
		f.Add("delay", "and runAt exclude each other")
		return
	}
	at := now
	switch {
	case s.RunAt != nil:
		at = s.RunAt.UTC()
	case s.Delay != "":
		d, err := time.ParseDuration(s.Delay)
		if err != nil || d < 0 || d > maxDelay {
			f.Add("delay", "must be a duration such as 90s or 12h, at most %s", maxDelay)
			return
		}
		at = now.Add(d)
	}
	if at.Sub(now) > maxDelay || at.Year() < 1970 {
		f.Add("runAt", "must be within a year from now")
		return
	}
	if at.After(now) {
		j.RunAt = at
	}
}

func (l *live) checkTimeout(f *faults, s jobs.Submission, j *NewJob) {
	most := time.Duration(l.cfg.Timeout)
	if j.Timeout = most; s.Timeout == "" {
		return
	}
	d, err := time.ParseDuration(s.Timeout)
	if err != nil || d < min(minTimeout, most) || d > most {
		f.Add("timeout", "must be a duration from %s to %s, the queue's timeout (spec.timeout)", min(minTimeout, most), most)
		return
	}
	j.Timeout = d
}

// digest says what an idempotency key stands for: what was asked for, in whatever order of members and white space.
func digest(s jobs.Submission, payload Body) []byte {
	s.IdempotencyKey, s.Payload, s.PayloadBase64 = "", nil, payload.Data
	text, err := json.Marshal(s)
	if err != nil {
		// Strings, times and bytes can always be encoded.
		panic(err)
	}
	sum := sha256.Sum256(append(text, payload.ContentType...))
	return sum[:]
}
