package realtimeclient

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/trellis-dev/trellis/test/e2e/history"
)

const (
	// pollEvery is the pace of regular polling.
	pollEvery = 200 * time.Millisecond
	// longPoll is how long a poll may wait.
	longPoll  = 10 * time.Second
	shortPoll = 50 * time.Millisecond
	// answerWithin is what an answer may take besides.
	answerWithin = 10 * time.Second
)

// page is the answer to a poll.
type page struct {
	Messages []message `json:"messages"`
	Next     string    `json:"next"`
	More     bool      `json:"more"`
	Gap      bool      `json:"gap"`
	Reason   string    `json:"gapReason"`
}

// poll asks for what follows, again and again. wait 0 is regular polling. The
// first question is short, as its answer tells that the client is attached.
func (c *Client) poll(ctx context.Context, address string, wait time.Duration) error {
	etag, asking := "", min(wait, shortPoll)
	for {
		p, tag, err := c.ask(ctx, address, asking, etag)
		if err != nil {
			return err
		}
		etag, asking = tag, wait
		if p != nil {
			if err := c.take(address, p); err != nil {
				return err
			}
		}
		if wait == 0 && (p == nil || !p.More) {
			pause(ctx, pollEvery)
		}
	}
}

// ask polls once. The page is nil when nothing changed since etag.
func (c *Client) ask(ctx context.Context, address string, wait time.Duration, etag string) (*page, string, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+answerWithin)
	defer cancel()
	query := url.Values{"since": {c.since()}, "limit": {"1000"}}
	if wait > 0 {
		query.Set("wait", wait.String())
	}
	header := http.Header{}
	if etag != "" && wait == 0 {
		header.Set("If-None-Match", etag)
	}
	target := fmt.Sprintf("http://%s/v1/rooms/%s/messages?%s", address, c.cfg.Room, query.Encode())
	p := &page{}
	resp, err := do(ctx, c.http, http.MethodGet, target, c.cfg.Token, header, nil, p, http.StatusOK, http.StatusNotModified)
	switch {
	case err != nil:
		return nil, "", err
	case resp.StatusCode == http.StatusNotModified:
		return nil, etag, nil
	}
	return p, resp.Header.Get("ETag"), nil
}

// take records a page. It begins after since, or after the gap that it tells.
func (c *Client) take(address string, p *page) error {
	since := c.Position()
	begins, err := begin(p)
	if err != nil {
		return err
	}
	c.attach(address, begins)
	if p.Gap {
		if err := c.missed(gap{Since: since, Position: begins, Reason: p.Reason}); err != nil {
			return err
		}
	}
	for _, m := range p.Messages {
		if err := c.received(m); err != nil {
			return err
		}
	}
	if next := c.Position(); next != p.Next {
		return fmt.Errorf("after the messages of a page the client is at %s, and the page says %s", next, p.Next)
	}
	return nil
}

// begin is the position before the first message of a page.
func begin(p *page) (string, error) {
	if len(p.Messages) == 0 {
		return p.Next, nil
	}
	at, err := history.ParsePosition(p.Messages[0].Position)
	at.Offset--
	return at.String(), err
}

// Last asks a gateway where a room's last message is.
func Last(ctx context.Context, client *http.Client, address, token, room string) (history.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	p := &page{}
	target := fmt.Sprintf("http://%s/v1/rooms/%s/messages?since=latest", address, room)
	if err := Do(ctx, client, http.MethodGet, target, token, nil, p, http.StatusOK); err != nil {
		return history.Position{}, err
	}
	return history.ParsePosition(p.Next)
}
