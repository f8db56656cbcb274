package jobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Options of a Client. URL and Token are required.
type Options struct {
	// URL of the queue, as the binding's key uri says it, e.g. http://reports-jq.shop.svc.cluster.local.
	URL string
	// Token is asked for at every request; see StaticToken and TokenFile.
	Token TokenSource
	// HTTPClient makes the requests; one of its own by default. It follows no redirect, whatever it says itself.
	HTTPClient *http.Client
	// Timeout of one try of a request, waiting that was asked for aside; 30s by default.
	Timeout time.Duration
	// Tries is how often a request is made that is safe to be made again; 5 by default, 1 for no second one.
	Tries int
	// MaxBodyBytes is the most bytes that are read of an answer; 128 MiB by default.
	MaxBodyBytes int64
}

// TokenSource gives the bearer token of a request.
type TokenSource func() (string, error)

// StaticToken is a token that never changes.
func StaticToken(token string) TokenSource { return func() (string, error) { return token, nil } }

// TokenFile reads the token from a file, e.g. of a mounted Secret, for every request: after a rotation the new one is used.
func TokenFile(path string) TokenSource {
	return func() (string, error) {
		data, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("read the queue's token: %w", err)
		}
		token := bytes.TrimSpace(data)
		if len(token) == 0 {
			return "", fmt.Errorf("read the queue's token: %s is empty", path)
		}
		return string(token), nil
	}
}

// Client talks to one queue. It is safe for concurrent use.
//
// Answers other than 2xx are an *Error. A request that is safe to be made again is tried again, with growing waits and no sooner
// than Retry-After says, when the queue is overloaded or cannot be reached: reads, the lease protocol, and
// submissions with an idempotency key. Others are tried again only where they were surely not carried out.
type Client struct {
	base    *url.URL
	http    *http.Client
	token   TokenSource
	timeout time.Duration
	tries   int
	maxBody int64
	// jitter is in [0, 1).
	jitter func() float64
}

const (
	defaultTimeout = 30 * time.Second
	defaultTries   = 5
	defaultMaxBody = 128 << 20
)

// NewClient checks the options and makes a Client; it sends nothing.
func NewClient(o Options) (*Client, error) {
	base, err := url.Parse(o.URL)
	if err != nil {
		return nil, fmt.Errorf("the queue's URL: %w", err)
	}
	if (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" {
		return nil, fmt.Errorf("the queue's URL %q must start with http:// or https:// and name a host", o.URL)
	}
	if o.Token == nil {
		return nil, errors.New("a client of a queue needs a token: set Options.Token")
	}
	base.Path = strings.TrimSuffix(base.Path, "/")
	base.RawQuery, base.Fragment = "", ""
	c := &Client{base: base, http: o.HTTPClient, token: o.Token, timeout: o.Timeout, tries: o.Tries, maxBody: o.MaxBodyBytes,
		jitter: rand.Float64}
	if c.http == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 32
		c.http = &http.Client{Transport: transport}
	}
	// A queue does not redirect, and its token is for it alone.
	c.http = &http.Client{Transport: c.http.Transport, Timeout: c.http.Timeout, Jar: c.http.Jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if c.timeout <= 0 {
		c.timeout = defaultTimeout
	}
	if c.tries <= 0 {
		c.tries = defaultTries
	}
	if c.maxBody <= 0 {
		c.maxBody = defaultMaxBody
	}
	return c, nil
}

// CloseIdle closes the connections that no request uses.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

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
