package s3store

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/encoding/httpbinding"

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

const (
	// unsigned: the body's hash is not part of the signature; where one is known, a header of its own has it.
	unsigned = "UNSIGNED-PAYLOAD"
	service  = "s3"
)

// emptyHash is the checksum of no bytes.
var emptyHash = func() string { sum := sha256.Sum256(nil); return base64.StdEncoding.EncodeToString(sum[:]) }()

// checksumHeader by the algorithm.
var checksumHeader = map[blobs.Algorithm]string{blobs.SHA256: "X-Amz-Checksum-Sha256", blobs.CRC32C: "X-Amz-Checksum-Crc32c"}

// SignPut implements blobs.Objects.
func (s *Store) SignPut(ctx context.Context, now time.Time, p plane.Put, ttl time.Duration) (blobs.Request, error) {
	headers := http.Header{"Content-Type": {p.ContentType}}
	switch {
	case p.Checksum != nil:
		headers.Set(checksumHeader[p.Checksum.Algorithm], p.Checksum.Value)
	case p.Size == 0:
		// A length of 0 is not signed.
		headers.Set(checksumHeader[blobs.SHA256], emptyHash)
	}
	for name, value := range lockHeaders(p.Lock) {
		headers.Set(name, value)
	}
	if s.config.Conditional {
		headers.Set("If-None-Match", "*")
	}
	return s.sign(ctx, now, http.MethodPut, p.Key, nil, headers, p.Size, ttl)
}

// SignPart implements blobs.Objects.
func (s *Store) SignPart(ctx context.Context, now time.Time, p plane.PartOf, ttl time.Duration) (blobs.Request, error) {
	query := url.Values{"partNumber": {strconv.Itoa(p.Number)}, "uploadId": {p.UploadID}}
	return s.sign(ctx, now, http.MethodPut, p.Key, query, http.Header{}, p.Size, ttl)
}

// SignGet implements blobs.Objects.
func (s *Store) SignGet(ctx context.Context, now time.Time, g plane.Get, ttl time.Duration) (blobs.Request, error) {
	query := url.Values{}
	for name, value := range map[string]string{
		"versionId": g.VersionID, "response-content-type": g.ContentType, "response-content-disposition": g.Disposition,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return s.sign(ctx, now, http.MethodGet, g.Key, query, http.Header{}, 0, ttl)
}

func (s *Store) sign(ctx context.Context, now time.Time, method, key string, query url.Values, headers http.Header, size int64, ttl time.Duration) (blobs.Request, error) {
	credentials, err := s.config.Credentials.Retrieve(ctx)
	if err != nil {
		return blobs.Request{}, fmt.Errorf("read the store's credentials: %w", err)
	}
	u := *s.public
	u.Path = strings.TrimSuffix(u.Path, "/") + "/" + key
	u.RawPath = httpbinding.EscapePath(u.Path, false)
	if query == nil {
		query = url.Values{}
	}
	query.Set("X-Amz-Expires", strconv.FormatInt(int64(ttl/time.Second), 10))
	u.RawQuery = query.Encode()
	r := &http.Request{Method: method, URL: &u, Host: u.Host, Header: headers, ContentLength: size}
	signed, _, err := s.signer.PresignHTTP(ctx, credentials, r, unsigned, service, s.config.Region, now)
	if err != nil {
		return blobs.Request{}, fmt.Errorf("sign a request to the store: %w", err)
	}
	out := blobs.Request{Method: method, URL: signed}
	for name := range headers {
		if out.Headers == nil {
			out.Headers = map[string]string{}
		}
		out.Headers[name] = headers.Get(name)
	}
	return out, nil
}

// SignForm implements blobs.Objects. The form's time is the SDK's: it can be valid from now on only.
func (s *Store) SignForm(ctx context.Context, _ time.Time, p plane.Put, ttl time.Duration) (blobs.Form, error) {
	fields := map[string]string{"Content-Type": p.ContentType}
	for name, value := range lockHeaders(p.Lock) {
		fields[strings.ToLower(name)] = value
	}
	if p.Checksum != nil {
		fields[strings.ToLower(checksumHeader[p.Checksum.Algorithm])] = p.Checksum.Value
	}
	conditions := []any{[]any{"content-length-range", p.Size, p.Size}}
	for name, value := range fields {
		conditions = append(conditions, map[string]string{name: value})
	}
	form, err := s.post.PresignPostObject(ctx, &s3.PutObjectInput{Bucket: aws.String(s.config.Bucket), Key: aws.String(p.Key)},
		func(o *s3.PresignPostOptions) { o.Expires, o.Conditions = ttl, conditions })
	if err != nil {
		return blobs.Form{}, fmt.Errorf("sign a form: %w", err)
	}
	for name, value := range form.Values {
		fields[name] = value
	}
	return blobs.Form{URL: form.URL, Fields: fields}, nil
}
