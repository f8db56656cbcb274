package account

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// s3Answer bounds what is read of an answer, in bytes.
const s3Answer = 64 << 20

// s3Admin calls the administration of versitygw: PATCH requests that its root signs.
type s3Admin struct {
	root planeconfig.S3
	http *http.Client
}

// s3Refusal is what the store has against a call.
type s3Refusal struct {
	Code, Message string
}

func (r s3Refusal) Error() string { return fmt.Sprintf("the store says %s: %s", r.Code, r.Message) }

// codeOf is empty for what is no refusal.
func codeOf(err error) string {
	var r s3Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}

// call sends one request, with a body as XML where there is one, and reads the answer into answer where that is
// not nil. Its errors hold no secret.
func (s s3Admin) call(ctx context.Context, path string, query url.Values, header http.Header, body, answer any) error {
	var content []byte
	if body != nil {
		var err error
		if content, err = xml.Marshal(body); err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
	}
	target := *s.root.Endpoint
	target.Path, target.RawQuery = path, query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, target.String(), bytes.NewReader(content))
	if err != nil {
		return err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	return s.send(req, s.root, content, answer)
}

// lets asks the store for a list of the buckets in an account's name, and is nil where that is let in.
func (s s3Admin) lets(ctx context.Context, account planeconfig.S3) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, account.Endpoint.String()+"/", nil)
	if err != nil {
		return err
	}
	return s.send(req, account, nil, nil)
}

// send a request that an account signs, with its content.
func (s s3Admin) send(req *http.Request, by planeconfig.S3, content []byte, answer any) error {
	if err := by.Sign(req, content); err != nil {
		return fmt.Errorf("sign the request: %w", err)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, s3Answer))
	switch {
	case err != nil:
		return fmt.Errorf("read the answer of the store: %w", err)
	case resp.StatusCode >= http.StatusBadRequest:
		refusal := s3Refusal{Code: resp.Status}
		// What is no XML has said enough by its status.
		_ = xml.Unmarshal(text, &refusal)
		return refusal
	case answer == nil:
		return nil
	default:
		return xml.Unmarshal(text, answer)
	}
}
