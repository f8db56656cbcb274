package realtime

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/trellis-dev/trellis/test/bench/harness"
	"github.com/trellis-dev/trellis/test/bench/realtime/load"
)

const (
	polledRoom     = "polled"
	polledMessages = 100
	pollers        = 16
)

const whyPolls = "a request passes the token, the bounds in bytes and time, the limit on requests at once, the metrics and the contract " +
	"that refuses what it does not know, and both carry header fields more (token; ETag, Cache-Control, Vary); the peer has none of it. That is 1 to 4 µs " +
	"of CPU time a request. What was cut: spans where nobody collects them, copies of the request, encoding messages twice, and the typed " +
	"layer for requests in their plain form. A client that is open for long takes a stream, which has that cost once."

// Poll is the part about polling.
func Poll(p Programs) harness.Part {
	return harness.Part{
		Name:  "realtime-poll",
		Title: "Realtime: polling",
		About: "`GET /v1/rooms/{room}/messages?since=…` from 16 connections at once, with nothing new or ten new messages of 128 bytes. " +
			"Peer: a handler of net/http over the library's history that writes offsets and data as JSON, without a token, and without " +
			"checks, rooms, positions, times of publication, ETags, gaps, metrics and traces. *cpu* is the server's CPU time a request. " +
			aboutCollector,
		Run: func(ctx context.Context, e *harness.Env) ([]harness.Row, error) { return poll(ctx, e, p) },
	}
}

func poll(ctx context.Context, e *harness.Env, p Programs) ([]harness.Row, error) {
	redis, stop, err := startRedis(ctx)
	defer stop()
	if err != nil {
		return nil, err
	}
	var rows []harness.Row
	for _, c := range []struct {
		name  string
		eng   engine
		fresh int
	}{
		{"nothing new, Memory", engine{name: "Memory"}, 0},
		{"ten messages, Memory", engine{name: "Memory"}, 10},
		{"ten messages, Redis", engine{name: "Redis", redis: redis}, 10},
	} {
		if !e.Chosen(c.name) {
			continue
		}
		side := func(s side) harness.Side {
			return func(ctx context.Context) (harness.Figures, error) { return pollOnce(ctx, e, p, s, c.eng, c.fresh) }
		}
		got, err := e.Interleave(ctx, c.name, side(ours), side(peer))
		if err != nil {
			return nil, err
		}
		rows = append(rows, harness.Explain(whyPolls, got.Row(c.name, "rate", "requests/s", harness.RatioAtLeast(0.9)), got.Row(c.name, "cpu", "µs", harness.NoGoal),
			got.Row(c.name, "p50", "ms", harness.NoGoal), got.Row(c.name, "p99", "ms", harness.RatioAtMost(1.2)))...)
	}
	return rows, nil
}

func pollOnce(ctx context.Context, e *harness.Env, p Programs, s side, eng engine, fresh int) (harness.Figures, error) {
	r, stop, err := p.start(ctx, e, s, eng)
	defer stop()
	if err != nil {
		return nil, err
	}
	var since string
	for i := range polledMessages {
		at, err := r.publishOne(ctx, s)
		if err != nil {
			return nil, err
		}
		if i == polledMessages-1-fresh {
			since = at
		}
	}
	path := "/rooms/" + polledRoom + "?limit=10&since=" + since
	if s == ours {
		path = "/v1/rooms/" + polledRoom + "/messages?limit=10&since=" + since
	}
	params := load.PollParams{Address: r.address, Token: r.token, Path: path, Pollers: pollers, WarmUp: time.Second, Measure: 3 * time.Second}
	if e.Short {
		params.WarmUp, params.Measure = 200*time.Millisecond, 500*time.Millisecond
	}
	profile := ""
	if e.Profile {
		profile = fmt.Sprintf("%s-poll-%s-%d", s, eng.name, fresh)
	}
	var got load.Polled
	cpu, err := r.timed(ctx, profile, func() error { return r.clients.Call(ctx, load.MethodPoll, params, &got) })
	if err != nil {
		return nil, err
	}
	return harness.Figures{
		"rate": got.Rate, "cpu": float64(cpu.Nanoseconds()) / 1e3 / float64(max(1, got.Requests)),
		"p50": milliseconds(got.P50), "p99": milliseconds(got.P99),
	}, nil
}

// publishOne publishes a message and returns the position after it.
func (r *rig) publishOne(ctx context.Context, s side) (string, error) {
	data := `"` + strings.Repeat("x", messageSize-2) + `"`
	url, body := "http://"+r.address+"/rooms/"+polledRoom, data
	if s == ours {
		url, body = "http://"+r.address+"/v1/rooms/"+polledRoom+"/messages", `{"data":`+data+`}`
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewBufferString(body))
	if err != nil {
		return "", fmt.Errorf("publish: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("publish: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= http.StatusMultipleChoices {
		return "", fmt.Errorf("publish: %s: %s: %w", resp.Status, answer, err)
	}
	var at struct {
		Position, Epoch string
		Offset          uint64
	}
	if err := json.Unmarshal(answer, &at); err != nil {
		return "", fmt.Errorf("publish: %w", err)
	}
	if at.Position != "" {
		return at.Position, nil
	}
	return fmt.Sprintf("%s:%d", at.Epoch, at.Offset), nil
}
