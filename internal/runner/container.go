package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// container posts each job to a port of the pod.
type container struct {
	address     string
	url         string
	resultBytes int64
	client      *http.Client
	state       *health
	log         *slog.Logger
}

// dialEvery is how often a port that does not answer is tried, and dialTimeout how long.
const (
	dialEvery   = 200 * time.Millisecond
	dialTimeout = 2 * time.Second
)

func newContainer(cfg planeconfig.Runner, log *slog.Logger, state *health) *container {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(cfg.HTTP.Port)))
	return &container{
		address: address, url: "http://" + address + "/" + strings.TrimPrefix(cfg.HTTP.Path, "/"),
		resultBytes: cfg.ResultBytes, state: state, log: log,
		client: &http.Client{
			// A connection a job: none is left over from a container that was restarted meanwhile.
			Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true,
				DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext, MaxResponseHeaderBytes: 64 << 10},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// ready waits until the container takes connections.
func (c *container) ready(ctx context.Context) error {
	for said := false; ; {
		conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", c.address)
		if err == nil {
			c.state.missing("")
			return conn.Close()
		}
		c.state.missing(err.Error())
		if !said {
			c.log.Info("waiting for the container to answer", "address", c.address, "error", err)
			said = true
		}
		if !pause(ctx, dialEvery) {
			return ctx.Err()
		}
	}
}

// run is a jobs.Handler. A container that does not listen has not seen the job: it is posted when it does.
func (c *container) run(ctx context.Context, task *jobs.Task) (jobs.Output, error) {
	for {
		out, err := c.post(ctx, task)
		if ctx.Err() != nil && err != nil {
			return jobs.Output{}, context.Cause(ctx)
		}
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "dial" {
			return out, err
		}
		c.state.missing(err.Error())
		if !pause(ctx, dialEvery) {
			return jobs.Output{}, context.Cause(ctx)
		}
	}
}

func (c *container) post(ctx context.Context, task *jobs.Task) (jobs.Output, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(task.Data()))
	if err != nil {
		return jobs.Output{}, err
	}
	req.GetBody = nil // it is never sent twice
	for name, value := range map[string]string{
		"Content-Type":         task.ContentType,
		"Trellis-Job-Id":       task.Job.ID,
		"Trellis-Job-Type":     task.Job.Type,
		"Trellis-Job-Attempt":  strconv.Itoa(task.Job.Attempt),
		"Trellis-Job-Token":    strconv.FormatInt(task.Token, 10),
		"Trellis-Job-Deadline": task.DeadlineAt.UTC().Format(time.RFC3339Nano),
		"Traceparent":          task.TraceParent,
	} {
		if value != "" {
			req.Header.Set(name, printable(value))
		}
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return jobs.Output{}, fmt.Errorf("post the job: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return jobs.Output{}, answerFailure(resp)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, c.resultBytes+1))
	switch {
	case err != nil:
		return jobs.Output{}, fmt.Errorf("read the result: %w", err)
	case int64(len(data)) > c.resultBytes:
		return jobs.Output{}, tooLarge(c.resultBytes)
	}
	return outputOf(data, resp.Header.Get("Content-Type")), nil
}

// answerFailure reads an answer other than 2xx. A job that is at fault itself, 4xx, is not tried again, except where
// the status is of the moment; a redirect is none that a job may follow. The reason is http:<status>.
func answerFailure(resp *http.Response) error {
	f := &jobs.Failure{Reason: "http:" + strconv.Itoa(resp.StatusCode)}
	said := resp.Status
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		said += " to " + resp.Header.Get("Location") + ": a container is to answer itself"
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorText)) // what there is of it
	if words := errorText(text); words != "" {
		said += ": " + words
	}
	f.Err = errors.New(said)
	switch resp.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
	default:
		f.Permanent = resp.StatusCode < 500
	}
	if !f.Permanent {
		f.RetryAfter = jobs.ParseRetryAfter(resp.Header.Get("Retry-After"), time.Now())
	}
	return f
}

// printable is value without what a header can not hold.
func printable(value string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, value)
}

// pause waits, and reports whether ctx let it.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
