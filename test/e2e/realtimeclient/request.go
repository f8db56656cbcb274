package realtimeclient

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// Refusal is an answer that is no success.
type Refusal struct {
	Status int
	Body   string
}

// Error implements error.
func (r *Refusal) Error() string {
	return fmt.Sprintf("%d: %s", r.Status, strings.TrimSpace(r.Body))
}

// Final is true when trying again would be refused again.
func (r *Refusal) Final() bool {
	return r.Status >= 400 && r.Status < 500 && r.Status != http.StatusTooManyRequests && r.Status != http.StatusRequestTimeout
}

// refusal reads the problem that an answer holds.
func refusal(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		return err
	}
	return &Refusal{Status: resp.StatusCode, Body: string(body)}
}

// Do sends a request with a bearer token and reads a JSON answer into out, where
// that is not nil. An answer with another status than want is a Refusal.
func Do(ctx context.Context, client *http.Client, method, url, token string, body, out any, want ...int) error {
	_, err := do(ctx, client, method, url, token, nil, body, out, want...)
	return err
}

func do(ctx context.Context, client *http.Client, method, url, token string, header http.Header, body, out any, want ...int) (*http.Response, error) {
	req, err := newRequest(ctx, method, url, token, header, body)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if !slices.Contains(want, resp.StatusCode) {
		return nil, refusal(resp)
	}
	if out == nil || resp.StatusCode == http.StatusNotModified {
		_, err = io.Copy(io.Discard, resp.Body)
		return resp, err
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return nil, fmt.Errorf("read the answer to %s %s: %w", method, url, err)
	}
	return resp, nil
}

func newRequest(ctx context.Context, method, url, token string, header http.Header, body any) (*http.Request, error) {
	var text io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		text = strings.NewReader(string(data))
	}
	req, err := http.NewRequestWithContext(ctx, method, url, text)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// Mint asks for a client token that may subscribe to a room for as long as a test can last.
func Mint(ctx context.Context, client *http.Client, address, bindingToken, room string) (string, error) {
	var reply struct {
		Token string `json:"token"`
	}
	ask := map[string]any{"rooms": []string{room}, "subject": "tester", "ttl": "2h"}
	err := Do(ctx, client, http.MethodPost, "http://"+address+"/v1/tokens", bindingToken, ask, &reply, http.StatusCreated)
	return reply.Token, err
}
