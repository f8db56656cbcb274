package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// call is one request of the contract.
type call struct {
	method, path string
	query        url.Values
	header       http.Header
	in, out      any
	// wait is how long the queue may take on purpose.
	wait time.Duration
	// safe to be made twice.
	safe bool
}

// Waits between two tries of a call. What the queue asks for beyond maxPause is left to the caller.
const (
	firstPause = 100 * time.Millisecond
	maxPause   = 10 * time.Second
)

func (c *Client) do(ctx context.Context, k call) error {
	var body []byte
	if k.in != nil {
		var err error
		if body, err = json.Marshal(k.in); err != nil {
			return fmt.Errorf("%s %s: encode the request: %w", k.method, k.path, err)
		}
	}
	for try := 1; ; try++ {
		err := c.once(ctx, k, body)
		if err == nil {
			return nil
		}
		if try >= c.tries || ctx.Err() != nil || !again(err, k.safe) {
			return fmt.Errorf("%s %s: %w", k.method, k.path, err)
		}
		wait := c.pauseAfter(try, err)
		if deadline, ok := ctx.Deadline(); wait > maxPause || (ok && time.Until(deadline) < wait) || !pause(ctx, wait) {
			return fmt.Errorf("%s %s: %w", k.method, k.path, err)
		}
	}
}

// pauseAfter doubles with each try, is shortened by up to half at random, and is not less than the queue asks for.
func (c *Client) pauseAfter(try int, err error) time.Duration {
	wait := min(firstPause<<min(try-1, 10), maxPause)
	wait -= time.Duration(c.jitter() * float64(wait) / 2)
	var e *Error
	if errors.As(err, &e) {
		wait = max(wait, e.RetryAfter)
	}
	return wait
}

// errAnswer marks an answer that cannot be read whatever is done.
var errAnswer = errors.New("the answer is not one of a queue's")

// again reports whether a call that failed may be tried again.
func again(err error, safe bool) bool {
	var e *Error
	if errors.As(err, &e) {
		switch e.Status {
		case http.StatusTooManyRequests:
			return true
		case http.StatusRequestTimeout, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return safe
		}
		return false
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return true
	}
	return safe && !errors.Is(err, errAnswer)
}

func (c *Client) once(ctx context.Context, k call, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout+k.wait)
	defer cancel()
	req, err := c.request(ctx, k, body)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, c.maxBody+1))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if int64(len(answer)) > c.maxBody {
		return fmt.Errorf("%w: it has more than %d bytes", errAnswer, c.maxBody)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return problemOf(resp.StatusCode, resp.Header, answer, time.Now())
	}
	if k.out == nil || len(answer) == 0 {
		return nil
	}
	if err := json.Unmarshal(answer, k.out); err != nil {
		return fmt.Errorf("%w: %w", errAnswer, err)
	}
	return nil
}

func (c *Client) request(ctx context.Context, k call, body []byte) (*http.Request, error) {
	u := *c.base
	u.Path += k.path
	u.RawQuery = k.query.Encode()
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, k.method, u.String(), reader)
	if err != nil {
		return nil, err
	}
	for name, values := range k.header {
		req.Header[name] = values
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "application/json")
	}
	token, err := c.token()
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return req, nil
}
