package jobs

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"strings"
	"time"
)

const (
	// watchQuiet is how long a stream may say nothing, comments included, before it is opened anew.
	watchQuiet = 90 * time.Second
	// watchTries is how often in a row a stream may fail before that is the caller's matter.
	watchTries = 8
)

// Watch yields the job as it is and after every change, over Server-Sent Events, until it is at its end. It connects
// again when the connection breaks; changes meanwhile are seen as one. After an error it yields that and ends.
func (c *Client) Watch(ctx context.Context, id string) iter.Seq2[Job, error] {
	return func(yield func(Job, error) bool) {
		w := watch{client: c, id: id, yield: yield, revision: -1}
		for {
			err := w.stream(ctx)
			if w.done {
				return
			}
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			var e *Error
			refused := errors.As(err, &e) && !again(err, true)
			if w.failures++; ctx.Err() != nil || refused || w.failures > watchTries {
				yield(Job{}, fmt.Errorf("watch job %s: %w", id, err))
				return
			}
			if !pause(ctx, c.pauseAfter(w.failures, err)) {
				yield(Job{}, fmt.Errorf("watch job %s: %w", id, ctx.Err()))
				return
			}
		}
	}
}

type watch struct {
	client   *Client
	id       string
	yield    func(Job, error) bool
	revision int64
	failures int
	done     bool
}

// stream reads one connection until it ends.
func (w *watch) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	quiet := time.AfterFunc(watchQuiet, cancel)
	defer quiet.Stop()
	req, err := w.client.request(ctx, call{method: http.MethodGet, path: jobPath(w.id, "/events"),
		header: http.Header{"Accept": {"text/event-stream"}}}, nil)
	if err != nil {
		return err
	}
	resp, err := w.client.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode != http.StatusOK || kind != "text/event-stream" {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		return problemOf(resp.StatusCode, resp.Header, body, time.Now())
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 0, 4096), int(min(w.client.maxBody, 1<<30)))
	var data strings.Builder
	for lines.Scan() {
		quiet.Reset(watchQuiet)
		line := strings.TrimSuffix(lines.Text(), "\r")
		if text, ok := strings.CutPrefix(line, "data:"); ok {
			data.WriteString(strings.TrimPrefix(text, " "))
			continue
		}
		if line != "" || data.Len() == 0 {
			continue
		}
		if err := w.event(data.String()); err != nil || w.done {
			return err
		}
		data.Reset()
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

func (w *watch) event(data string) error {
	var job Job
	if err := json.Unmarshal([]byte(data), &job); err != nil {
		return fmt.Errorf("%w: %w", errAnswer, err)
	}
	if job.ID == "" || job.Revision <= w.revision {
		return nil
	}
	w.revision, w.failures = job.Revision, 0
	w.done = !w.yield(job, nil) || job.Status.Terminal()
	return nil
}
