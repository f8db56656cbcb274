package enginetest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

func s3Client(t *testing.T, s *S3Store, secret string) *minio.Client {
	t.Helper()
	c, err := minio.New(strings.TrimPrefix(s.URI, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(S3AccessKeyID, secret, ""), Region: S3Region, BucketLookup: minio.BucketLookupPath,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestS3 has what was acknowledged survive a kill.
func TestS3(t *testing.T) {
	t.Parallel()
	store := S3(t)
	c := s3Client(t, store, S3SecretAccessKey)
	if err := c.MakeBucket(t.Context(), "bucket", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		content := []byte(fmt.Sprint(i))
		if _, err := c.PutObject(t.Context(), "bucket", fmt.Sprintf("a/%d", i), bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	store.Kill()
	store.Start()
	found := 0
	for o := range c.ListObjects(t.Context(), "bucket", minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		found++
	}
	if found != 100 {
		t.Errorf("%d objects are left of 100", found)
	}
}

func TestS3LetsNoStrangerIn(t *testing.T) {
	t.Parallel()
	store := S3(t)
	if _, err := s3Client(t, store, "another").ListBuckets(t.Context()); minio.ToErrorResponse(err).Code != "SignatureDoesNotMatch" {
		t.Errorf("a client with another secret got %v", err)
	}
}
