package conformance

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

var uploadTests = []test{
	{"Parts", testParts},
	{"PartsOfWhichSomebodyElseDisposed", testPartsLost},
	{"ResumedAtEachStage", testResume},
	{"AForm", testForm},
	{"NobodyTells", testSilent},
	{"Abandoned", testAbandoned},
}

// patterned has bytes of which none of two parts are the same.
func patterned(size int) string {
	var out strings.Builder
	out.Grow(size + 32)
	for i := 0; out.Len() < size; i++ {
		out.WriteString("0123456789abcde")
		out.WriteByte(byte('a' + i/1000%26))
	}
	return out.String()[:size]
}

// testParts are sent out of order, one is missing for a while, and the upload is resumed.
func testParts(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	const size = 11 * mebi
	body := patterned(size)
	u := c.begin(textFile(size))
	if len(u.Parts) != 3 || u.Put != nil || u.Parts[2].Offset != 10*mebi || u.Parts[2].Size != mebi {
		t.Fatalf("begun is %+v", u)
	}
	send := func(p blobs.Part) { c.put(p.Request, body[p.Offset:p.Offset+p.Size]) }
	send(u.Parts[2])
	send(u.Parts[0])
	send(u.Parts[0])
	c.refused(http.StatusConflict, "not-as-said", http.MethodPost, "/v1/uploads/"+u.ID+":complete", c.completion(u.ID), "?again=2,")
	resumed := c.resume(u.ID)
	if len(resumed.Parts) != 1 || resumed.Parts[0].Number != 2 || resumed.Stored != 6*mebi {
		t.Fatalf("resumed is %+v", resumed)
	}
	send(resumed.Parts[0])
	for range 2 {
		c.complete(u.ID)
	}
	if got := c.read(u.ID); got != body {
		t.Errorf("the file came back with %d bytes", len(got))
	}
	c.refused(http.StatusConflict, "wrong-status", http.MethodPost, "/v1/uploads/"+u.ID+":abort", nil)

	aborted := c.begin(textFile(size))
	c.put(aborted.Parts[0].Request, body[:aborted.Parts[0].Size])
	for range 2 {
		c.must(http.StatusOK, http.MethodPost, "/v1/uploads/"+aborted.ID+":abort", nil, nil)
	}
	target.awaitNoParts(t)
	c.denied("a part of what is aborted", aborted.Parts[1].Request, body[:aborted.Parts[1].Size])
}

func (g *Target) awaitNoParts(t *testing.T) {
	t.Helper()
	contracttest.Eventually(t, "the parts to be removed", func() bool {
		uploads, _, err := g.Objects.ListParts(t.Context(), "", plane.Unfinished{})
		if err != nil {
			t.Fatal(err)
		}
		return len(uploads) == 0
	})
}

// testPartsLost begins anew what an administrator, or a rule of the bucket, aborted.
func testPartsLost(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	body := patterned(6 * mebi)
	u := c.begin(textFile(len(body)))
	c.put(u.Parts[0].Request, body[:PartSize])
	if err := target.Objects.AbortParts(t.Context(), u.Key, uploadIDOf(t, u.Parts[0])); err != nil {
		t.Fatal(err)
	}
	resumed := c.resume(u.ID)
	if len(resumed.Parts) != 2 || resumed.Stored != 0 {
		t.Fatalf("resumed is %+v", resumed)
	}
	for _, p := range resumed.Parts {
		c.put(p.Request, body[p.Offset:p.Offset+p.Size])
	}
	c.complete(u.ID)
	if got := c.read(u.ID); got != body {
		t.Errorf("the file came back with %d bytes", len(got))
	}
}

func uploadIDOf(t *testing.T, p blobs.Part) string {
	t.Helper()
	u, err := url.Parse(p.Request.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("uploadId")
}

// testResume has a client that forgets all but the id, after each step.
func testResume(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	body := patterned(6 * mebi)
	for _, size := range []int{0, 5, len(body)} {
		id := c.begin(textFile(size)).ID
		for steps := 0; c.resume(id).Status == blobs.StatusPending; steps++ {
			if steps > 4 {
				t.Fatalf("%d bytes: %+v", size, c.resume(id))
			}
			switch u := c.resume(id); {
			case u.Put != nil && steps == 0:
				c.put(*u.Put, body[:size])
			case len(u.Parts) > 0:
				p := u.Parts[0]
				c.put(p.Request, body[p.Offset:p.Offset+p.Size])
			default:
				c.complete(id)
			}
		}
		if got := c.read(id); got != body[:size] {
			t.Errorf("the file came back with %d bytes of %d", len(got), size)
		}
	}
}

// testForm is posted as a browser does.
func testForm(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	n := textFile(5)
	n.Form, n.Checksum = true, sha256Of("hello")
	u := c.begin(n)
	r, body := filled(t, *u.Form, "hello")
	c.put(r, body)
	c.complete(u.ID)
	if got := c.read(u.ID); got != "hello" {
		t.Errorf("the file came back as %q", got)
	}
}

// testSilent has nobody complete an upload or tell of it.
func testSilent(t *testing.T, start Factory) {
	c := start(t, section(shortlived)).client(t)
	u := c.begin(textFile(5))
	c.put(*u.Put, "hello")
	contracttest.Eventually(t, "the upload to be found out", func() bool { return c.file(u.ID).Status == blobs.StatusUploaded })
	if got := c.read(u.ID); got != "hello" {
		t.Errorf("the file came back as %q", got)
	}
}

// testAbandoned leaves nothing of uploads that go no further.
func testAbandoned(t *testing.T, start Factory) {
	target := start(t, section(shortlived))
	c := target.client(t)
	never, half := c.begin(textFile(5)), c.begin(textFile(6*mebi))
	c.put(half.Parts[0].Request, patterned(PartSize))
	contracttest.Eventually(t, "the uploads to expire", func() bool {
		return c.file(never.ID).Status == blobs.StatusExpired && c.file(half.ID).Status == blobs.StatusExpired
	})
	target.awaitNoParts(t)
	c.refused(http.StatusGone, "gone", http.MethodPost, "/v1/uploads/"+never.ID+":complete", nil, "not uploaded in time")
	if s := c.stats(); s.Used != 0 || s.Files[blobs.StatusExpired] != 2 {
		t.Errorf("counted %+v", s)
	}
}
