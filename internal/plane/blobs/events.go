package blobs

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// maxHints bounds the objects that one request tells of.
const maxHints = 1000

// hint is what of a store's notification counts: the key. What else it says, the store is asked for.
type hint struct {
	Records []struct {
		S3 struct {
			Object struct {
				// Key is encoded as in a query.
				Key string `json:"key"`
			} `json:"object"`
		} `json:"s3"`
	} `json:"Records"`
}

func (b *Bucket) registerEvents() {
	huma.Register(b.plane.API, huma.Operation{
		OperationID: "receive-events", Method: http.MethodPost, Path: planeconfig.EventsPath, Summary: "Tell of objects", Tags: []string{"events"},
		Description: "Notifications of the store (S3 event messages), as they are or as the data of CloudEvents. They are hints: the store is asked about each object, so that " +
			"one that is late, doubled, made up or never sent does no harm.",
		DefaultStatus: http.StatusNoContent, MaxBodyBytes: b.plane.Config.HTTP.MaxBodyBytes, BodyReadTimeout: plane.BodyTimeout,
		SkipValidateBody: true, Errors: []int{400, 401, 403, 413, 415, 503},
	}, b.receive)
}

func (b *Bucket) receive(ctx context.Context, in *plane.EventsInput) (*struct{}, error) {
	if who := plane.IdentityOf(ctx); !who.Grant.All && !who.Sink {
		return nil, problemForbidden("the binding's token")
	}
	keys, problem := keysOf(in.Header(), in.RawBody)
	if problem != nil {
		return nil, problem
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	found, err := b.ledger.Find(ctx, keys)
	if err != nil {
		return nil, plane.Fail(ctx, b.problem("events", err))
	}
	for _, e := range found {
		if err := b.settle(ctx, e); err != nil {
			return nil, plane.Fail(ctx, b.problem("events", err))
		}
	}
	return nil, nil
}

// settle looks at the object of a file that is not known to be uploaded, or that may have been written again.
func (b *Bucket) settle(ctx context.Context, e Entry) error {
	if e.Status == blobs.StatusUploaded && !e.again() || e.Status == blobs.StatusDeleted {
		return nil
	}
	select {
	case b.settling <- struct{}{}:
		defer func() { <-b.settling }()
	case <-ctx.Done():
		return ctx.Err()
	}
	_, err := b.collect.Settle(ctx, b.now(), e, false)
	return ignore(err, ErrState)
}

// keysOf are the keys that a request tells of.
func keysOf(header http.Header, body []byte) ([]string, *plane.Problem) {
	var texts [][]byte
	if header.Get("Ce-Specversion") == "" && plainJSON(header.Get("Content-Type")) {
		texts = [][]byte{body}
	} else {
		events, problem := plane.DecodeEvents(header, body, maxHints)
		if problem != nil {
			return nil, problem
		}
		for _, e := range events {
			texts = append(texts, e.Data())
		}
	}
	var keys []string
	for _, text := range texts {
		var h hint
		if err := json.Unmarshal(text, &h); err != nil {
			return nil, plane.Invalid("the body is no notification of a store: an object with Records, or CloudEvents whose data is one")
		}
		for _, r := range h.Records {
			// S3 writes a blank as +.
			key, err := url.QueryUnescape(r.S3.Object.Key)
			if err == nil && len(key) <= maxKeyBytes && plane.Printable(key) {
				keys = append(keys, key)
			}
		}
	}
	if len(keys) > maxHints {
		return nil, plane.Invalid("a request may tell of 1000 objects at most: send several")
	}
	return keys, nil
}

func plainJSON(contentType string) bool {
	return contentType == "" || contentType == "application/json"
}
