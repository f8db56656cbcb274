package contracttest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Problem is a problem document.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// Slug is the last segment of the problem's type.
func (p Problem) Slug() string { return p.Type[strings.LastIndexByte(p.Type, '/')+1:] }

// ReadProblem reads a refusal, and fails the test unless it is a complete problem document.
func ReadProblem(t *testing.T, status int, header http.Header, body []byte) Problem {
	t.Helper()
	var p Problem
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatalf("status %d, not a problem document: %s", status, body)
	}
	if got := header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type of the problem is %q", got)
	}
	if p.Status != status || p.Title == "" || p.Detail == "" || !strings.HasPrefix(p.Type, "https://") {
		t.Errorf("the problem document is not complete, or not of status %d: %s", status, body)
	}
	return p
}

// connections that a client keeps to its replica.
const connections = 32

// NewHTTP is an HTTP client of a test's own.
func NewHTTP(t testing.TB) *http.Client {
	tr := &http.Transport{MaxIdleConnsPerHost: connections}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// Request is sent to URL with a bearer token, and with a body, which may be nil, that is JSON unless Headers say
// otherwise.
type Request struct {
	Method, URL, Token string
	Body               []byte
	// Headers are name, value, name, value…
	Headers []string
}

// Send sends the request and reads all of the answer: its status, headers and body.
func (r Request) Send(ctx context.Context, by *http.Client) (int, http.Header, []byte, error) {
	var reader io.Reader
	if r.Body != nil {
		reader = bytes.NewReader(r.Body)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, reader)
	if err != nil {
		return 0, nil, nil, fmt.Errorf("make a request: %w", err)
	}
	if r.Token != "" {
		req.Header.Set("Authorization", "Bearer "+r.Token)
	}
	if r.Body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(r.Headers); i += 2 {
		req.Header.Set(r.Headers[i], r.Headers[i+1])
	}
	resp, err := by.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, body, err
}

// Encode writes JSON of what always has one.
func Encode(v any) []byte {
	out, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return out
}

// Decode reads JSON.
func Decode[T any](t *testing.T, data []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("decode %s: %v", data, err)
	}
	return v
}
