package conformance

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// storeTests have the store refuse what is not as it was said to the ledger.
var storeTests = []test{
	{"APutIsRefused", testWrongPut},
	{"AFormIsRefused", testWrongForm},
	{"APartIsRefused", testWrongPart},
	{"ADownloadIsRefused", testWrongGet},
	{"ExpiredRequests", testExpired},
}

// other is the request with other headers; an empty value takes one away.
func other(r blobs.Request, headers ...string) blobs.Request {
	out := r
	out.Headers = map[string]string{}
	for name, value := range r.Headers {
		out.Headers[name] = value
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if out.Headers[headers[i]] = headers[i+1]; headers[i+1] == "" {
			delete(out.Headers, headers[i])
		}
	}
	return out
}

// at is the request with another URL.
func at(r blobs.Request, old, replacement string) blobs.Request {
	r.URL = strings.Replace(r.URL, old, replacement, 1)
	return r
}

func testWrongPut(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	n := textFile(5)
	n.Checksum = sha256Of("hello")
	u, victim := c.begin(n), c.begin(textFile(5))
	const sum = "X-Amz-Checksum-Sha256"
	c.denied("fewer bytes", *u.Put, "hell")
	c.denied("more bytes", *u.Put, "hello!")
	c.denied("other bytes", *u.Put, "hallo")
	c.denied("another type", other(*u.Put, "Content-Type", "text/html"), "hello")
	c.denied("no type", other(*u.Put, "Content-Type", ""), "hello")
	c.denied("another checksum", other(*u.Put, sum, sha256Of("hallo").Value), "hallo")
	c.denied("no checksum", other(*u.Put, sum, ""), "hallo")
	c.denied("no condition", other(*u.Put, "If-None-Match", ""), "hello")
	c.denied("another's key", at(*u.Put, u.ID, victim.ID), "hello")
	c.denied("a key of nobody", at(*u.Put, "/in/", "/out/"), "hello")
	c.denied("a longer time", at(*u.Put, "X-Amz-Expires=", "X-Amz-Expires=9"), "hello")
	c.denied("an ACL", *u.Put, "hello", "X-Amz-Acl", "public-read")
	deletion := *u.Put
	deletion.Method = http.MethodDelete
	c.denied("a deletion", deletion, "")
	reading := *u.Put
	reading.Method = http.MethodGet
	c.denied("a download", reading, "")
	if f := c.file(u.ID); f.Status != blobs.StatusPending || target.has(t, u.Key) || target.has(t, victim.Key) {
		t.Errorf("something was written: %+v", f)
	}
	c.put(*u.Put, "hello")
	c.denied("once more", *u.Put, "hello")
	c.complete(u.ID)
	c.denied("once more", *u.Put, "hello")
	empty := c.begin(textFile(0))
	c.denied("more than nothing", *empty.Put, "x")
	c.put(*empty.Put, "")
	c.complete(empty.ID)
}

func testWrongForm(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	n := textFile(5)
	n.Form, n.Checksum = true, sha256Of("hello")
	u := c.begin(n)
	post := func(what, body string, fields ...string) {
		t.Helper()
		f := blobs.Form{URL: u.Form.URL, Fields: other(blobs.Request{Headers: u.Form.Fields}, fields...).Headers}
		r, text := filled(t, f, body)
		c.denied(what, r, text)
	}
	post("fewer bytes", "hell")
	post("more bytes", "hello!")
	post("another type", "hello", "Content-Type", "text/html")
	post("another checksum", "hallo", "x-amz-checksum-sha256", sha256Of("hallo").Value)
	post("another key", "hello", "key", "in/mine")
	post("no policy", "hello", "policy", "")
	post("an ACL", "hello", "acl", "public-read")
	post("no signature", "hello", "X-Amz-Signature", strings.Repeat("0", 64))
	if f := c.file(u.ID); f.Status != blobs.StatusPending || target.has(t, u.Key) {
		t.Errorf("something was written: %+v", f)
	}
}

func testWrongPart(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	body := patterned(6 * mebi)
	u, another := c.begin(textFile(len(body))), c.begin(textFile(len(body)))
	first, last := u.Parts[0].Request, u.Parts[1].Request
	c.denied("a shorter part", first, body[:PartSize-1])
	c.denied("a longer part", last, body[PartSize:]+"x")
	c.denied("another number", at(last, "partNumber=2", "partNumber=3"), body[PartSize:])
	c.denied("another's upload", at(first, uploadIDOf(t, u.Parts[0]), uploadIDOf(t, another.Parts[0])), body[:PartSize])
	c.denied("another's key", at(first, u.ID, another.ID), body[:PartSize])
	if got := c.resume(u.ID); got.Stored != 0 || len(got.Parts) != 2 {
		t.Errorf("something was written: %+v", got)
	}
	c.put(first, body[:PartSize])
	c.put(last, body[PartSize:])
	c.complete(u.ID)
	c.denied("a part of what is complete", last, body[PartSize:])
}

func testWrongGet(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	mine, other := c.upload(textFile(5), "hello"), c.upload(textFile(5), "other")
	get := c.download(mine.ID)
	c.denied("another's key", at(get, mine.ID, other.ID), "")
	c.denied("another disposition", at(get, "attachment", "inline"), "")
	c.denied("another header", blobs.Request{Method: get.Method, URL: get.URL + "&response-content-type=text%2Fhtml"}, "")
	deletion := get
	deletion.Method = http.MethodDelete
	c.denied("a deletion", deletion, "")
	if r := c.store(get, "", "Range", "bytes=9-"); r.status != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("a range of nothing: %d", r.status)
	}
	if r := c.store(get, "", "Range", "bytes=-2"); r.status != http.StatusPartialContent || string(r.body) != "lo" {
		t.Errorf("the last two bytes: %d %q", r.status, r.body)
	}
}

func testExpired(t *testing.T, start Factory) {
	target := start(t, section(func(b *planeconfig.Blobs) {
		b.Uploads.URLTTL, b.Downloads.URLTTL = planeconfig.Duration(time.Second), planeconfig.Duration(time.Second)
	}))
	c := target.client(t)
	n := textFile(5)
	n.Form = true
	form, put, parts, done := c.begin(n), c.begin(textFile(5)), c.begin(textFile(PartSize+1)), c.begin(textFile(5))
	c.putInTime(done.ID, "hello")
	c.complete(done.ID)
	get := c.download(done.ID)
	// Times in signatures are whole seconds.
	over := time.Now().Add(3 * time.Second)
	contracttest.Eventually(t, "the requests to be over", func() bool { return time.Now().After(over) })
	r, text := filled(t, *form.Form, "hello")
	c.denied("a form", r, text)
	c.denied("a PUT", *put.Put, "hello")
	c.denied("a part", parts.Parts[1].Request, "x")
	c.denied("a download", get, "")
	for _, u := range []blobs.Upload{form, put} {
		c.putInTime(u.ID, "hello")
		c.complete(u.ID)
	}
	contracttest.Eventually(t, "a fresh request to be in time", func() bool {
		got := c.store(c.download(done.ID), "")
		return got.status == http.StatusOK && string(got.body) == "hello"
	})
}

// putInTime sends a file with a request that is over soon, and with the next one where the machine was too slow for it.
func (c *client) putInTime(id, body string) {
	c.t.Helper()
	contracttest.Eventually(c.t, "a request to be in time", func() bool { return c.store(*c.resume(id).Put, body).status < 300 })
}
