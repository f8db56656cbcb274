package shardclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/trellis-dev/trellis/test/e2e/shardhistory"
)

// shortly is when an attempt follows one that nobody said a time for.
const shortly = 100 * time.Millisecond

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

type answer struct {
	Key       string `json:"key"`
	Value     int64  `json:"value"`
	Partition int    `json:"partition"`
	Epoch     uint64 `json:"epoch"`
	Member    string `json:"member"`
	Again     bool   `json:"again"`
}

// attempt an operation once. After an error with a wait, another attempt may follow; without one there was an answer
// that the contract does not have.
func (c *Client) attempt(ctx context.Context, o shardhistory.Operation) (answer, time.Duration, error) {
	method, path := http.MethodGet, "/counters/"+o.Key+"/value"
	if !o.Read() {
		method, path = http.MethodPost, "/counters/"+o.Key+"/increment"
	}
	req, err := http.NewRequestWithContext(ctx, method, c.config.URL+path, nil)
	if err != nil {
		return answer{}, 0, c.fault(err)
	}
	if c.config.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.config.Token)
	}
	if !o.Read() {
		req.Header.Set("Idempotency-Key", o.ID)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, shortly, c.broken(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return answer{}, shortly, c.broken(ctx, err)
	}
	return c.judge(o, resp, text)
}

// judge an answer by the contract.
func (c *Client) judge(o shardhistory.Operation, resp *http.Response, text []byte) (a answer, wait time.Duration, err error) {
	err = fmt.Errorf("%s %s: %s: %.500s", resp.Request.Method, resp.Request.URL.Path, resp.Status, text)
	after, timed := retryAfter(resp)
	switch status := resp.StatusCode; {
	case status == http.StatusOK:
		if wrong := json.Unmarshal(text, &a); wrong != nil || a.Key != o.Key || a.Member == "" {
			return a, 0, c.fault(err)
		}
		return a, 0, nil
	case (status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests) && timed:
		return a, after, c.refused(status, err)
	case status == http.StatusMisdirectedRequest:
		return a, shortly, c.refused(status, err)
	case status == http.StatusBadGateway:
		return a, shortly, c.doubtful(err)
	}
	return a, 0, c.fault(err)
}

func retryAfter(resp *http.Response) (time.Duration, bool) {
	seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	return max(shortly, time.Duration(seconds)*time.Second), err == nil && seconds >= 0
}

func (c *Client) note(err error, how func(*Trouble)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trouble.Last = err.Error()
	how(&c.trouble)
	return err
}

func (c *Client) refused(status int, err error) error {
	return c.note(err, func(t *Trouble) { t.Refused[status]++ })
}

func (c *Client) doubtful(err error) error { return c.note(err, func(t *Trouble) { t.Doubtful++ }) }

func (c *Client) broken(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return err // It was stopped.
	}
	return c.note(err, func(t *Trouble) { t.Broken++ })
}

func (c *Client) fault(err error) error {
	return c.note(err, func(t *Trouble) { t.Faults = append(t.Faults, err.Error()) })
}
