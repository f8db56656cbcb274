//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

func bucketOf(namespace, name string, mutate ...func(*v1alpha1.BlobBucket)) *v1alpha1.BlobBucket {
	b := &v1alpha1.BlobBucket{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	b.Spec.ClassName = className
	for _, m := range mutate {
		m(b)
	}
	return b
}

// files is a client of a bucket, and of its store as signed requests name it.
type files struct {
	t          *testing.T
	url, token string
	store      *http.Client
}

func openFiles(t *testing.T, b *v1alpha1.BlobBucket) files {
	t.Helper()
	store := forwardService(t, b.Namespace, b.Status.Engine.Name+"-eng", s3Port)
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, store)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	binding := get(t, &corev1.Secret{}, b.Namespace, b.Status.Binding.Name).Data
	return files{
		t: t, url: "http://" + forwardService(t, b.Namespace, b.Name+"-blob", 80), token: string(binding["token"]),
		store: &http.Client{Transport: transport, Timeout: time.Minute},
	}
}

// call the contract until it answers what is wanted: a plane that is being replaced may not.
func (f files) call(want int, method, path string, body, into any) {
	f.t.Helper()
	NewWithT(f.t).Eventually(func() error {
		var text []byte
		if body != nil {
			var err error
			if text, err = json.Marshal(body); err != nil {
				return err
			}
		}
		req, err := http.NewRequestWithContext(ctx, method, f.url+path, bytes.NewReader(text))
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+f.token)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		if resp.StatusCode != want {
			return fmt.Errorf("%s %s: %s %s", method, path, resp.Status, answer)
		}
		if into == nil {
			return nil
		}
		return json.Unmarshal(answer, into)
	}, patience, often).Should(Succeed())
}

// send a signed request to the store, and return its answer and the ETag.
func (f files) send(r blobs.Request, body string) (text, etag string) {
	f.t.Helper()
	NewWithT(f.t).Eventually(func() error {
		req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, strings.NewReader(body))
		if err != nil {
			return err
		}
		for name, value := range r.Headers {
			req.Header.Set(name, value)
		}
		resp, err := f.store.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		// A request that was answered before the connection broke is answered so again.
		if resp.StatusCode >= 300 && resp.StatusCode != http.StatusPreconditionFailed {
			return fmt.Errorf("%s %s: %s %s", r.Method, r.URL, resp.Status, answer)
		}
		text, etag = string(answer), resp.Header.Get("ETag")
		return nil
	}, patience, often).Should(Succeed())
	return text, etag
}

// upload a small file, and return its id.
func (f files) upload(name, text string) string {
	f.t.Helper()
	var u blobs.Upload
	f.call(http.StatusCreated, http.MethodPost, "/v1/uploads", blobs.NewUpload{Filename: name, Size: int64(len(text)), Owner: "ann"}, &u)
	f.send(*u.Put, text)
	f.call(http.StatusOK, http.MethodPost, "/v1/uploads/"+u.ID+":complete", nil, nil)
	return u.ID
}

func (f files) read(id string) string {
	f.t.Helper()
	var r struct{ blobs.Request }
	f.call(http.StatusOK, http.MethodPost, "/v1/files/"+id+":download", nil, &r)
	text, _ := f.send(r.Request, "")
	return text
}

// A user applies a few lines and uploads, past the plane; what is there survives the ends of the plane, of the store and of
// the bucket's object.
func TestBlobBucketServes(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	ns := newNamespace(t)
	run(t, fmt.Sprintf(`
apiVersion: patterns.trellis.dev/v1alpha1
kind: BlobBucket
metadata: {name: files, namespace: %s}
spec:
  className: %s
  versioning: Enabled
  lifecycle: [{name: drafts, prefix: files/drafts/, expireAfter: 24h}]
  uploads: {multipartPartSize: 5Mi}
`, ns, className), "kubectl", "apply", "-f", "-")
	kubectl(t, ns, "wait", "--for=condition=Ready", "blob/files", "--timeout="+patience.String())
	b := ready(t, bucketOf(ns, "files"))
	g.Expect(b.Status.BucketName).To(MatchRegexp(`^files-blob-[0-9a-f]{10}$`))
	g.Expect(kubectl(t, ns, "get", "blob", "--no-headers")).To(MatchRegexp(`files +True +Ready +%s-s3 +%s +http://files-blob\.%s\.svc`, className, b.Status.BucketName, ns))
	g.Eventually(reload(b), patience, often).Should(haveCondition(v1alpha1.ConditionBucketReady, metav1.ConditionTrue))

	f := openFiles(t, b)
	small := f.upload("hello.txt", "hello")
	g.Expect(f.read(small)).To(Equal("hello"))

	large := strings.Repeat("0123456789abcdef", 11<<16)
	var u blobs.Upload
	f.call(http.StatusCreated, http.MethodPost, "/v1/uploads", blobs.NewUpload{Filename: "large", Size: int64(len(large)), Owner: "ann"}, &u)
	g.Expect(u.Parts).To(HaveLen(3))
	acknowledged := map[string]any{}
	var parts []map[string]any
	part := func(p blobs.Part) {
		_, etag := f.send(p.Request, large[p.Offset:p.Offset+p.Size])
		parts = append(parts, map[string]any{"number": p.Number, "etag": etag})
		acknowledged["parts"] = parts
	}
	part(u.Parts[0])
	for _, p := range podsOf(ns, nil) {
		if strings.HasPrefix(p.Name, "files-blob-") {
			crash(t, &p)
		}
	}
	f.call(http.StatusOK, http.MethodGet, "/v1/uploads/"+u.ID, nil, &u)
	g.Expect(u.Parts).To(HaveLen(2), "the first is there")
	for _, p := range u.Parts {
		part(p)
	}
	crash(t, get(t, &corev1.Pod{}, ns, className+"-s3-eng-0"))
	f.call(http.StatusOK, http.MethodPost, "/v1/uploads/"+u.ID+":complete", acknowledged, nil)
	g.Expect(f.read(u.ID)).To(Equal(large))

	deleted(t, b)
	again := applied(t, bucketOf(ns, "files"))
	g.Expect(again.Status.BucketName).To(Equal(b.Status.BucketName))
	f = openFiles(t, again)
	g.Expect(f.read(small)).To(Equal("hello"))
	g.Expect(f.read(u.ID)).To(Equal(large))
}

// bucketsOf the class's store in a namespace, by their names.
func bucketsOf(t *testing.T, namespace string) []string {
	t.Helper()
	g := NewWithT(t)
	data := get(t, &corev1.Secret{}, namespace, className+"-s3-eng-binding").Data
	data["uri"] = []byte("http://" + forwardService(t, namespace, className+"-s3-eng", s3Port))
	s, err := planeconfig.ParseS3(data)
	g.Expect(err).NotTo(HaveOccurred())
	buckets, err := enginetest.S3Client(t, s).ListBuckets(ctx)
	g.Expect(err).NotTo(HaveOccurred())
	var names []string
	for _, b := range buckets {
		names = append(names, b.Name)
	}
	return names
}

// A bucket is emptied where its policy is Delete and an annotation repeats its name, and not otherwise.
func TestBlobBucketIsDeleted(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	ns := newNamespace(t)
	b := applied(t, bucketOf(ns, "scratch", func(b *v1alpha1.BlobBucket) { b.Spec.DeletionPolicy = v1alpha1.DeletionDelete }))
	id := openFiles(t, b).upload("hello.txt", "hello")
	g.Expect(bucketsOf(t, ns)).To(ContainElement(b.Status.BucketName))
	deleted(t, b)

	b = applied(t, bucketOf(ns, "scratch", func(b *v1alpha1.BlobBucket) { b.Spec.DeletionPolicy = v1alpha1.DeletionDelete }))
	f := openFiles(t, b)
	g.Expect(f.read(id)).To(Equal("hello"), "nobody repeated the name")
	change(t, b, func(b *v1alpha1.BlobBucket) {
		b.Annotations = map[string]string{v1alpha1.AnnotationDeleteFiles: "scratch"}
	})
	deleted(t, b)
	g.Expect(bucketsOf(t, ns)).NotTo(ContainElement(b.Status.BucketName), "the bucket is gone from the store")

	b = applied(t, bucketOf(ns, "scratch"))
	openFiles(t, b).call(http.StatusNotFound, http.MethodGet, "/v1/files/"+id, nil, nil)
}
