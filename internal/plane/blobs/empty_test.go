package blobs_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/trellis-dev/trellis/internal/enginetest"
	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/plane/blobs/conformance"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// TestABucketThatGoesIsEmptied: every version of every object, uploads in parts, and the bucket; nothing new is taken.
func TestABucketThatGoesIsEmptied(t *testing.T) {
	t.Parallel()
	k := serveKeeping(t, func(c *planeconfig.Blobs) { c.Settings.Versioning, c.Uploads.Checksum = "Enabled", "" })
	contracttest.Eventually(t, "versions to be kept", func() bool {
		return k.says(planeconfig.MetricBlobSetting, `setting="versioning"`, `state="native"`, " 1")
	})
	u := k.begin(blobs.NewUpload{Filename: "a", Size: 5})
	k.put(u.Put, "hello")
	k.call(http.StatusOK, http.MethodPost, "/v1/uploads/"+u.ID+":complete", nil, nil)
	k.begin(blobs.NewUpload{Filename: "large", Size: 11 * mebi})
	for _, text := range []string{"one", "two"} {
		if _, err := k.admin.PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: aws.String("files"), Key: aws.String("elsewhere"), Body: strings.NewReader(text),
		}); err != nil {
			t.Fatal(err)
		}
	}
	if k.says(planeconfig.MetricBlobEmptying, " 1") {
		t.Fatal("it is emptied before anybody said so")
	}

	k.Reconfigure(t, func(c *planeconfig.Config) { c.Blobs.Emptying = true })
	contracttest.Eventually(t, "the bucket to be empty", func() bool {
		return k.says(planeconfig.MetricBlobEmptying, " 1") && k.says(planeconfig.MetricBlobRemaining+"{", " 0")
	})
	if got := k.call(http.StatusServiceUnavailable, http.MethodPost, "/v1/uploads", blobs.NewUpload{Filename: "b", Size: 1}, nil); got != "bucket-going" {
		t.Errorf("an upload is refused with %q", got)
	}
	out, err := k.admin.ListBuckets(t.Context(), &s3.ListBucketsInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range out.Buckets {
		t.Errorf("bucket %s is there", aws.ToString(b.Name))
	}
}

// TestLockedVersionsStay in a bucket that goes, and are told of; all others go.
func TestLockedVersionsStay(t *testing.T) {
	t.Parallel()
	k := serveKeepingOn(t, enginetest.Store(t), func(*planeconfig.Blobs) {})
	put := func(key string, in s3.PutObjectInput) {
		t.Helper()
		in.Bucket, in.Key, in.Body = aws.String("files"), aws.String(key), strings.NewReader("x")
		if _, err := k.admin.PutObject(t.Context(), &in); err != nil {
			t.Fatal(err)
		}
	}
	put("a", s3.PutObjectInput{})
	put("held", s3.PutObjectInput{ObjectLockLegalHoldStatus: types.ObjectLockLegalHoldStatusOn})
	put("retained", s3.PutObjectInput{ObjectLockMode: types.ObjectLockModeCompliance, ObjectLockRetainUntilDate: aws.Time(time.Now().Add(time.Hour))})
	put("retained", s3.PutObjectInput{})
	if _, err := k.admin.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("files"), Key: aws.String("held")}); err != nil {
		t.Fatal(err)
	}

	k.Reconfigure(t, func(c *planeconfig.Config) { c.Blobs.Emptying = true })
	contracttest.Eventually(t, "nothing to be left but what is locked", func() bool {
		return k.says(planeconfig.MetricBlobEmptying, " 1") && k.says(planeconfig.MetricBlobRemaining+"{", " 2") && k.says(planeconfig.MetricBlobRemainingLocked, " 2")
	})
	left, _, err := k.objects.(plane.Versions).ListVersions(t.Context(), "", plane.Version{})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, v := range left {
		keys = append(keys, v.Key)
		if v.Marker {
			t.Errorf("%s has a mark of removal", v.Key)
		}
	}
	if got := strings.Join(keys, " "); got != "held retained" {
		t.Errorf("there is %q", got)
	}
}

// midway is a way to a store on which one call that removes many versions is held up.
type midway struct {
	url string
	// together and singly count the calls that remove versions. held is closed when the one to hold up has come, and it is let go
	// by its client's end.
	together, singly atomic.Int64
	held             chan struct{}
}

func newMidway(t *testing.T, to string, hold int64) *midway {
	t.Helper()
	m := &midway{held: make(chan struct{})}
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	// The host is signed.
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		switch {
		case r.Method == http.MethodPost && query.Has("delete"):
			if m.together.Add(1) == hold {
				// That its client has ended is seen once its body is read.
				_, _ = io.Copy(io.Discard, r.Body)
				close(m.held)
				<-r.Context().Done()
				return
			}
		case r.Method == http.MethodDelete && query.Has("versionId"):
			m.singly.Add(1)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	m.url = server.URL
	return m
}

// fill a bucket that keeps versions with so many keys. Each twentieth has two versions and a mark of removal.
func fill(t *testing.T, admin *s3.Client, bucket *string, keys int) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var work sync.WaitGroup
	const writers = 16
	for first := range writers {
		work.Go(func() {
			for n := first; n < keys; n += writers {
				key := aws.String(fmt.Sprintf("in/%05d", n))
				write := func() error {
					_, err := admin.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader("x")})
					return err
				}
				err := write()
				if n%20 == 0 && err == nil {
					if err = write(); err == nil {
						_, err = admin.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: key})
					}
				}
				if err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	work.Wait()
	if ctx.Err() != nil {
		t.Fatal(context.Cause(ctx))
	}
}

// TestEmptyingGoesOn where the plane was killed in the middle of more versions than there are on two pages.
func TestEmptyingGoesOn(t *testing.T) {
	t.Parallel()
	const keys, all, page = 2000, 2000 + 2*2000/20, 1000
	objects := enginetest.Store(t)
	uri, _ := enginetest.Postgres(t)
	l, target := newTarget(t, conformance.Options{Configure: func(c *planeconfig.Config) {
		// The bucket is the plane's own.
		c.Blobs.Bucket, c.Blobs.Emptying = "", true
	}}, objects, uri)
	way := newMidway(t, objects.URI, 2)
	contracttest.Write(t, filepath.Join(l.Dir, "uri"), way.url)
	contracttest.Write(t, filepath.Join(l.Dir, "bucket"), target.S3.Bucket)
	bucket := aws.String(target.S3.Bucket)
	admin := s3.New(s3.Options{
		BaseEndpoint: aws.String(objects.URI), Region: target.S3.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(target.S3.AccessKeyID, target.S3.SecretAccessKey, ""),
	})
	if _, err := admin.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket: bucket, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	}); err != nil {
		t.Fatal(err)
	}
	fill(t, admin, bucket, keys)

	r := l.StartProcess(t)
	ctx, cancel := contracttest.Soon(t.Context())
	defer cancel()
	select {
	case <-way.held:
	case <-ctx.Done():
		t.Fatal("no second page of versions is removed")
	}
	r.Kill(t)
	left := 0
	for next := (&plane.Version{}); next != nil; {
		var some []plane.Version
		var err error
		if some, next, err = target.Objects.(plane.Versions).ListVersions(t.Context(), "", *next); err != nil {
			t.Fatal(err)
		}
		left += len(some)
	}
	if left < all-page || left >= all {
		t.Errorf("%d versions are left of %d, want all but a page at most", left, all)
	}

	r.Start(t)
	contracttest.Eventually(t, "the bucket to be gone", func() bool {
		out, err := admin.ListBuckets(t.Context(), &s3.ListBucketsInput{})
		return err == nil && len(out.Buckets) == 0
	})
	if singly, together := way.singly.Load(), way.together.Load(); singly > 0 || together > 6 {
		t.Errorf("%d calls for many versions and %d for one, want few and none", together, singly)
	}
}
