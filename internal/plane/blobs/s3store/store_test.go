package s3store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/trellis-dev/trellis/internal/enginetest"
	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/plane/blobs/s3store"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// bucket of a store of its own.
func bucket(t *testing.T, mutate ...func(*s3store.Config)) *s3store.Store {
	t.Helper()
	server := enginetest.Store(t)
	c := s3store.Config{
		Endpoint: server.URI, Region: enginetest.S3Region, Bucket: "files", PathStyle: true, Conditional: true,
		Credentials: credentials.NewStaticCredentialsProvider(enginetest.S3AccessKeyID, enginetest.S3SecretAccessKey, ""),
	}
	for _, m := range mutate {
		m(&c)
	}
	admin := s3.New(s3.Options{BaseEndpoint: aws.String(c.Endpoint), Region: c.Region, UsePathStyle: true, Credentials: c.Credentials})
	if _, err := admin.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(c.Bucket)}); err != nil {
		t.Fatal(err)
	}
	s, err := s3store.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sumOf(text string) *blobs.Checksum {
	sum := sha256.Sum256([]byte(text))
	return &blobs.Checksum{Algorithm: blobs.SHA256, Value: base64.StdEncoding.EncodeToString(sum[:])}
}

// send a signed request as a client does, with what it changes of it, and returns the status.
func send(t *testing.T, r blobs.Request, body string, mutate ...func(*http.Request)) (status int, answer []byte, header http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), r.Method, r.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range r.Headers {
		req.Header.Set(name, value)
	}
	for _, m := range mutate {
		m(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err = io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer, resp.Header
}

// keys that make trouble elsewhere.
var keys = []string{"a", "in/2030/0193 a+b&c=d?e#f.txt", "ünïcode/☃", "in/" + strings.Repeat("x", 200), "a'b\"c$(d)~!*"}

// TestPut shows that the store takes what was signed, once, and nothing else.
func TestPut(t *testing.T) {
	t.Parallel()
	s := bucket(t)
	for i, key := range keys {
		p := plane.Put{Key: key, Size: 5, ContentType: "text/plain", Checksum: sumOf("hello")}
		r, err := s.SignPut(t.Context(), time.Now(), p, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			body   string
			mutate func(*http.Request)
		}{
			"more bytes":       {"hello!", nil},
			"fewer bytes":      {"hell", nil},
			"other bytes":      {"hellO", nil},
			"another type":     {"hello", func(r *http.Request) { r.Header.Set("Content-Type", "text/html") }},
			"another checksum": {"hellO", func(r *http.Request) { r.Header.Set("X-Amz-Checksum-Sha256", sumOf("hellO").Value) }},
			"no condition":     {"hello", func(r *http.Request) { r.Header.Del("If-None-Match") }},
			"another key":      {"hello", func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/files/other", "" }},
			"another method":   {"", func(r *http.Request) { r.Method = http.MethodDelete }},
		} {
			mutate := c.mutate
			if mutate == nil {
				mutate = func(*http.Request) {}
			}
			if status, answer, _ := send(t, r, c.body, mutate); status < 400 {
				t.Errorf("key %d, %s: the store took it: %d %s", i, name, status, answer)
			}
		}
		if _, err := s.Head(t.Context(), key); !errors.Is(err, plane.ErrNoObject) {
			t.Errorf("key %d: what was refused is there: %v", i, err)
		}
		if status, answer, _ := send(t, r, "hello"); status != http.StatusOK {
			t.Fatalf("key %d: %d %s", i, status, answer)
		}
		if status, answer, _ := send(t, r, "hello"); status != http.StatusPreconditionFailed {
			t.Errorf("key %d: the same request again: %d %s", i, status, answer)
		}
		o, err := s.Head(t.Context(), key)
		if err != nil || o.Size != 5 || o.ContentType != "text/plain" || !cmp.Equal(o.Checksum, p.Checksum) || o.ETag == "" || time.Since(o.Modified) > time.Hour {
			t.Errorf("key %d is %+v, %v", i, o, err)
		}
		get, err := s.SignGet(t.Context(), time.Now(), plane.Get{Key: key, ContentType: "text/x", Disposition: `attachment; filename="ü.txt"`}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		status, answer, header := send(t, get, "", func(r *http.Request) { r.Header.Set("Range", "bytes=1-3") })
		if status != http.StatusPartialContent || string(answer) != "ell" || header.Get("Content-Disposition") != `attachment; filename="ü.txt"` || header.Get("Content-Type") != "text/x" {
			t.Errorf("key %d: download %d %q %v", i, status, answer, header)
		}
	}
}

func TestWhatExpired(t *testing.T) {
	t.Parallel()
	s := bucket(t)
	ago := time.Now().Add(-time.Hour)
	put, err := s.SignPut(t.Context(), ago, plane.Put{Key: "a", Size: 1, ContentType: "a/b"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if status, answer, _ := send(t, put, "x"); status != http.StatusForbidden {
		t.Errorf("%d %s", status, answer)
	}
}

// TestNothing: no bytes is a size that no signature has, so their checksum is signed.
func TestNothing(t *testing.T) {
	t.Parallel()
	s := bucket(t)
	r, err := s.SignPut(t.Context(), time.Now(), plane.Put{Key: "a", ContentType: "a/b"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if status, _, _ := send(t, r, "x"); status < 400 {
		t.Errorf("a byte where none was said: %d", status)
	}
	if status, answer, _ := send(t, r, ""); status != http.StatusOK {
		t.Errorf("%d %s", status, answer)
	}
}

// postForm as a browser does, with other values for some of its fields.
func postForm(t *testing.T, form blobs.Form, body string, change map[string]string) (int, string) {
	t.Helper()
	var buffer bytes.Buffer
	w := multipart.NewWriter(&buffer)
	for name, value := range form.Fields {
		if other, ok := change[name]; ok {
			value = other
		}
		if err := w.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	part, err := w.CreateFormFile("file", "a")
	if err == nil {
		_, err = io.WriteString(part, body)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, form.URL, &buffer)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", w.FormDataContentType())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer)
}

func TestForm(t *testing.T) {
	t.Parallel()
	s := bucket(t)
	form, err := s.SignForm(t.Context(), time.Now(), plane.Put{Key: "in/a", Size: 5, ContentType: "text/plain"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	post := func(body string, change map[string]string) (int, string) {
		t.Helper()
		return postForm(t, form, body, change)
	}
	for name, c := range map[string]struct {
		body   string
		change map[string]string
	}{
		"more bytes": {"hello!", nil}, "fewer bytes": {"hell", nil}, "another key": {"hello", map[string]string{"key": "in/b"}},
		"another type": {"hello", map[string]string{"Content-Type": "text/html"}},
	} {
		if status, answer := post(c.body, c.change); status < 400 {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	if status, answer := post("hello", nil); status >= 300 {
		t.Errorf("%d %s", status, answer)
	}
	if o, err := s.Head(t.Context(), "in/a"); err != nil || o.Size != 5 || o.ContentType != "text/plain" {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestParts uploads in parts of the least size, one of them twice.
func TestParts(t *testing.T) {
	t.Parallel()
	const size = 5 << 20
	s := bucket(t, func(c *s3store.Config) { c.MaxCopy = size })
	id, err := s.BeginParts(t.Context(), plane.Put{Key: "big", ContentType: "a/b"})
	if err != nil {
		t.Fatal(err)
	}
	body := strings.Repeat("0123456789abcdef", size/16)
	for i, text := range []string{body, body, "the end"} {
		r, err := s.SignPart(t.Context(), time.Now(), plane.PartOf{Key: "big", UploadID: id, Number: i + 1, Size: int64(len(text))}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		// The store may end the connection while it is being sent what it refused.
		req, err := http.NewRequestWithContext(t.Context(), r.Method, r.URL, strings.NewReader(text+"!"))
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode < 400 {
				t.Errorf("part %d: a byte too many was taken: %d", i, resp.StatusCode)
			}
		}
		for range 2 {
			if status, answer, _ := send(t, r, text); status != http.StatusOK {
				t.Fatalf("part %d: %d %s", i, status, answer)
			}
		}
	}
	unfinished, more, err := s.ListParts(t.Context(), "b", plane.Unfinished{})
	if err != nil || more || len(unfinished) != 1 || unfinished[0].Key != "big" || unfinished[0].UploadID != id {
		t.Errorf("unfinished are %+v, %v, %v", unfinished, more, err)
	}
	parts, err := s.Parts(t.Context(), "big", id)
	if err != nil || len(parts) != 3 || parts[1].Size != size || parts[2].Size != 7 {
		t.Fatalf("parts are %+v, %v", parts, err)
	}
	wrong := slices.Clone(parts)
	wrong[0].ETag = strings.Repeat("0", 32)
	if err := s.FinishParts(t.Context(), "big", id, wrong); !errors.Is(err, plane.ErrMismatch) {
		t.Errorf("another part than was sent: %v", err)
	}
	if err := s.FinishParts(t.Context(), "big", id, parts); err != nil {
		t.Fatal(err)
	}
	if err := s.FinishParts(t.Context(), "big", id, parts); err != nil && !errors.Is(err, plane.ErrNoObject) && !errors.Is(err, plane.ErrExists) {
		t.Errorf("finished again: %v", err)
	}
	copied, err := s.Copy(t.Context(), "big", "in/copy of big", nil)
	if err != nil || copied.Size != 2*size+7 || copied.ContentType != "a/b" {
		t.Errorf("the copy is %+v, %v", copied, err)
	}
	again, err := s.BeginParts(t.Context(), plane.Put{Key: "big2", ContentType: "a/b"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.AbortParts(t.Context(), "big2", again); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Parts(t.Context(), "big2", again); !errors.Is(err, plane.ErrNoObject) {
		t.Errorf("parts of what was aborted: %v", err)
	}
}

// TestList walks pages in the order of the keys' bytes, where a file system's is another.
func TestList(t *testing.T) {
	t.Parallel()
	s := bucket(t)
	names := []string{"a!", "a-b", "a.b", "a/b", "a/c/d", "a0", "b/1", "b/10", "b/2", "é", "中"}
	for i := range 1010 {
		names = append(names, fmt.Sprintf("n/%04d", i))
	}
	slices.Sort(names)
	ctx := t.Context()
	for _, name := range names {
		put(ctx, t, s, name)
	}
	for _, prefix := range []string{"", "a", "n/", "none"} {
		want := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !strings.HasPrefix(n, prefix) })
		var got []string
		after, calls := "", 0
		for more := true; more; calls++ {
			var page []plane.Object
			var err error
			if page, more, err = s.List(ctx, prefix, after); err != nil {
				t.Fatal(err)
			}
			for _, o := range page {
				got, after = append(got, o.Key), o.Key
			}
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%q (-want +got)\n%s", prefix, diff)
		}
		if most := max(1, (len(want)+999)/1000); calls != most {
			t.Errorf("%q took %d calls, want %d", prefix, calls, most)
		}
	}
	if err := s.Remove(ctx, "a!"); err != nil {
		t.Error(err)
	}
	if err := s.Remove(ctx, "a!"); err != nil {
		t.Errorf("again: %v", err)
	}
	if o, _, err := s.List(ctx, "a", ""); err != nil || o[0].Key != "a-b" {
		t.Errorf("%+v, %v", o, err)
	}
}

func put(ctx context.Context, t *testing.T, s *s3store.Store, key string) {
	r, err := s.SignPut(ctx, time.Now(), plane.Put{Key: key, Size: 1, ContentType: "a/b"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if status, answer, _ := send(t, r, "x"); status != http.StatusOK {
		t.Fatalf("%s: %d %s", key, status, answer)
	}
}

func TestWrongCredentials(t *testing.T) {
	t.Parallel()
	s := bucket(t)
	if _, err := s.Head(t.Context(), "a"); !errors.Is(err, plane.ErrNoObject) {
		t.Error(err)
	}
	server := enginetest.Store(t)
	c := s3store.Config{Endpoint: server.URI, Region: enginetest.S3Region, Bucket: "files", PathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("stranger", "secret", "")}
	other, err := s3store.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := other.List(t.Context(), "", ""); !errors.Is(err, plane.ErrDenied) {
		t.Errorf("a stranger: %v", err)
	}
}

func TestConfigurations(t *testing.T) {
	t.Parallel()
	good := s3store.Config{Endpoint: "https://s3.example.com", Region: "r", Bucket: "b", Credentials: aws.AnonymousCredentials{}}
	for name, mutate := range map[string]func(*s3store.Config){
		"no endpoint": func(c *s3store.Config) { c.Endpoint = "" }, "no scheme": func(c *s3store.Config) { c.Endpoint = "s3.example.com" },
		"a password": func(c *s3store.Config) { c.PublicEndpoint = "https://a:b@c" }, "no bucket": func(c *s3store.Config) { c.Bucket = "" },
	} {
		c := good
		mutate(&c)
		if _, err := s3store.New(c); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
}
