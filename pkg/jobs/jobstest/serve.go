package jobstest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

// Client has a client of the queue, without a network.
func (q *Queue) Client() (*jobs.Client, error) {
	return jobs.NewClient(jobs.Options{URL: "http://queue.test", Token: jobs.StaticToken(Token), HTTPClient: &http.Client{Transport: q}})
}

// RoundTrip implements http.RoundTripper.
func (q *Queue) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	q.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// ServeHTTP implements http.Handler.
func (q *Queue) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, verb, _ := strings.Cut(r.URL.Path, ":")
	if verb == "" {
		verb = strings.ToLower(r.Method)
	}
	if r.Header.Get("Authorization") != "Bearer "+Token {
		refuse(w, http.StatusUnauthorized, "invalid-token", "")
		return
	}
	fault := q.met(verb)
	if fault.Status != 0 {
		if fault.After {
			q.serve(httptest.NewRecorder(), r, path, verb)
		}
		refuse(w, fault.Status, "injected", fault.RetryAfter)
		return
	}
	q.serve(w, r, path, verb)
}

// met counts a call, and says which fault it meets.
func (q *Queue) met(verb string) (f Fault) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.calls[verb]++
	if q.away {
		return Fault{Status: http.StatusServiceUnavailable}
	}
	if waiting := q.faults[verb]; len(waiting) > 0 {
		f, q.faults[verb] = waiting[0], waiting[1:]
	}
	return f
}

func (q *Queue) serve(w http.ResponseWriter, r *http.Request, path, verb string) {
	id := strings.TrimPrefix(strings.TrimPrefix(path, "/v1/jobs"), "/")
	switch {
	case id == "" && verb == "post":
		var s jobs.Submission
		if decode(w, r, &s) {
			answer(w, http.StatusAccepted, jobs.Accepted{ID: q.Add(s), Status: jobs.StatusQueued})
		}
	case id == "" && verb == "lease":
		var req jobs.LeaseRequest
		if !decode(w, r, &req) {
			return
		}
		reply, ok := q.leaseWaiting(r, req)
		if !ok {
			refuse(w, http.StatusServiceUnavailable, "away", "")
			return
		}
		answer(w, http.StatusOK, reply)
	case id == "" && verb == "complete":
		var batch jobs.CompleteBatch
		if decode(w, r, &batch) {
			q.completeBatch(w, batch)
		}
	case q.Job(id).Status == "":
		refuse(w, http.StatusNotFound, "no-such-job", "")
	case verb == "get":
		answer(w, http.StatusOK, q.Job(id))
	default:
		q.attempt(w, r, id, verb)
	}
}

// leaseWaiting leases what there is, or waits for the first job. It is false when the queue is away.
func (q *Queue) leaseWaiting(r *http.Request, req jobs.LeaseRequest) (reply jobs.LeaseReply, ok bool) {
	wait, _ := time.ParseDuration(req.Wait) // absent is 0
	over := time.NewTimer(wait)
	defer over.Stop()
	for {
		changed := q.Changed()
		if r.Context().Err() != nil {
			return reply, false
		}
		if reply, ok = q.leaseNow(req); !ok || len(reply.Leases) > 0 {
			return reply, ok
		}
		again := time.NewTimer(q.options.LeaseTTL / 10)
		select {
		case <-changed:
		case <-again.C:
		case <-over.C:
			again.Stop()
			return reply, true
		case <-r.Context().Done():
		}
		again.Stop()
	}
}

func (q *Queue) leaseNow(req jobs.LeaseRequest) (reply jobs.LeaseReply, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	reply.Leases = []jobs.Lease{}
	q.sweep()
	if q.away {
		return reply, false
	}
	for n := 1; n <= q.made && len(reply.Leases) < max(1, req.Max); n++ {
		e := q.jobs[fmt.Sprintf("00000000-0000-7000-8000-%012d", n)]
		if e.Status != jobs.StatusQueued {
			continue
		}
		now := time.Now()
		timeout, err := time.ParseDuration(e.Timeout)
		if err != nil {
			timeout = time.Minute
		}
		e.token++
		e.Status, e.StartedAt, e.expires, e.deadline = jobs.StatusRunning, &now, now.Add(q.options.LeaseTTL), now.Add(timeout)
		e.Attempt++
		e.Revision++
		e.Attempts = append(e.Attempts, jobs.Attempt{Number: len(e.Attempts) + 1, Worker: req.Worker, StartedAt: now})
		reply.Leases = append(reply.Leases, e.lease(q.options.LeaseTTL))
	}
	if len(reply.Leases) > 0 {
		q.notify()
	}
	return reply, true
}

// attempt serves what the holder of a lease may ask for.
func (q *Queue) attempt(w http.ResponseWriter, r *http.Request, id, verb string) {
	var body json.RawMessage
	if !decode(w, r, &body) {
		return
	}
	var in jobs.HeartbeatRequest
	var result jobs.CompleteRequest
	var failure jobs.FailRequest
	if err := errors.Join(json.Unmarshal(body, &in), json.Unmarshal(body, &result), json.Unmarshal(body, &failure)); err != nil {
		refuse(w, http.StatusBadRequest, "invalid-request", "")
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sweep()
	e := q.jobs[id]
	if e.Status != jobs.StatusRunning || e.token != in.Token {
		refuse(w, http.StatusConflict, "lease-lost", "")
		return
	}
	e.Revision++
	switch verb {
	case "heartbeat":
		e.expires = time.Now().Add(q.options.LeaseTTL)
		if in.Progress != nil {
			e.Progress = in.Progress
		}
		answer(w, http.StatusOK, jobs.HeartbeatReply{ExpiresAt: e.expires, Cancelled: e.CancelRequested})
	case "complete":
		if p := q.complete(e, result); p != nil {
			refuse(w, p.Status, p.Title, "")
			return
		}
		answer(w, http.StatusOK, e.copy())
	case "fail":
		outcome := jobs.OutcomeFailed
		if failure.Reason == "timeout" {
			outcome = jobs.OutcomeTimeout
		}
		q.failed(e, outcome, failure)
		answer(w, http.StatusOK, e.copy())
	case "release":
		e.end(jobs.OutcomeReleased, "")
		e.Attempt--
		e.Status = jobs.StatusQueued
		w.WriteHeader(http.StatusNoContent)
	default:
		refuse(w, http.StatusNotFound, "not-found", "")
	}
	q.notify()
}

// complete is called with the lock held, for the lease that e is under.
func (q *Queue) complete(e *entry, c jobs.CompleteRequest) *jobs.Refusal {
	if size := len(c.Value) + len(c.Base64); size > q.options.ResultBytes {
		return refusal(http.StatusRequestEntityTooLarge, "result-too-large")
	}
	e.end(jobs.OutcomeSucceeded, "")
	e.Status = jobs.StatusSucceeded
	e.Result = resultOf(c)
	return nil
}

func (q *Queue) completeBatch(w http.ResponseWriter, batch jobs.CompleteBatch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sweep()
	status, reply := http.StatusOK, jobs.CompleteBatchReply{Results: make([]jobs.Completed, len(batch.Jobs))}
	for i, c := range batch.Jobs {
		out := &reply.Results[i]
		out.ID = c.ID
		switch e := q.jobs[c.ID]; {
		case e == nil:
			out.Problem = refusal(http.StatusNotFound, "no-such-job")
		case e.Status != jobs.StatusRunning || e.token != c.Token:
			out.Problem = refusal(http.StatusConflict, "lease-lost")
		default:
			if out.Problem = q.complete(e, c.CompleteRequest); out.Problem == nil {
				out.Status = e.Status
			}
		}
		if out.Problem != nil {
			status = http.StatusMultiStatus
		}
	}
	answer(w, status, reply)
	q.notify()
}

func resultOf(c jobs.CompleteRequest) *jobs.Result {
	out := &jobs.Result{ContentType: c.ContentType, Bytes: int64(len(c.Value) + len(c.Base64)), Value: c.Value, Base64: c.Base64}
	if c.Value != nil {
		out.ContentType = "application/json"
	}
	return out
}

func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		refuse(w, http.StatusBadRequest, "invalid-request", "")
		return false
	}
	return true
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone
}

func refuse(w http.ResponseWriter, status int, slug, retryAfter string) {
	if retryAfter != "" {
		w.Header().Set("Retry-After", retryAfter)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(refusal(status, slug))
}

func refusal(status int, slug string) *jobs.Refusal {
	return &jobs.Refusal{Type: "https://patterns.trellis.dev/problems/" + slug, Title: slug, Status: status, Detail: "in a test"}
}
