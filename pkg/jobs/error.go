package jobs

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Error is what a queue answers that does not do what was asked: an RFC 9457 problem document.
type Error struct {
	// Status is the HTTP status.
	Status int `json:"-"`
	// Type is a stable URI that names the kind of problem.
	Type string `json:"type"`
	// Title is the kind of problem in words, Detail what to change.
	Title  string `json:"title"`
	Detail string `json:"detail"`
	// RetryAfter is how long the queue asks to wait; 0 where it does not say.
	RetryAfter time.Duration `json:"-"`
	// Places at fault, when there are several.
	Places []Place `json:"errors,omitempty"`
}

// Place is one place at fault in a request.
type Place struct {
	Location string `json:"location,omitempty"`
	Message  string `json:"message"`
}

// Error implements error.
func (e *Error) Error() string {
	said := fmt.Sprintf("%d %s", e.Status, e.Title)
	if e.Detail != "" {
		said += ": " + e.Detail
	}
	return said
}

// leaseLost ends the type of the problem of a lease that is over.
const leaseLost = "/lease-lost"

// IsFenced reports whether the lease that a call was made for is over: another attempt may be under way, and
// what this one came to does not count.
func IsFenced(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusConflict && strings.HasSuffix(e.Type, leaseLost)
}

// IsNotFound reports whether there is no such job, or no longer.
func IsNotFound(err error) bool { return hasStatus(err, http.StatusNotFound) }

// IsConflict reports whether the job's status does not allow what was asked, or the lease is over.
func IsConflict(err error) bool { return hasStatus(err, http.StatusConflict) }

// IsOverloaded reports whether the queue refused for now: it is full, asked too often, or without its engine.
func IsOverloaded(err error) bool {
	return hasStatus(err, http.StatusTooManyRequests, http.StatusServiceUnavailable)
}

func hasStatus(err error, statuses ...int) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	for _, s := range statuses {
		if e.Status == s {
			return true
		}
	}
	return false
}

// maxExcerpt is how much is quoted of an answer that is no problem document.
const maxExcerpt = 512

func problemOf(status int, header http.Header, body []byte, now time.Time) *Error {
	e := &Error{}
	if json.Unmarshal(body, e) != nil || e.Title == "" {
		e = &Error{Title: http.StatusText(status), Detail: clean(string(body), maxExcerpt)}
	}
	e.Status = status
	e.RetryAfter = ParseRetryAfter(header.Get("Retry-After"), now)
	return e
}

// ParseRetryAfter reads the header Retry-After: seconds, or a date. It is 0 where that says nothing.
func ParseRetryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(value); err == nil && seconds > 0 {
		return time.Duration(min(seconds, maxRetryAfter)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// maxRetryAfter, in seconds, keeps a number that somebody made up from overflowing.
const maxRetryAfter = 30 * 24 * 3600

// clean makes text that others wrote fit to be stored and shown: valid UTF-8 without NUL, of limit bytes at most.
func clean(text string, limit int) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
