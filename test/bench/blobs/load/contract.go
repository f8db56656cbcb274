package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trellis-dev/trellis/pkg/blobs"
)

// Target is a BlobBucket.
type Target struct{ URL, Token string }

// contract is a BlobBucket over HTTP.
type contract struct {
	Target
	http *http.Client
}

func newClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost, transport.DisableCompression = 1000, true
	return &http.Client{Transport: transport}
}

// do sends a request and reads its answer, which has to be a good one.
func do(client *http.Client, req *http.Request) ([]byte, error) {
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= http.StatusMultipleChoices {
		err = fmt.Errorf("%s %s: %s: %.300s", req.Method, req.URL.Path, resp.Status, answer)
	}
	return answer, err
}

// send a signed request to the store as it is.
func send(ctx context.Context, client *http.Client, r blobs.Request, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for name, value := range r.Headers {
		req.Header.Set(name, value)
	}
	_, err = do(client, req)
	return err
}

func (c contract) post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	req.Header.Set("Content-Type", "application/json")
	answer, err := do(c.http, req)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(answer, out)
}

func (c contract) begin(ctx context.Context, owner string) (out blobs.Upload, err error) {
	err = c.post(ctx, "/v1/uploads", blobs.NewUpload{Filename: "a.bin", Size: bodyBytes, Owner: owner}, &out)
	return out, err
}

// owners of the uploads that are begun: those of one wait for each other, as its bounds are kept to.
const owners = 100

// BeginParams are those of a measurement of beginnings of uploads.
type BeginParams struct {
	Target           Target
	Uploads, Clients int
}

// Begun is what came of it.
type Begun struct {
	PerSecond float64
	Times     Times
}

// Times are quantiles.
type Times struct{ P50, P99 time.Duration }

func quantiles(took []time.Duration) Times {
	sorted := slices.Sorted(slices.Values(took))
	return Times{P50: sorted[len(sorted)/2], P99: sorted[len(sorted)*99/100]}
}

// Begin measures how many uploads a second are begun, each with its signed request in the answer.
func Begin(ctx context.Context, p BeginParams) (any, error) {
	c := contract{p.Target, newClient()}
	defer c.http.CloseIdleConnections()
	// Connections and plans of statements are made at the first use.
	if _, err := c.beginAll(ctx, p.Clients*10, p.Clients); err != nil {
		return nil, err
	}
	began := time.Now()
	took, err := c.beginAll(ctx, p.Uploads, p.Clients)
	return Begun{float64(p.Uploads) / time.Since(began).Seconds(), quantiles(took)}, err
}

func (c contract) beginAll(ctx context.Context, n, clients int) ([]time.Duration, error) {
	took := make([]time.Duration, n)
	var next atomic.Int64
	var all sync.WaitGroup
	failed := make(chan error, clients)
	for range clients {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				began := time.Now()
				upload, err := c.begin(ctx, ownerOf(int(i)%owners))
				took[i] = time.Since(began)
				if err == nil && upload.Put == nil {
					err = fmt.Errorf("the answer has no request to send")
				}
				if err != nil {
					failed <- fmt.Errorf("begin an upload: %w", err)
					return
				}
			}
		})
	}
	all.Wait()
	close(failed)
	return took, <-failed
}
