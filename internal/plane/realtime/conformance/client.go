package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
)

// patience is how long a test waits for a condition before it fails.
const patience = contracttest.Patience

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

// client speaks to one replica with one token.
type client struct {
	t     *testing.T
	base  string
	token string
	http  *http.Client
}

func newClient(t *testing.T, base, token string) *client {
	return &client{t: t, base: base, token: token, http: contracttest.NewHTTP(t)}
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

func (r reply) problem(t *testing.T) contracttest.Problem {
	t.Helper()
	return contracttest.ReadProblem(t, r.status, r.header, r.body)
}

// do sends a request; body may be nil. headers are name, value, name, value…
func (c *client) do(ctx context.Context, method, path string, body []byte, headers ...string) (reply, error) {
	r := contracttest.Request{Method: method, URL: c.base + path, Token: c.token, Body: body, Headers: headers}
	status, header, data, err := r.Send(ctx, c.http)
	return reply{status: status, header: header, body: data}, err
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
	return contracttest.Decode[T](t, data)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	contracttest.Eventually(t, what, ok)
}
