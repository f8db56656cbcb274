package load

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/trellis-dev/trellis/internal/enginetest"
	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// Sign makes the URL of a signed request.
type Sign func(ctx context.Context, now time.Time) (string, error)

// Signer is one kind of request, signed by the plane's store and by the SDK's signer.
type Signer struct {
	Name         string
	Trellis, Raw Sign
}

const (
	signFor = 15 * time.Minute
	// nowhere is a store that nobody answers for.
	nowhere = "http://127.0.0.1:1"
	// key and what else is signed, as they are in a bucket's plane.
	signedKey   = "in/owner-001/2026/11/27/019b0f6e-7a3c-7e61-9a4d-3f5f1f6f8b11.mp4"
	signedType  = "video/mp4"
	disposition = `attachment; filename="holidays.mp4"`
	uploadID    = "f0c5a1de-6f0a-4f43-9c0e-2a5c1a1f7a10"
	hash        = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="
	signedBytes = 5 << 20
)

// NewSigners of a store that client would reach.
func NewSigners(client *http.Client) ([]Signer, error) {
	at := Store{Endpoint: nowhere, Bucket: "files"}
	s, err := at.Open(client)
	if err != nil {
		return nil, err
	}
	put := plane.Put{Key: signedKey, Size: signedBytes, ContentType: signedType, Checksum: &blobs.Checksum{Algorithm: blobs.SHA256, Value: hash}}
	get := plane.Get{Key: signedKey, ContentType: signedType, Disposition: disposition}
	part := plane.PartOf{Key: signedKey, UploadID: uploadID, Number: 12, Size: signedBytes}
	raw := newRawSigner(at)
	return []Signer{
		{"a PUT",
			func(ctx context.Context, now time.Time) (string, error) {
				return urlOf(s.SignPut(ctx, now, put, signFor))
			},
			func(ctx context.Context, now time.Time) (string, error) {
				return raw.sign(ctx, now, http.MethodPut, url.Values{}, signedBytes, "Content-Type", signedType, "X-Amz-Checksum-Sha256", hash, "If-None-Match", "*")
			}},
		{"a download",
			func(ctx context.Context, now time.Time) (string, error) {
				return urlOf(s.SignGet(ctx, now, get, signFor))
			},
			func(ctx context.Context, now time.Time) (string, error) {
				return raw.sign(ctx, now, http.MethodGet, url.Values{"response-content-type": {signedType}, "response-content-disposition": {disposition}}, 0)
			}},
		{"a part",
			func(ctx context.Context, now time.Time) (string, error) {
				return urlOf(s.SignPart(ctx, now, part, signFor))
			},
			func(ctx context.Context, now time.Time) (string, error) {
				return raw.sign(ctx, now, http.MethodPut, url.Values{"partNumber": {"12"}, "uploadId": {uploadID}}, signedBytes)
			}},
	}, nil
}

func urlOf(r blobs.Request, err error) (string, error) { return r.URL, err }

// rawSigner is the SDK's signer, and requests of net/http.
type rawSigner struct {
	base   string
	signer *v4.Signer
}

func newRawSigner(s Store) *rawSigner {
	return &rawSigner{base: s.Endpoint + "/" + s.Bucket + "/", signer: v4.NewSigner(func(o *v4.SignerOptions) {
		o.DisableHeaderHoisting, o.DisableURIPathEscaping = true, true
	})}
}

func (r *rawSigner) sign(ctx context.Context, now time.Time, method string, query url.Values, size int64, headers ...string) (string, error) {
	credentials, err := Credentials.Retrieve(ctx)
	if err != nil {
		return "", err
	}
	query.Set("X-Amz-Expires", "900")
	req, err := http.NewRequestWithContext(ctx, method, r.base+signedKey+"?"+query.Encode(), nil)
	if err != nil {
		return "", err
	}
	req.ContentLength = size
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	signed, _, err := r.signer.PresignHTTP(ctx, credentials, req, "UNSIGNED-PAYLOAD", "s3", enginetest.S3Region, now)
	return signed, err
}

// Agree is an error where the two sign something else.
func (s Signer) Agree(ctx context.Context) error {
	now := time.Now()
	ours, err := s.Trellis(ctx, now)
	if err != nil {
		return err
	}
	raw, err := s.Raw(ctx, now)
	if err != nil {
		return err
	}
	if ours != raw || !strings.Contains(ours, "X-Amz-Signature=") {
		return fmt.Errorf("%s is signed as %s, and by the SDK's signer as %s", s.Name, ours, raw)
	}
	return nil
}
