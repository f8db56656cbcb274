package jobs

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"mime"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// Bounds of a submission.
const (
	maxType        = 128
	maxPriority    = 63
	maxOrderingKey = 256
	maxKey         = 255
	maxContentType = 255
	maxMetadata    = 16
	maxMetadataKey = 63
	maxMetadataVal = 256
	maxAttempts    = 100
	// maxDelay is the longest that a job may wait for its time.
	maxDelay = 366 * 24 * time.Hour
	// minTimeout is the least time of an attempt.
	minTimeout = time.Second

	typeJSON  = "application/json"
	typeBytes = "application/octet-stream"
)

// faults gathers what is wrong with a request, each with what to change.
type faults struct {
	at   string
	list []plane.ProblemError
	// payload is the problem of a payload that is too large, which has a status of its own.
	payload *plane.Problem
}

func (f *faults) add(field, format string, args ...any) {
	f.list = append(f.list, plane.ProblemError{Location: f.at + "." + field, Message: fmt.Sprintf(format, args...)})
}

func (f *faults) problem() *plane.Problem {
	if len(f.list) == 0 {
		return f.payload
	}
	said := make([]string, len(f.list))
	for i, e := range f.list {
		said[i] = strings.TrimPrefix(e.Location, "body.") + " " + e.Message
	}
	return plane.Invalid(strings.Join(said, "; "), f.list...)
}

// newJob checks a submission and makes it ready to be stored. at is where a problem says that it is.
func (l *live) newJob(at string, s jobs.Submission, now time.Time) (NewJob, *plane.Problem) {
	f := &faults{at: at}
	j := NewJob{Type: s.Type, OrderingKey: s.OrderingKey, Metadata: s.Metadata, IdempotencyKey: s.IdempotencyKey, MaxAttempts: l.cfg.Retry.MaxAttempts}
	f.text("type", s.Type, maxType)
	f.text("orderingKey", s.OrderingKey, maxOrderingKey)
	f.text("idempotencyKey", s.IdempotencyKey, maxKey)
	l.checkPayload(f, s, &j)
	l.checkPriority(f, s, &j)
	f.start(s, now, &j)
	l.checkTimeout(f, s, &j)
	f.metadata(s.Metadata)
	if s.MaxAttempts != 0 {
		if j.MaxAttempts = s.MaxAttempts; s.MaxAttempts < 1 || s.MaxAttempts > maxAttempts {
			f.add("maxAttempts", "must be from 1 to %d", maxAttempts)
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

// text refuses what is too long or can not be shown in a line.
func (f *faults) text(field, value string, most int) {
	switch {
	case len(value) > most:
		f.add(field, "may have at most %d bytes", most)
	case !printable(value):
		f.add(field, "may not hold control characters, and is UTF-8")
	}
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

func (l *live) checkPayload(f *faults, s jobs.Submission, j *NewJob) {
	switch {
	case s.Payload != nil && s.PayloadBase64 != nil:
		f.add("payloadBase64", "and payload exclude each other: send JSON as payload, or bytes as payloadBase64")
		return
	case s.PayloadBase64 != nil:
		j.Payload = Body{ContentType: s.ContentType, Data: s.PayloadBase64}
		if j.Payload.ContentType == "" {
			j.Payload.ContentType = typeBytes
		}
		f.contentType(s.ContentType)
		f.asItSays("payloadBase64", j.Payload)
	default:
		if s.ContentType != "" {
			f.add("contentType", "goes with payloadBase64; a payload is application/json")
		}
		j.Payload = Body{ContentType: typeJSON, Data: compact(s.Payload)}
	}
	if limit := l.cfg.Limits.PayloadBytes; int64(len(j.Payload.Data)) > limit {
		f.payload = problemPayload(f.at+".payload", len(j.Payload.Data), limit)
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

func (f *faults) contentType(value string) {
	if value == "" {
		return
	}
	if len(value) > maxContentType || !printable(value) {
		f.add("contentType", "may have at most %d bytes, without control characters", maxContentType)
		return
	}
	if _, _, err := mime.ParseMediaType(value); err != nil {
		f.add("contentType", "must be a media type, such as image/png")
	}
}

// asItSays refuses bytes that are said to be JSON and are none: whoever reads them gets them as JSON.
func (f *faults) asItSays(field string, b Body) {
	if b.ContentType == typeJSON && !isJSON(b.ContentType, b.Data) {
		f.add(field, "must be JSON, as contentType says: leave contentType out for bytes of any kind")
	}
}

func (l *live) checkPriority(f *faults, s jobs.Submission, j *NewJob) {
	j.Priority = s.Priority
	if s.Priority == "" {
		j.Priority = l.priority
	}
	if _, known := l.settings.Weights[j.Priority]; !known {
		f.add("priority", "is not one of this queue's: %s", l.priorities())
	}
}

func (f *faults) start(s jobs.Submission, now time.Time, j *NewJob) {
	if s.RunAt != nil && s.Delay != "" {
		f.add("delay", "and runAt exclude each other")
		return
	}
	at := now
	switch {
	case s.RunAt != nil:
		at = s.RunAt.UTC()
	case s.Delay != "":
		d, err := time.ParseDuration(s.Delay)
		if err != nil || d < 0 || d > maxDelay {
			f.add("delay", "must be a duration such as 90s or 12h, at most %s", maxDelay)
			return
		}
		at = now.Add(d)
	}
	if at.Sub(now) > maxDelay || at.Year() < 1970 {
		f.add("runAt", "must be within a year from now")
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
		f.add("timeout", "must be a duration from %s to %s, the queue's timeout (spec.timeout)", min(minTimeout, most), most)
		return
	}
	j.Timeout = d
}

func (f *faults) metadata(m map[string]string) {
	if len(m) > maxMetadata {
		f.add("metadata", "may have at most %d members", maxMetadata)
		return
	}
	for key, value := range m {
		if !validMetadata(key, value) {
			f.add("metadata", "has keys of 1 to %d letters, digits or - _ . / and values of at most %d bytes without control characters", maxMetadataKey, maxMetadataVal)
			return
		}
	}
}

func validMetadata(key, value string) bool {
	return key != "" && len(key) <= maxMetadataKey && len(value) <= maxMetadataVal && printable(value) && !strings.ContainsFunc(key, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_./", r)
	})
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
