package conformance

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

var partTests = []test{
	{"APartIsCutOff", testPartCutOff},
	{"PartsWithoutETags", testPartsNeeded},
	{"PartsWithOtherETags", testOtherETags},
	{"PartsAgain", testPartsAgain},
	{"PartsOfAStoreThatKeepsWholeOnes", testNativeParts},
}

// acknowledged are the ETags that the store answered a client for parts, by the paths of their objects. It is all that a
// client knows of what the store has.
type acknowledged struct {
	mu    sync.Mutex
	etags map[string]map[int]string
}

// note what was answered to a request, if it was one for a part.
func (a *acknowledged) note(request, etag string) {
	u, err := url.Parse(request)
	if err != nil || etag == "" {
		return
	}
	number, err := strconv.Atoi(u.Query().Get("partNumber"))
	if err != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.etags == nil {
		a.etags = map[string]map[int]string{}
	}
	if a.etags[u.Path] == nil {
		a.etags[u.Path] = map[int]string{}
	}
	a.etags[u.Path][number] = etag
}

// of a file: its id is in the keys of its objects.
func (a *acknowledged) of(id string) (out []blobs.SentPart) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for path, etags := range a.etags {
		if !strings.Contains(path, id) {
			continue
		}
		for _, number := range slices.Sorted(maps.Keys(etags)) {
			out = append(out, blobs.SentPart{Number: number, ETag: etags[number]})
		}
	}
	slices.SortFunc(out, func(a, b blobs.SentPart) int { return cmp.Compare(a.Number, b.Number) })
	return out
}

// completion says what the store acknowledged of a file's parts, and is nil where that is nothing.
func (c *client) completion(id string) any {
	if sent := c.sent.of(id); len(sent) > 0 {
		return blobs.Completion{Parts: sent}
	}
	return nil
}

// missingPath is where a client asks for what was not acknowledged to it, whatever the store says.
func (c *client) missingPath(f blobs.File) string {
	sent, numbers := c.sent.of(f.ID), []string{}
	for number := 1; int64(number-1)*PartSize < f.Size; number++ {
		if !slices.ContainsFunc(sent, func(p blobs.SentPart) bool { return p.Number == number }) {
			numbers = append(numbers, strconv.Itoa(number))
		}
	}
	if f.Size <= PartSize || len(numbers) == 0 {
		return "/v1/uploads/" + f.ID
	}
	return "/v1/uploads/" + f.ID + "?again=" + strings.Join(numbers, ",")
}

func (c *client) resumeUnacknowledged(f blobs.File) (out blobs.Upload) {
	c.t.Helper()
	c.must(http.StatusOK, http.MethodGet, c.missingPath(f), nil, &out)
	return out
}

func numbersOf(parts []blobs.Part) (out []int) {
	for _, p := range parts {
		out = append(out, p.Number)
	}
	return out
}

// cut sends the first bytes of a request and breaks the connection off.
func cut(t *testing.T, r blobs.Request, body string, after int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), r.Method, r.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range r.Headers {
		req.Header.Set(name, value)
	}
	var text bytes.Buffer
	if err := req.Write(&text); err != nil {
		t.Fatal(err)
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", req.URL.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.CopyN(conn, &text, int64(text.Len()-len(body)+after)); err != nil {
		t.Fatal(err)
	}
}

// testPartCutOff has a connection end in the middle of a part, and a client go on that knows of acknowledged ones alone.
func testPartCutOff(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	body := patterned(2*PartSize + 5)
	u := c.begin(textFile(len(body)))
	send := func(p blobs.Part) { c.put(p.Request, body[p.Offset:p.Offset+p.Size]) }
	send(u.Parts[0])
	send(u.Parts[2])
	cut(t, u.Parts[1].Request, body[PartSize:2*PartSize], mebi)
	if target.Features.Of(planeconfig.S3WholeParts) == planeconfig.S3Absent {
		contracttest.Eventually(t, "the store to say that it has all", func() bool { return c.resume(u.ID).Stored == u.Size })
		c.refused(http.StatusBadRequest, "parts-needed", http.MethodPost, "/v1/uploads/"+u.ID+":complete", nil, u.ID+"?again=")
	}
	c.refused(http.StatusConflict, "not-as-said", http.MethodPost, "/v1/uploads/"+u.ID+":complete", c.completion(u.ID), u.ID+"?again=2,")
	// What the store makes of what was cut off, it may do any time.
	contracttest.Eventually(t, "the upload to be done", func() bool {
		for _, p := range c.resumeUnacknowledged(u.File).Parts {
			send(p)
		}
		r, err := c.do(t.Context(), http.MethodPost, "/v1/uploads/"+u.ID+":complete", c.completion(u.ID))
		if err == nil && r.status == http.StatusConflict {
			c.sent.forget(u.ID, 2)
		}
		return err == nil && r.status == http.StatusOK
	})
	if sha256.Sum256([]byte(c.read(u.ID))) != sha256.Sum256([]byte(body)) {
		t.Error("other bytes came back")
	}
}

func (a *acknowledged) forget(id string, number int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for path, etags := range a.etags {
		if strings.Contains(path, id) {
			delete(etags, number)
		}
	}
}

// testPartsNeeded completes nothing on the store's word alone, and does so with that of the client.
func testPartsNeeded(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	body := patterned(PartSize + 5)
	u := c.begin(textFile(len(body)))
	path := "/v1/uploads/" + u.ID + ":complete"
	for _, p := range u.Parts {
		c.put(p.Request, body[p.Offset:p.Offset+p.Size])
		for _, nothing := range []any{nil, blobs.Completion{}} {
			c.refused(http.StatusBadRequest, "parts-needed", http.MethodPost, path, nothing, `{"parts": [{"number": 1`, u.ID+"?again=")
		}
	}
	if f := c.file(u.ID); f.Status != blobs.StatusPending {
		t.Fatalf("without ETags it became %+v", f)
	}
	f := c.complete(u.ID)
	// Once it is done, nothing is to be compared any more.
	var again blobs.File
	if c.must(http.StatusOK, http.MethodPost, path, nil, &again); again.Revision != f.Revision || c.read(u.ID) != body {
		t.Errorf("completed again is %+v, want %+v", again, f)
	}
}

// testOtherETags names the parts that are not as the client says.
func testOtherETags(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	body := patterned(2*PartSize + 5)
	u := c.begin(textFile(len(body)))
	for _, p := range u.Parts[:2] {
		c.put(p.Request, body[p.Offset:p.Offset+p.Size])
	}
	one, two := c.sent.of(u.ID)[0], c.sent.of(u.ID)[1]
	other := func(p blobs.SentPart) blobs.SentPart {
		return blobs.SentPart{Number: p.Number, ETag: strings.Repeat("0", 32)}
	}
	path := "/v1/uploads/" + u.ID + ":complete"
	for _, of := range []struct {
		parts []blobs.SentPart
		again string
	}{
		{[]blobs.SentPart{one, two}, "3"},
		{[]blobs.SentPart{one, two, {Number: 3, ETag: one.ETag}}, "3"},
		{[]blobs.SentPart{two, one}, "3"},
		{[]blobs.SentPart{one}, "2,3"},
		{[]blobs.SentPart{other(one), two}, "1,3"},
		{[]blobs.SentPart{{Number: 1, ETag: two.ETag}, {Number: 2, ETag: one.ETag}}, "1,2,3"},
		{[]blobs.SentPart{{Number: 1, ETag: `""`}}, "1,2,3"},
	} {
		r := c.must(http.StatusConflict, http.MethodPost, path, blobs.Completion{Parts: of.parts}, nil)
		var said struct{ Again []int }
		decode(t, r.body, &said)
		if p := contracttest.ReadProblem(t, r.status, r.header, r.body); p.Slug() != "not-as-said" || !strings.Contains(p.Detail, "?again="+of.again+",") ||
			strings.ReplaceAll(strings.Trim(fmt.Sprint(said.Again), "[]"), " ", ",") != of.again {
			t.Errorf("%+v is refused as %+v, %v", of.parts, p, said)
		}
	}
	c.put(u.Parts[2].Request, body[u.Parts[2].Offset:])
	all := c.sent.of(u.ID)
	c.refused(http.StatusBadRequest, "invalid-request", http.MethodPost, path, blobs.Completion{Parts: append([]blobs.SentPart{one}, all...)}, "number 1 is there twice")
	c.refused(http.StatusBadRequest, "invalid-request", http.MethodPost, path, blobs.Completion{Parts: append([]blobs.SentPart{{Number: 4, ETag: "x"}}, all...)}, "above the 3 parts")
	slices.Reverse(all)
	for i := range all[:2] {
		all[i].ETag = strings.Trim(all[i].ETag, `"`)
	}
	c.must(http.StatusOK, http.MethodPost, path, blobs.Completion{Parts: all}, nil)
	if got := c.read(u.ID); got != body {
		t.Errorf("the file came back with %d bytes", len(got))
	}
}

// testPartsAgain signs requests for parts that the store has, and counts them as missing.
func testPartsAgain(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	body := patterned(2*PartSize + 5)
	u := c.begin(textFile(len(body)))
	for _, p := range u.Parts {
		c.put(p.Request, strings.Repeat("x", int(p.Size)))
	}
	path := "/v1/uploads/" + u.ID + "?again="
	for _, of := range []struct {
		again  string
		want   []int
		stored int64
	}{{"2", []int{2}, PartSize + 5}, {"3,1", []int{1, 3}, PartSize}, {"4", nil, 2*PartSize + 5}, {"1,2,3", []int{1, 2, 3}, 0}} {
		var got blobs.Upload
		c.must(http.StatusOK, http.MethodGet, path+of.again, nil, &got)
		if !slices.Equal(numbersOf(got.Parts), of.want) || got.Stored != of.stored {
			t.Errorf("again %s gives %v and %d bytes", of.again, numbersOf(got.Parts), got.Stored)
		}
		for _, p := range got.Parts {
			c.put(p.Request, body[p.Offset:p.Offset+p.Size])
		}
	}
	c.refused(http.StatusBadRequest, "invalid-request", http.MethodGet, path+strings.Repeat("1,", 64)+"1", nil)
	c.complete(u.ID)
	if got := c.read(u.ID); got != body {
		t.Errorf("the file came back with %d bytes", len(got))
	}
}

// testNativeParts takes the word of a store that is known to keep whole parts alone.
func testNativeParts(t *testing.T, start Factory) {
	c := start(t, section(func(b *planeconfig.Blobs) {
		b.Settings.Features = planeconfig.S3Features{planeconfig.S3WholeParts: planeconfig.S3Native}
	})).client(t)
	body := patterned(PartSize + 5)
	u := c.begin(textFile(len(body)))
	path := "/v1/uploads/" + u.ID + ":complete"
	c.put(u.Parts[0].Request, body[:PartSize])
	c.refused(http.StatusConflict, "not-uploaded", http.MethodPost, path, nil, fmt.Sprintf("%d of %d", PartSize, u.Size))
	c.put(u.Parts[1].Request, body[PartSize:])
	c.must(http.StatusOK, http.MethodPost, path, nil, nil)
	if got := c.read(u.ID); got != body {
		t.Errorf("the file came back with %d bytes", len(got))
	}
}
