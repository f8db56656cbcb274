package conformance

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

var fileTests = []test{
	{"AFile", testFile},
	{"MovedAndBack", testMoves},
	{"AgainUnderAKey", testAgain},
	{"SinksAreTold", testSink},
	{"Counts", testStats},
}

func sha256Of(body string) *blobs.Checksum {
	sum := sha256.Sum256([]byte(body))
	return &blobs.Checksum{Algorithm: blobs.SHA256, Value: base64.StdEncoding.EncodeToString(sum[:])}
}

// testFile is uploaded, downloaded, moved and deleted.
func testFile(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	n := textFile(5)
	n.Checksum, n.Owner, n.Metadata = sha256Of("hello"), "ann/1", map[string]string{"k": "v"}
	u := c.begin(n)
	if u.Status != blobs.StatusPending || u.Key != "in/ann=2f1/"+u.ID+".txt" || u.Put == nil || u.Form != nil || u.Parts != nil || u.URLsExpireAt == nil {
		t.Errorf("begun is %+v", u)
	}
	c.refused(http.StatusConflict, "not-uploaded", http.MethodPost, "/v1/uploads/"+u.ID+":complete", nil, "0 of 5 bytes")
	c.refused(http.StatusConflict, "not-uploaded", http.MethodPost, "/v1/files/"+u.ID+":download", nil)
	c.put(*c.resume(u.ID).Put, "hello")
	for range 2 {
		if f := c.complete(u.ID); f.Status != blobs.StatusUploaded || f.ETag == "" || f.Revision != 2 {
			t.Errorf("completed is %+v", f)
		}
	}
	var get blobs.Request
	download := func() reply {
		c.must(http.StatusOK, http.MethodPost, "/v1/files/"+u.ID+":download", map[string]any{"inline": true}, &get)
		return c.store(get, "", "Range", "bytes=1-2")
	}
	if r := download(); r.status != http.StatusPartialContent || string(r.body) != "el" || r.header.Get("Content-Disposition") != "inline; filename*=utf-8''t%C3%A4xt.TXT" ||
		r.header.Get("Content-Type") != "text/plain" || r.header.Get("Content-Range") != "bytes 1-2/5" {
		t.Errorf("download: %d %q %v", r.status, r.body, r.header)
	}
	if f := c.move(u.ID, "in/archive/"); f.Key != "in/archive/"+u.ID+".txt" {
		t.Errorf("moved is %+v", f)
	}
	before := get
	if r := download(); r.status != http.StatusPartialContent || string(r.body) != "el" {
		t.Errorf("download after the move: %d %q", r.status, r.body)
	}
	for range 2 {
		if f := c.delete(u.ID); f.Status != blobs.StatusDeleted {
			t.Errorf("deleted is %+v", f)
		}
	}
	c.refused(http.StatusGone, "gone", http.MethodPost, "/v1/files/"+u.ID+":download", nil, "deleted")
	contracttest.Eventually(t, "both objects to be removed", func() bool {
		return c.store(before, "").status == http.StatusNotFound && c.store(get, "").status == http.StatusNotFound
	})
}

// testMoves comes back to a key to which somebody may still write.
func testMoves(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	f := c.upload(textFile(5), "hello")
	for _, prefix := range []string{"in/a/", "in/_/", "in/a/", "in/_/"} {
		f = c.move(f.ID, prefix)
		if got := c.read(f.ID); got != "hello" {
			t.Errorf("at %s it is %q", f.Key, got)
		}
	}
	if page := c.list(""); len(page.Files) != 1 || page.Files[0].Key != f.Key {
		t.Errorf("the list has %+v, want %s", page.Files, f.Key)
	}
	c.delete(f.ID)
	target.awaitGone(t, f.Key)
}

func (c *client) list(query string) (out blobs.Page) {
	c.t.Helper()
	c.must(http.StatusOK, http.MethodGet, "/v1/files?"+query, nil, &out)
	return out
}

// testAgain begins one upload several times.
func testAgain(t *testing.T, start Factory) {
	s := start(t, Options{}).client(t)
	ann := s.as("ann", "submit")
	var ids []string
	for _, client := range []*client{s, s, ann, ann} {
		ids = append(ids, client.begin(textFile(5), "Idempotency-Key", "k").ID)
	}
	if ids[0] != ids[1] || ids[2] != ids[3] || ids[0] == ids[2] {
		t.Errorf("one key of two owners made %v", ids)
	}
	s.must(http.StatusUnprocessableEntity, http.MethodPost, "/v1/uploads", textFile(6), nil, "Idempotency-Key", "k")
	var pages []string
	for cursor := ""; ; {
		page := s.list("limit=1&cursor=" + cursor)
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

// testSink is told what becomes of a file, in order, soon.
func testSink(t *testing.T, start Factory) {
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
	c := start(t, section(func(b *planeconfig.Blobs) { b.Sinks = []planeconfig.Sink{{Name: "a", URL: sink.URL}} })).client(t)
	c.delete(c.upload(textFile(5), "hello").ID)
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

func (c *client) stats() (out blobs.Stats) {
	c.t.Helper()
	c.must(http.StatusOK, http.MethodGet, "/v1/stats", nil, &out)
	return out
}

func testStats(t *testing.T, start Factory) {
	c := start(t, section(func(b *planeconfig.Blobs) { b.Quota = 20 })).client(t)
	c.begin(textFile(7))
	c.upload(textFile(5), "hello")
	c.delete(c.upload(textFile(3), "abc").ID)
	got := c.stats()
	want := blobs.Stats{
		Files: map[blobs.Status]int64{"pending": 1, "uploaded": 1, "expired": 0, "deleted": 1}, Bytes: map[blobs.Status]int64{"pending": 7, "uploaded": 5, "expired": 0, "deleted": 3},
		Collecting: 1, Used: 12, Quota: 20,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("counted %v, want %v", got, want)
	}
	c.refused(http.StatusInsufficientStorage, "bucket-full", http.MethodPost, "/v1/uploads", textFile(9), "20 bytes (quota)")
	c.as("ann", "read", "manage", "submit").refused(http.StatusForbidden, "not-allowed", http.MethodGet, "/v1/stats", nil)
}
