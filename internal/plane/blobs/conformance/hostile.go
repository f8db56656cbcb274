package conformance

import (
	"fmt"
	"mime"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

var hostileTests = []test{
	{"RefusedUploads", testRefused},
	{"NamesThatLeadNowhere", testNames},
	{"PrefixesThatLeadNowhere", testPrefixes},
	{"BadRequests", testBadRequests},
	{"BadBytes", testBadBytes},
}

// testRefused has what can not be be said before anything is begun.
func testRefused(t *testing.T, start Factory) {
	c := start(t, section(func(b *planeconfig.Blobs) { b.Uploads.ContentTypes = []string{"text/*", "image/png"} })).client(t)
	long := func(n int) string { return strings.Repeat("x", n) }
	labels := map[string]string{}
	for i := range 17 {
		labels[fmt.Sprint(i)] = ""
	}
	for name, changes := range map[string][]func(*blobs.NewUpload){
		"filename": {
			func(n *blobs.NewUpload) { n.Filename = "a\x00b" }, func(n *blobs.NewUpload) { n.Filename = "a\r\nSet-Cookie: a=b" },
			func(n *blobs.NewUpload) { n.Filename = "a\u0085" }, func(n *blobs.NewUpload) { n.Filename = "" }, func(n *blobs.NewUpload) { n.Filename = strings.Repeat("é", 128) },
		},
		"contentType": {
			func(n *blobs.NewUpload) { n.ContentType = "image/gif" }, func(n *blobs.NewUpload) { n.ContentType = "" }, func(n *blobs.NewUpload) { n.ContentType = "text" },
			func(n *blobs.NewUpload) { n.ContentType = "text/plain\r\nX: y" }, func(n *blobs.NewUpload) { n.ContentType = "text/plain; a=\"\x7f\"" },
		},
		"size": {func(n *blobs.NewUpload) { n.Size = MaxBytes + 1 }, func(n *blobs.NewUpload) { n.Size = -1 }},
		"checksum": {
			func(n *blobs.NewUpload) { n.Checksum = &blobs.Checksum{Algorithm: blobs.SHA256, Value: "aGVsbG8="} },
			func(n *blobs.NewUpload) { n.Checksum = &blobs.Checksum{Algorithm: blobs.CRC32C, Value: "\r\n"} },
			func(n *blobs.NewUpload) { n.Checksum = &blobs.Checksum{Algorithm: "MD5", Value: "aGVsbG8="} },
			func(n *blobs.NewUpload) {
				n.Size, n.Checksum = PartSize+1, &blobs.Checksum{Algorithm: blobs.CRC32C, Value: "AAAAAA=="}
			},
		},
		"form": {func(n *blobs.NewUpload) { n.Size, n.Form = PartSize+1, true }},
		"metadata": {
			func(n *blobs.NewUpload) { n.Metadata = map[string]string{"a b": "c"} }, func(n *blobs.NewUpload) { n.Metadata = map[string]string{"a": "c\x00"} },
			func(n *blobs.NewUpload) { n.Metadata = map[string]string{"": "c"} }, func(n *blobs.NewUpload) { n.Metadata = map[string]string{"a": long(257)} },
			func(n *blobs.NewUpload) { n.Metadata = labels },
		},
		"owner": {func(n *blobs.NewUpload) { n.Owner = "a\n" }, func(n *blobs.NewUpload) { n.Owner = long(129) }, func(n *blobs.NewUpload) { n.Owner = "\x00" }},
	} {
		for _, change := range changes {
			n := textFile(5)
			change(&n)
			c.refused(http.StatusBadRequest, "invalid-request", http.MethodPost, "/v1/uploads", n, name)
		}
	}
	c.as("a", "submit").refused(http.StatusForbidden, "not-allowed", http.MethodPost, "/v1/uploads", blobs.NewUpload{Filename: "a", Owner: "../a", ContentType: "text/plain"})
	if page := c.list(""); len(page.Files) != 0 {
		t.Errorf("something was begun: %+v", page)
	}
}

// testNames uploads under names and of owners that would lead somewhere else, were they believed.
func testNames(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	for _, name := range []string{
		"../../etc/passwd", `..\..\boot.ini`, "/", ".", "..", "a/../../b.txt", "%2e%2e%2fa.%00", "ünï☃ 😀.tüt", "a.b c", `quo"te;filename=x.exe`, "a\u202egpj.exe", "con.", "-rf *",
		"$(reboot).${id}", "<script>.html", strings.Repeat("é", 127), "a." + strings.Repeat("x", 250), "'; DROP TABLE files; --", "=?utf-8?q?a?=",
	} {
		n := textFile(5)
		n.Filename = name
		if len(name) <= 128 {
			n.Owner = name
		}
		f := c.upload(n, "hello")
		rest, ours := strings.CutPrefix(f.Key, "in/")
		parts := strings.Split(rest, "/")
		if !ours || len(parts) != 2 || !strings.HasPrefix(parts[1], f.ID) || strings.Contains(f.Key, "..") || strings.Trim(f.Key, keyLetters) != "" {
			t.Errorf("%q has the key %q", name, f.Key)
		}
		r := c.store(c.download(f.ID), "")
		kind, parameters, err := mime.ParseMediaType(r.header.Get("Content-Disposition"))
		if err != nil || kind != "attachment" || parameters["filename"] != name || string(r.body) != "hello" || len(parameters) != 1 {
			t.Errorf("%q is downloaded as %q: %s %v, %v", name, r.header.Get("Content-Disposition"), kind, parameters, err)
		}
		if page := c.list("prefix=" + strings.ReplaceAll(f.Key, "=", "%3d")); len(page.Files) != 1 || page.Files[0].Filename != name {
			t.Errorf("%q is listed as %+v", name, page)
		}
	}
}

const keyLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=./"

func testPrefixes(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	f := c.upload(textFile(0), "")
	for _, prefix := range []string{
		"", "/", "out/", "in", "in/../out/", "in/a/../../", "in//", "/in/", "in/./", "in/" + strings.Repeat("x", 300) + "/", "in/a\x00/", "in/\r\n/", `in/\/`, "in/${id}/", "in/\u0085/",
	} {
		c.refused(http.StatusBadRequest, "invalid-request", http.MethodPost, "/v1/files/"+f.ID+":move", map[string]any{"prefix": prefix}, "prefix")
	}
	if got := c.file(f.ID); got.Key != f.Key || got.Revision != f.Revision {
		t.Errorf("it was moved: %+v", got)
	}
	if got := c.move(f.ID, "in/ü ☃+%2f&?#/"); got.Status != blobs.StatusUploaded || c.store(c.download(f.ID), "").status != http.StatusOK {
		t.Errorf("it is lost under %q", got.Key)
	}
}

func testBadRequests(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	id := uuid.NewString()
	for _, bad := range []string{"x", strings.ToUpper(id), "%7B" + id + "%7D", strings.ReplaceAll(id, "-", ""), "urn:uuid:" + id} {
		c.refused(http.StatusBadRequest, "invalid-id", http.MethodGet, "/v1/files/"+bad, nil)
	}
	for _, r := range []struct {
		status             int
		slug, method, path string
		body               any
	}{
		{400, "invalid-path", "GET", "/v1/files/..%2f..%2fetc", nil}, {400, "invalid-path", "GET", "/v1/files/" + id + "%00", nil},
		{400, "invalid-request", "GET", "/v1/files/" + strings.Repeat("a", 65), nil}, {404, "not-found", "GET", "/v1/files/../../etc/passwd", nil},
		{404, "no-such-file", "GET", "/v1/files/" + id, nil}, {404, "no-such-file", "POST", "/v1/uploads/" + id + ":complete", nil},
		{400, "invalid-cursor", "GET", "/v1/files?cursor=x", nil}, {400, "invalid-cursor", "GET", "/v1/files?cursor=" + strings.Repeat("A", 64), nil},
		{400, "invalid-request", "GET", "/v1/files?limit=201", nil}, {400, "invalid-request", "GET", "/v1/files?status=lost", nil}, {400, "invalid-request", "GET", "/v1/files?prefix=%00", nil},
		{400, "invalid-request", "GET", "/v1/files?prefix=%ff", nil}, {400, "invalid-request", "POST", "/v1/uploads", []byte(`[]`)}, {400, "invalid-request", "POST", "/v1/uploads", []byte(`{"filename":"a","size":"5"}`)},
		{400, "invalid-request", "POST", "/v1/uploads", []byte(`{"filename":"a","size":1e99}`)}, {400, "invalid-request", "POST", "/v1/uploads", []byte(`{"filename":"a","size":5,"key":"in/mine"}`)},
		{400, "invalid-request", "POST", "/v1/uploads", []byte(strings.Repeat("[", 20000))},
		{413, "too-large", "POST", "/v1/uploads", []byte(`{"filename":"` + strings.Repeat("A", 70<<10) + `"}`)}, {405, "method-not-allowed", "PUT", "/v1/uploads", []byte(`{}`)},
		{405, "method-not-allowed", "POST", "/v1/files/" + id + ":explode", nil},
	} {
		c.refused(r.status, r.slug, r.method, r.path, r.body)
	}
	c.must(http.StatusBadRequest, http.MethodPost, "/v1/uploads", textFile(5), nil, "Idempotency-Key", strings.Repeat("k", 256))
	if page := c.list(""); len(page.Files) != 0 {
		t.Errorf("something was begun: %+v", page)
	}
}

func testBadBytes(t *testing.T, start Factory) {
	target := start(t, Options{})
	post := func(headers ...string) string {
		return target.Request("POST /v1/uploads HTTP/1.1", append(headers, "Content-Type: application/json")...)
	}
	target.Answers(t, contracttest.Exchanges{
		"a length beyond the limit": {Send: post("Content-Length: 9999999999"), Want: " 413 "},
		"two lengths":               {Send: post("Content-Length: 1", "Content-Length: 2") + "{}", Want: " 400 "},
		"a bad chunk":               {Send: post("Transfer-Encoding: chunked") + "zz\r\n", Want: " 400 "},
		"too many bytes of headers": {Send: post("X-Big: " + strings.Repeat("x", 64<<10)), Want: " 431 "},
	})
}
