package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// patience is how long a test waits for a condition before it fails: far longer
// than any takes, so that a machine that stalls fails none.
const patience = 2 * time.Minute

// Message is a message as a client reads it.
type Message struct {
	Room        string          `json:"room"`
	Offset      uint64          `json:"offset"`
	Position    string          `json:"position"`
	PublishedAt string          `json:"publishedAt"`
	Data        json.RawMessage `json:"data"`
}

// Page is the answer to a poll.
type Page struct {
	Messages []Message `json:"messages"`
	Next     string    `json:"next"`
	More     bool      `json:"more"`
	Gap      bool      `json:"gap"`
	Reason   string    `json:"gapReason"`
}

// Published is the answer to a publish.
type Published struct {
	Room     string      `json:"room"`
	Offset   uint64      `json:"offset"`
	Position string      `json:"position"`
	Replayed bool        `json:"replayed"`
	Results  []Published `json:"results"`
}

// Problem is a problem document.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// Slug is the last segment of the problem's type.
func (p Problem) Slug() string { return p.Type[strings.LastIndexByte(p.Type, '/')+1:] }

// client speaks to one replica with one token.
type client struct {
	t     *testing.T
	base  string
	token string
	http  *http.Client
}

func newClient(t *testing.T, base, token string) *client {
	tr := &http.Transport{MaxIdleConnsPerHost: 8}
	t.Cleanup(tr.CloseIdleConnections)
	return &client{t: t, base: base, token: token, http: &http.Client{Transport: tr}}
}

func (g *Target) client(t *testing.T) *client { return newClient(t, g.URL(), g.Token) }

func (c *client) with(token string) *client {
	return newClient(c.t, c.base, token)
}

type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) problem(t *testing.T) Problem {
	t.Helper()
	var p Problem
	if err := json.Unmarshal(r.body, &p); err != nil {
		t.Fatalf("status %d, not a problem document: %s", r.status, r.body)
	}
	if got := r.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type of the problem is %q", got)
	}
	if p.Status != r.status || p.Title == "" || p.Detail == "" || !strings.HasPrefix(p.Type, "https://") {
		t.Errorf("the problem document is not complete, or not of status %d: %s", r.status, r.body)
	}
	return p
}

// do sends a request; body may be nil. headers are name, value, name, value…
func (c *client) do(ctx context.Context, method, path string, body []byte, headers ...string) (reply, error) {
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, reader)
	if err != nil {
		return reply{}, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	return reply{status: resp.StatusCode, header: resp.Header, body: data}, err
}

// try is do for other goroutines than the test's: where there is no answer, its
// status is 0.
func (c *client) try(method, path string, body []byte) reply {
	ctx, cancel := soon(context.Background())
	defer cancel()
	r, err := c.do(ctx, method, path, body)
	if err != nil {
		c.t.Errorf("%s %s: %v", method, path, err)
		return reply{}
	}
	return r
}

// must is do, and fails the test unless the status is want.
func (c *client) must(want int, method, path string, body []byte, headers ...string) reply {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := c.do(ctx, method, path, body, headers...)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	if r.status != want {
		c.t.Fatalf("%s %s: status %d, want %d: %s", method, path, r.status, want, r.body)
	}
	return r
}

func messagesPath(room string, query ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		q.Set(query[i], query[i+1])
	}
	path := "/v1/rooms/" + room + "/messages"
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	return path
}

// poll reads a room once.
func (c *client) poll(room string, query ...string) Page {
	c.t.Helper()
	return decode[Page](c.t, c.must(http.StatusOK, http.MethodGet, messagesPath(room, query...), nil).body)
}

// publish publishes one JSON value and fails the test unless it is stored.
func (c *client) publish(room, data string, headers ...string) Published {
	c.t.Helper()
	r := c.must(http.StatusCreated, http.MethodPost, messagesPath(room), []byte(`{"data":`+data+`}`), headers...)
	return decode[Published](c.t, r.body)
}

// publishN publishes the numbers from to to, in order, in batches.
func (c *client) publishN(room string, from, to int) {
	c.t.Helper()
	for from <= to {
		var parts []string
		for ; from <= to && len(parts) < 100; from++ {
			parts = append(parts, fmt.Sprintf(`{"data":%d}`, from))
		}
		c.must(http.StatusCreated, http.MethodPost, messagesPath(room), []byte(`{"messages":[`+strings.Join(parts, ",")+`]}`))
	}
}

// mint makes a client token.
func (c *client) mint(subject, rights string, rooms ...string) string {
	c.t.Helper()
	body, err := json.Marshal(map[string]any{"subject": subject, "rights": strings.Split(rights, ","), "rooms": rooms, "ttl": "10m"})
	if err != nil {
		c.t.Fatal(err)
	}
	r := c.must(http.StatusCreated, http.MethodPost, "/v1/tokens", body)
	return decode[struct{ Token string }](c.t, r.body).Token
}

func decode[T any](t *testing.T, data []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("decode %s: %v", data, err)
	}
	return v
}

// eventually waits until ok, looking again at short intervals.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("gave up waiting: %s", what)
		case <-tick.C:
		}
	}
}
