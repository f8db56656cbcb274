// Package sdk runs the official JavaScript SDK of the Centrifuge protocol in a
// Chromium, and records what it tells.
package sdk

import (
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/trellis-dev/trellis/test/browser/chromium"
)

// Version of the SDK in centrifuge.js.
const Version = "5.8.0"

//go:embed centrifuge.js harness.html harness.js
var files embed.FS

// Page is a tab with the SDK in it. Its origin is not the gateway's.
type Page struct {
	*chromium.Tab
	url string

	mu   sync.Mutex
	mint map[string]func() (string, error)
}

// Open serves the SDK on loopback and shows it in a tab; both end with the test.
func Open(t testing.TB, browser *chromium.Browser) *Page {
	t.Helper()
	p := &Page{mint: map[string]func() (string, error){}}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	mux.HandleFunc("GET /token", p.token)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p.url = server.URL
	p.Tab = browser.Open(t, server.URL+"/harness.html")
	return p
}

// token answers the SDK when it asks for a new one.
func (p *Page) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	mint := p.mint[r.URL.Query().Get("client")]
	p.mu.Unlock()
	if mint == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	token, err := mint()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	_, _ = w.Write([]byte(token))
}

// Since is where a subscription begins.
type Since struct {
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"`
}

// Options of a client.
type Options struct {
	// URL of the gateway's socket.
	URL  string `json:"url"`
	Room string `json:"room"`
	// Token to connect with.
	Token string `json:"token,omitempty"`
	// Since is the position to recover from; without it, what is new.
	Since *Since `json:"since,omitempty"`
	// Mint gives the SDK a token whenever it asks for one.
	Mint func() (string, error) `json:"-"`
	// Renew is true where Mint is set.
	Renew bool `json:"renew,omitempty"`
}

// Event is what the SDK told, in the order in which it did.
type Event struct {
	// Type is the event's name in the SDK, or getToken.
	Type          string          `json:"type"`
	Code          int             `json:"code"`
	Reason        string          `json:"reason"`
	WasRecovering bool            `json:"wasRecovering"`
	Recovered     bool            `json:"recovered"`
	Epoch         string          `json:"epoch"`
	Offset        uint64          `json:"offset"`
	Data          json.RawMessage `json:"data"`
}

// Client is one of the SDK's clients with one subscription.
type Client struct {
	page *Page
	name string

	mu     sync.Mutex
	events []Event
}

// Follow starts a client.
func (p *Page) Follow(name string, o Options) (*Client, error) {
	if o.Mint != nil {
		o.Renew = true
		p.mu.Lock()
		p.mint[name] = o.Mint
		p.mu.Unlock()
	}
	options, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	if _, err := chromium.Evaluate[bool](p.Tab, fmt.Sprintf("(follow(%q, %s), true)", name, options)); err != nil {
		return nil, fmt.Errorf("start the client %s: %w", name, err)
	}
	return &Client{page: p, name: name}, nil
}

// Events are all so far.
func (c *Client) Events() ([]Event, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	more, err := chromium.Evaluate[[]Event](c.page.Tab, fmt.Sprintf("told(%q, %d)", c.name, len(c.events)))
	if err != nil {
		return nil, fmt.Errorf("ask the client %s: %w", c.name, err)
	}
	c.events = append(c.events, more...)
	return c.events[:len(c.events):len(c.events)], nil
}

// Result is how a call to the SDK ended: with a value, or with an error.
type Result struct {
	Value  json.RawMessage `json:"value"`
	Code   int             `json:"code"`
	Reason string          `json:"reason"`
}

// Publish sends data, as JSON, to the client's room.
func (c *Client) Publish(data string) (Result, error) {
	return chromium.Evaluate[Result](c.page.Tab, fmt.Sprintf("publish(%q, %s)", c.name, data))
}

// History asks for the last messages of the client's room.
func (c *Client) History(limit int) (Result, error) {
	return chromium.Evaluate[Result](c.page.Tab, fmt.Sprintf("history(%q, {limit: %d, reverse: true})", c.name, limit))
}

// Presence asks who else follows the client's room.
func (c *Client) Presence() (Result, error) {
	return chromium.Evaluate[Result](c.page.Tab, fmt.Sprintf("presence(%q)", c.name))
}

// PresenceStats asks how many do.
func (c *Client) PresenceStats() (Result, error) {
	return chromium.Evaluate[Result](c.page.Tab, fmt.Sprintf("presenceStats(%q)", c.name))
}

// Stop disconnects the client for good.
func (c *Client) Stop() error {
	_, err := chromium.Evaluate[bool](c.page.Tab, fmt.Sprintf("(stop(%q), true)", c.name))
	return err
}
