package blobs_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	trellis "github.com/trellis-dev/trellis/internal/plane"
	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
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

func serve(t *testing.T, mutate ...func(*planeconfig.Blobs)) *served {
	t.Helper()
	_, objects := newStore(t)
	l := newLedger(t)
	minute := planeconfig.Duration(time.Minute)
	cfg := planeconfig.Blobs{
		StoreDir: "/nonexistent", Downloads: planeconfig.BlobDownloads{URLTTL: minute}, Orphans: planeconfig.BlobOrphans{Every: 60 * minute, Grace: 60 * minute},
		Uploads: planeconfig.BlobUploads{MaxBytes: 64 * mebi, KeyTemplate: "in/${owner}/${id}${ext}", URLTTL: minute, PendingTimeout: 60 * minute, PartSize: 5 * mebi},
	}
	for _, m := range mutate {
		m(&cfg)
	}
	local := contracttest.NewLocal(t, t.TempDir(), planeconfig.Config{
		Kind: "BlobBucket", Name: "files", Engine: planeconfig.Engine{Type: "PostgreSQL", URIFile: "/nonexistent"}, Blobs: &cfg,
	}, contracttest.Options{}, func(p *trellis.Plane) (trellis.Service, error) {
		return plane.New(p, plane.Options{Ledger: l, Objects: objects})
	})
	target := local.Target(t, contracttest.Options{}, func(t *testing.T) *contracttest.Replica { t.Helper(); return local.Start(t) })
	return &served{t: t, objects: objects, base: target.URL(), token: target.Token}
}

// as another client, with a token of those rights.
func (s *served) as(subject string, rights ...string) *served {
	s.t.Helper()
	out := *s
	answer := struct{ Token string }{}
	s.call(http.StatusCreated, http.MethodPost, "/v1/tokens", map[string]any{"rights": rights, "subject": subject}, &answer)
	out.token = answer.Token
	return &out
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

func (s *served) put(r *blobs.Request, body string) {
	s.t.Helper()
	if status, text, _ := s.send(*r, body); status != http.StatusOK {
		s.t.Fatalf("the store answers %d %s", status, text)
	}
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

func textFile(size int64) blobs.NewUpload {
	return blobs.NewUpload{Filename: "täxt.TXT", ContentType: "text/plain", Size: size}
}

// TestAFile is uploaded, downloaded, moved and deleted.
func TestAFile(t *testing.T) {
	t.Parallel()
	s := serve(t)
	sum := sha256.Sum256([]byte("hello"))
	n := textFile(5)
	n.Checksum, n.Owner, n.Metadata = &blobs.Checksum{Algorithm: blobs.SHA256, Value: base64.StdEncoding.EncodeToString(sum[:])}, "ann/1", map[string]string{"k": "v"}
	u := s.begin(n)
	if u.Status != blobs.StatusPending || u.Key != "in/ann=2f1/"+u.ID+".txt" || u.Put == nil || u.Form != nil || u.Parts != nil || u.URLsExpireAt == nil {
		t.Errorf("begun is %+v", u)
	}
	if got := s.call(http.StatusConflict, http.MethodPost, "/v1/uploads/"+u.ID+":complete", nil, nil); got != "not-uploaded" {
		t.Errorf("nothing was sent, and completing says %s", got)
	}
	if got := s.call(http.StatusConflict, http.MethodPost, "/v1/files/"+u.ID+":download", nil, nil); got != "not-uploaded" {
		t.Errorf("nothing was sent, and a download says %s", got)
	}
	if status, _, _ := s.send(*u.Put, "hallo"); status < 400 {
		t.Errorf("the store took other bytes: %d", status)
	}
	s.put(u.Put, "hello")
	for range 2 {
		var f blobs.File
		s.call(http.StatusOK, http.MethodPost, "/v1/uploads/"+u.ID+":complete", nil, &f)
		if f.Status != blobs.StatusUploaded || f.ETag == "" || f.Revision != 2 {
			t.Errorf("completed is %+v", f)
		}
	}
	var get blobs.Request
	download := func() (int, string, http.Header) {
		s.call(http.StatusOK, http.MethodPost, "/v1/files/"+u.ID+":download", map[string]any{"inline": true}, &get)
		return s.send(get, "", "Range", "bytes=1-2")
	}
	if status, text, header := download(); status != http.StatusPartialContent || text != "el" || header.Get("Content-Disposition") != "inline; filename*=utf-8''t%C3%A4xt.TXT" {
		t.Errorf("download: %d %q %v", status, text, header)
	}
	var f blobs.File
	s.call(http.StatusAccepted, http.MethodPost, "/v1/files/"+u.ID+":move", map[string]any{"prefix": "in/archive/"}, &f)
	if f.Key != "in/archive/"+u.ID+".txt" {
		t.Errorf("moved is %+v", f)
	}
	before := get
	if status, text, _ := download(); status != http.StatusPartialContent || text != "el" {
		t.Errorf("download after the move: %d %q", status, text)
	}
	for range 2 {
		s.call(http.StatusOK, http.MethodDelete, "/v1/files/"+u.ID, nil, &f)
	}
	if f.Status != blobs.StatusDeleted {
		t.Errorf("deleted is %+v", f)
	}
	if got := s.call(http.StatusGone, http.MethodPost, "/v1/files/"+u.ID+":download", nil, nil); got != "gone" {
		t.Errorf("a download of what is deleted says %s", got)
	}
	contracttest.Eventually(t, "both objects to be removed", func() bool {
		one, _, _ := s.send(before, "")
		two, _, _ := s.send(get, "")
		return one == http.StatusNotFound && two == http.StatusNotFound
	})
}

// TestParts are sent out of order, one is missing for a while, and the upload is resumed.
func TestPartsOfAFile(t *testing.T) {
	t.Parallel()
	s := serve(t)
	const size = 11 * mebi
	body := strings.Repeat("0123456789abcdef", size/16)
	u := s.begin(textFile(size))
	if len(u.Parts) != 3 || u.Put != nil || u.Parts[2].Offset != 10*mebi || u.Parts[2].Size != mebi {
		t.Fatalf("begun is %+v", u)
	}
	send := func(p blobs.Part) { s.put(&p.Request, body[p.Offset:p.Offset+p.Size]) }
	send(u.Parts[2])
	send(u.Parts[0])
	send(u.Parts[0])
	if got := s.call(http.StatusConflict, http.MethodPost, "/v1/uploads/"+u.ID+":complete", nil, nil); got != "not-uploaded" {
		t.Errorf("a part is missing, and completing says %s", got)
	}
	var resumed blobs.Upload
	s.call(http.StatusOK, http.MethodGet, "/v1/uploads/"+u.ID, nil, &resumed)
	if len(resumed.Parts) != 1 || resumed.Parts[0].Number != 2 || resumed.Stored != 6*mebi {
		t.Fatalf("resumed is %+v", resumed)
	}
	var again blobs.Upload
	s.call(http.StatusOK, http.MethodGet, "/v1/uploads/"+u.ID+"?again=1", nil, &again)
	if len(again.Parts) != 2 || again.Parts[0].Number != 1 || again.Parts[1].Number != 2 || again.Stored != mebi {
		t.Fatalf("with a part again it is %+v", again)
	}
	send(again.Parts[0])
	send(resumed.Parts[0])
	for range 2 {
		s.call(http.StatusOK, http.MethodPost, "/v1/uploads/"+u.ID+":complete", nil, nil)
	}
	var get blobs.Request
	s.call(http.StatusOK, http.MethodPost, "/v1/files/"+u.ID+":download", nil, &get)
	if _, text, _ := s.send(get, ""); text != body {
		t.Errorf("the file came back with %d bytes", len(text))
	}

	aborted := s.begin(textFile(size))
	s.put(&aborted.Parts[0].Request, body[:aborted.Parts[0].Size])
	for range 2 {
		s.call(http.StatusOK, http.MethodPost, "/v1/uploads/"+aborted.ID+":abort", nil, nil)
	}
	contracttest.Eventually(t, "the parts to be removed", func() bool {
		signed, err := url.Parse(aborted.Parts[1].Request.URL)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.objects.Parts(t.Context(), aborted.Key, signed.Query().Get("uploadId"))
		return errors.Is(err, plane.ErrNoObject)
	})
	if got := s.call(http.StatusConflict, http.MethodPost, "/v1/uploads/"+u.ID+":abort", nil, nil); got != "wrong-status" {
		t.Errorf("an uploaded file was aborted: %s", got)
	}
}

// TestAForm of a browser.
func TestAForm(t *testing.T) {
	t.Parallel()
	s := serve(t)
	n := textFile(5)
	n.Form = true
	u := s.begin(n)
	s.post(u.Form, "hello")
	s.call(http.StatusOK, http.MethodPost, "/v1/uploads/"+u.ID+":complete", nil, nil)
}

// TestHints of the store are followed, whatever they say.
func TestHints(t *testing.T) {
	t.Parallel()
	s := serve(t)
	u, empty := s.begin(textFile(5)), s.begin(textFile(5))
	s.put(u.Put, "hello")
	record := func(keys ...string) map[string]any {
		var records []any
		for _, key := range keys {
			records = append(records, map[string]any{"eventName": "ObjectRemoved:Delete", "s3": map[string]any{"object": map[string]any{"key": url.QueryEscape(key), "size": 7}}})
		}
		return map[string]any{"Records": records}
	}
	for range 2 {
		s.call(http.StatusNoContent, http.MethodPost, "/v1/events", record("made up", empty.Key, u.Key, u.Key), nil)
	}
	if f := s.file(u.ID); f.Status != blobs.StatusUploaded || f.Size != 5 || f.Revision != 2 {
		t.Errorf("after the hint it is %+v", f)
	}
	if f := s.file(empty.ID); f.Status != blobs.StatusPending {
		t.Errorf("what the store does not have is %+v", f)
	}
	other := s.begin(textFile(5))
	s.put(other.Put, "hello")
	s.call(http.StatusNoContent, http.MethodPost, "/v1/events", record(other.Key), nil,
		"Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "/s", "Ce-Type", "com.example.s3")
	if f := s.file(other.ID); f.Status != blobs.StatusUploaded {
		t.Errorf("after a CloudEvent it is %+v", f)
	}
	s.call(http.StatusBadRequest, http.MethodPost, "/v1/events", "nonsense", nil)
	s.as("ann", "submit", "read", "manage").call(http.StatusForbidden, http.MethodPost, "/v1/events", record(u.Key), nil)
}

// TestOwners see and make their own files only.
func TestOwners(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *planeconfig.Blobs) { c.Uploads.OwnerBytes = 12 })
	ann, bob := s.as("ann", "submit", "read", "manage"), s.as("bob", "submit", "read", "manage")
	u := ann.begin(textFile(5))
	if u.Owner != "ann" {
		t.Errorf("ann's file is %+v", u)
	}
	n := textFile(5)
	n.Owner = "ann"
	bob.call(http.StatusForbidden, http.MethodPost, "/v1/uploads", n, nil)
	bob.call(http.StatusForbidden, http.MethodGet, "/v1/files?owner=ann", nil, nil)
	for _, c := range [][2]string{
		{http.MethodGet, "/v1/uploads/" + u.ID}, {http.MethodPost, "/v1/uploads/" + u.ID + ":complete"}, {http.MethodPost, "/v1/uploads/" + u.ID + ":abort"},
		{http.MethodGet, "/v1/files/" + u.ID}, {http.MethodDelete, "/v1/files/" + u.ID}, {http.MethodPost, "/v1/files/" + u.ID + ":download"},
		{http.MethodGet, "/v1/files/" + uuid.NewString()},
	} {
		if got := bob.call(http.StatusNotFound, c[0], c[1], nil, nil); got != "no-such-file" {
			t.Errorf("%s %s: %s", c[0], c[1], got)
		}
	}
	reader := s.as("ann", "read")
	reader.call(http.StatusForbidden, http.MethodPost, "/v1/uploads", textFile(1), nil)
	reader.call(http.StatusForbidden, http.MethodDelete, "/v1/files/"+u.ID, nil, nil)
	for client, want := range map[*served]int{ann: 1, bob: 0, s: 1, reader: 1} {
		var page blobs.Page
		client.call(http.StatusOK, http.MethodGet, "/v1/files", nil, &page)
		if len(page.Files) != want {
			t.Errorf("%d files, want %d", len(page.Files), want)
		}
	}
	if got := ann.call(http.StatusForbidden, http.MethodPost, "/v1/uploads", textFile(8), nil); got != "owner-full" {
		t.Errorf("more bytes than an owner may have: %s", got)
	}
	bob.begin(textFile(12))
	ann.call(http.StatusOK, http.MethodPost, "/v1/uploads/"+u.ID+":abort", nil, nil)
	ann.begin(textFile(12))
}

// TestRefusedUploads: what can not be is said before anything is begun.
func TestRefusedUploads(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *planeconfig.Blobs) { c.Uploads.ContentTypes = []string{"text/*", "image/png"} })
	for name, mutate := range map[string]func(*blobs.NewUpload){
		"filename": func(n *blobs.NewUpload) { n.Filename = "a\x00b" }, "filename ": func(n *blobs.NewUpload) { n.Filename = "" },
		"contentType": func(n *blobs.NewUpload) { n.ContentType = "image/gif" }, "contentType ": func(n *blobs.NewUpload) { n.ContentType = "" },
		"size": func(n *blobs.NewUpload) { n.Size = 64*mebi + 1 }, "size ": func(n *blobs.NewUpload) { n.Size = -1 },
		"checksum.value":     func(n *blobs.NewUpload) { n.Checksum = &blobs.Checksum{Algorithm: blobs.SHA256, Value: "aGVsbG8="} },
		"checksum.algorithm": func(n *blobs.NewUpload) { n.Checksum = &blobs.Checksum{Algorithm: "MD5", Value: "aGVsbG8="} },
		"checksum": func(n *blobs.NewUpload) {
			n.Size, n.Checksum = 6*mebi, &blobs.Checksum{Algorithm: blobs.CRC32C, Value: "AAAAAA=="}
		},
		"form":     func(n *blobs.NewUpload) { n.Size, n.Form = 6*mebi, true },
		"metadata": func(n *blobs.NewUpload) { n.Metadata = map[string]string{"a b": "c"} },
		"owner":    func(n *blobs.NewUpload) { n.Owner = "a\n" },
	} {
		n := textFile(5)
		mutate(&n)
		if got := s.call(http.StatusBadRequest, http.MethodPost, "/v1/uploads", n, nil); got != "invalid-request" {
			t.Errorf("%s: %s", name, got)
		}
	}
	for _, id := range []string{"x", strings.ToUpper(uuid.NewString()), "..%2f..%2fetc"} {
		s.call(http.StatusBadRequest, http.MethodGet, "/v1/files/"+id, nil, nil)
	}
	u := s.begin(textFile(0))
	s.put(u.Put, "")
	s.call(http.StatusOK, http.MethodPost, "/v1/uploads/"+u.ID+":complete", nil, nil)
	for _, prefix := range []string{"out/", "in", "in/../out/", "in//", "/in/", "in/" + strings.Repeat("x", 300) + "/"} {
		s.call(http.StatusBadRequest, http.MethodPost, "/v1/files/"+u.ID+":move", map[string]any{"prefix": prefix}, nil)
	}
}

// TestAgainUnderAKey is one upload.
func TestAgainUnderAKey(t *testing.T) {
	t.Parallel()
	s := serve(t)
	ann := s.as("ann", "submit")
	var ids []string
	for _, client := range []*served{s, s, ann, ann} {
		var u blobs.Upload
		client.call(http.StatusCreated, http.MethodPost, "/v1/uploads", textFile(5), &u, "Idempotency-Key", "k")
		ids = append(ids, u.ID)
	}
	if ids[0] != ids[1] || ids[2] != ids[3] || ids[0] == ids[2] {
		t.Errorf("one key of two owners made %v", ids)
	}
	s.call(http.StatusUnprocessableEntity, http.MethodPost, "/v1/uploads", textFile(6), nil, "Idempotency-Key", "k")
	var pages []string
	for cursor := ""; ; {
		var page blobs.Page
		s.call(http.StatusOK, http.MethodGet, "/v1/files?limit=1&cursor="+cursor, nil, &page)
		for _, f := range page.Files {
			pages = append(pages, f.ID)
		}
		if cursor = page.Cursor; cursor == "" {
			break
		}
	}
	if slices.Reverse(pages); fmt.Sprint(pages) != fmt.Sprint([]string{ids[0], ids[2]}) {
		t.Errorf("the list is %v", pages)
	}
}

// TestSinkOfFiles is told what becomes of a file, in order, soon.
func TestSinkOfFiles(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got []string
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var f blobs.File
		err := json.NewDecoder(r.Body).Decode(&f)
		mu.Lock()
		defer mu.Unlock()
		got = append(got, fmt.Sprint(r.Header.Get("Ce-Type"), " ", r.Header.Get("Ce-Subject") == f.ID, " ", f.Status, err))
	}))
	t.Cleanup(sink.Close)
	s := serve(t, func(c *planeconfig.Blobs) { c.Sinks = []planeconfig.Sink{{Name: "a", URL: sink.URL}} })
	u := s.begin(textFile(5))
	s.put(u.Put, "hello")
	s.call(http.StatusOK, http.MethodPost, "/v1/uploads/"+u.ID+":complete", nil, nil)
	s.call(http.StatusOK, http.MethodDelete, "/v1/files/"+u.ID, nil, nil)
	want := []string{blobs.EventPending + " true pending<nil>", blobs.EventUploaded + " true uploaded<nil>", blobs.EventDeleted + " true deleted<nil>"}
	contracttest.Eventually(t, "the events", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(got) >= len(want)
	})
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
