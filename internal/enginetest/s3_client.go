package enginetest

import (
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// S3Client is of another make than what the planes and the operator use: two that a store understands are not wrong alike.
func S3Client(t testing.TB, s planeconfig.S3) *minio.Client {
	t.Helper()
	transport, err := s.Transport()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	lookup := minio.BucketLookupDNS
	if s.PathStyle {
		lookup = minio.BucketLookupPath
	}
	c, err := minio.New(s.Endpoint.Host, &minio.Options{
		Creds: credentials.NewStaticV4(s.AccessKeyID, s.SecretAccessKey, ""), Secure: s.Endpoint.Scheme == "https",
		Transport: transport, Region: s.Region, BucketLookup: lookup,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
