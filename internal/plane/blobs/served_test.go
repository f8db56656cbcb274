package blobs_test

import (
	"bytes"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	trellis "github.com/trellis-dev/trellis/internal/plane"
	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

const mebi = 1 << 20

// served is a bucket's plane with a store and a ledger of its own.
type served struct {
	t       *testing.T
	objects plane.Objects
	base    string
	token   string
}

// call the contract, wanting a status; the answer's kind of problem, if it is one, is returned.
func (s *served) call(want int, method, path string, body, into any, header ...string) (problem string) {
	s.t.Helper()
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			s.t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.base+path, reader)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if resp.StatusCode != want {
		s.t.Fatalf("%s %s: %d, want %d: %s", method, path, resp.StatusCode, want, text)
	}
	if want >= 400 {
		var p struct{ Type string }
		if err := json.Unmarshal(text, &p); err != nil {
			s.t.Errorf("no problem: %s", text)
		}
		return strings.TrimPrefix(p.Type, trellis.ProblemBase)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			s.t.Fatalf("%s: %v", text, err)
		}
	}
	return ""
}

func (s *served) begin(u blobs.NewUpload) (out blobs.Upload) {
	s.t.Helper()
	s.call(http.StatusCreated, http.MethodPost, "/v1/uploads", u, &out)
	return out
}

func (s *served) file(id string) (out blobs.File) {
	s.t.Helper()
	s.call(http.StatusOK, http.MethodGet, "/v1/files/"+id, nil, &out)
	return out
}

// send a request to the store as it is.
func (s *served) send(r blobs.Request, body string, header ...string) (int, string, http.Header) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), r.Method, r.URL, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for name, value := range r.Headers {
		req.Header.Set(name, value)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(text), resp.Header
}

func (s *served) put(r *blobs.Request, body string) (etag string) {
	s.t.Helper()
	status, text, header := s.send(*r, body)
	if status != http.StatusOK {
		s.t.Fatalf("the store answers %d %s", status, text)
	}
	return header.Get("ETag")
}

// post a form as a browser does.
func (s *served) post(form *blobs.Form, text string) {
	s.t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for name, value := range form.Fields {
		if err := w.WriteField(name, value); err != nil {
			s.t.Fatal(err)
		}
	}
	part, err := w.CreateFormFile("file", "x")
	if err != nil {
		s.t.Fatal(err)
	}
	_, _ = io.WriteString(part, text)
	_ = w.Close()
	r := blobs.Request{Method: http.MethodPost, URL: form.URL, Headers: map[string]string{"Content-Type": w.FormDataContentType()}}
	if status, text, _ := s.send(r, body.String()); status >= 300 {
		s.t.Fatalf("%d %s", status, text)
	}
}
