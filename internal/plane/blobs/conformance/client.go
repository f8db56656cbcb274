package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// client speaks to one replica with one token.
type client struct {
	t           *testing.T
	base, token string
	http        *http.Client
	sent        *acknowledged
}

func newClient(t *testing.T, base, token string) *client {
	return &client{t: t, base: base, token: token, http: contracttest.NewHTTP(t), sent: &acknowledged{}}
}

func (g *Target) client(t *testing.T) *client { return newClient(t, g.URL(), g.Token) }

// as another client, with a token of those rights.
func (c *client) as(subject string, rights ...string) *client {
	c.t.Helper()
	var answer struct{ Token string }
	c.must(http.StatusCreated, http.MethodPost, "/v1/tokens", map[string]any{"rights": rights, "subject": subject}, &answer)
	return newClient(c.t, c.base, answer.Token)
}

type reply struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request. body may be nil, bytes as they are, or what is written as JSON.
func (c *client) do(ctx context.Context, method, path string, body any, headers ...string) (reply, error) {
	r := contracttest.Request{Method: method, URL: c.base + path, Token: c.token, Headers: headers}
	switch b := body.(type) {
	case nil:
	case []byte:
		r.Body = b
	default:
		r.Body = contracttest.Encode(b)
	}
	status, header, data, err := r.Send(ctx, c.http)
	return reply{status: status, header: header, body: data}, err
}

// must is do, and fails the test unless the status is want; into, unless it is nil, is what was answered.
func (c *client) must(want int, method, path string, body, into any, headers ...string) reply {
	c.t.Helper()
	ctx, cancel := contracttest.Soon(context.Background())
	defer cancel()
	r, err := c.do(ctx, method, path, body, headers...)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	if r.status != want {
		c.t.Fatalf("%s %s: status %d, want %d: %s", method, path, r.status, want, r.body)
	}
	if into != nil {
		decode(c.t, r.body, into)
	}
	return r
}

// refused wants a complete problem of a kind, whose detail says each of these.
func (c *client) refused(status int, slug, method, path string, body any, says ...string) {
	c.t.Helper()
	r := c.must(status, method, path, body, nil)
	p := contracttest.ReadProblem(c.t, r.status, r.header, r.body)
	if p.Slug() != slug || len(r.body) > 8<<10 {
		c.t.Errorf("%s %s is refused as %s with %d bytes, want %s: %.300s", method, path, p.Slug(), len(r.body), slug, r.body)
	}
	for _, text := range says {
		if !strings.Contains(p.Detail, text) {
			c.t.Errorf("%s %s is refused without a word of %q: %s", method, path, text, p.Detail)
		}
	}
}

func (c *client) begin(n blobs.NewUpload, headers ...string) (out blobs.Upload) {
	c.t.Helper()
	c.must(http.StatusCreated, http.MethodPost, "/v1/uploads", n, &out, headers...)
	return out
}

func (c *client) resume(id string) (out blobs.Upload) {
	c.t.Helper()
	c.must(http.StatusOK, http.MethodGet, "/v1/uploads/"+id, nil, &out)
	return out
}

func (c *client) complete(id string) (out blobs.File) {
	c.t.Helper()
	c.must(http.StatusOK, http.MethodPost, "/v1/uploads/"+id+":complete", c.completion(id), &out)
	return out
}

func (c *client) file(id string) (out blobs.File) {
	c.t.Helper()
	c.must(http.StatusOK, http.MethodGet, "/v1/files/"+id, nil, &out)
	return out
}

func (c *client) delete(id string) (out blobs.File) {
	c.t.Helper()
	c.must(http.StatusOK, http.MethodDelete, "/v1/files/"+id, nil, &out)
	return out
}

func (c *client) move(id, prefix string) (out blobs.File) {
	c.t.Helper()
	c.must(http.StatusAccepted, http.MethodPost, "/v1/files/"+id+":move", map[string]any{"prefix": prefix}, &out)
	return out
}

func (c *client) download(id string) (out blobs.Request) {
	c.t.Helper()
	c.must(http.StatusOK, http.MethodPost, "/v1/files/"+id+":download", nil, &out)
	return out
}

// upload a file whole.
func (c *client) upload(n blobs.NewUpload, body string) blobs.File {
	c.t.Helper()
	u := c.begin(n)
	c.put(*u.Put, body)
	return c.complete(u.ID)
}

// send a request to the store, as it is but for headers.
func (c *client) send(ctx context.Context, r blobs.Request, body string, headers ...string) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	for name, value := range r.Headers {
		req.Header.Set(name, value)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if resp.StatusCode == http.StatusOK {
		c.sent.note(r.URL, resp.Header.Get("ETag"))
	}
	return reply{status: resp.StatusCode, header: resp.Header, body: text}, err
}

func (c *client) store(r blobs.Request, body string, headers ...string) reply {
	c.t.Helper()
	ctx, cancel := contracttest.Soon(context.Background())
	defer cancel()
	out, err := c.send(ctx, r, body, headers...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// put what the store has to take.
func (c *client) put(r blobs.Request, body string) {
	c.t.Helper()
	if got := c.store(r, body); got.status >= 300 {
		c.t.Fatalf("the store answers %d %s", got.status, got.body)
	}
}

// denied is what the store has to refuse, by an error of S3.
func (c *client) denied(what string, r blobs.Request, body string, headers ...string) {
	c.t.Helper()
	ctx, cancel := contracttest.Soon(context.Background())
	defer cancel()
	got, err := c.send(ctx, r, body, headers...)
	if err != nil && len(body) >= mebi {
		return // It was refused before all of it was sent.
	}
	if err != nil || got.status < 400 || got.status >= 500 || !strings.Contains(string(got.body), "<Code>") {
		c.t.Errorf("%s: the store answers %d %s, %v", what, got.status, got.body, err)
	}
}

// read downloads a file whole.
func (c *client) read(id string) string {
	c.t.Helper()
	got := c.store(c.download(id), "")
	if got.status != http.StatusOK {
		c.t.Errorf("file %s: the store answers %d %s", id, got.status, got.body)
	}
	return string(got.body)
}

// filled is a form with a file in it, as a browser posts it.
func filled(t *testing.T, f blobs.Form, body string) (blobs.Request, string) {
	t.Helper()
	var text bytes.Buffer
	w := multipart.NewWriter(&text)
	for name, value := range f.Fields {
		if err := w.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	part, err := w.CreateFormFile("file", "x")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(part, body)
	_ = w.Close()
	return blobs.Request{Method: http.MethodPost, URL: f.URL, Headers: map[string]string{"Content-Type": w.FormDataContentType()}}, text.String()
}

// has reports whether the store has an object.
func (g *Target) has(t *testing.T, key string) bool {
	t.Helper()
	_, err := g.Objects.Head(t.Context(), key)
	if err != nil && !errors.Is(err, plane.ErrNoObject) {
		t.Fatal(err)
	}
	return err == nil
}

func (g *Target) awaitGone(t *testing.T, keys ...string) {
	t.Helper()
	contracttest.Eventually(t, "what is no file's to be removed", func() bool {
		for _, key := range keys {
			if g.has(t, key) {
				return false
			}
		}
		return true
	})
}

func decode(t *testing.T, data []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("decode %s: %v", data, err)
	}
}

func textFile(size int) blobs.NewUpload {
	return blobs.NewUpload{Filename: "täxt.TXT", ContentType: "text/plain", Size: int64(size)}
}
