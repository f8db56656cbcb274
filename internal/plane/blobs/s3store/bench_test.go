package s3store_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/plane/blobs/s3store"
)

// BenchmarkSign is what a presigned request costs here, against the same signature by the signer alone.
func BenchmarkSign(b *testing.B) {
	keys := credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "")
	// No store is there to be asked.
	s, err := s3store.New(s3store.Config{Endpoint: "http://127.0.0.1:1", Region: "us-east-1", Bucket: "files", PathStyle: true, Conditional: true, Credentials: keys})
	if err != nil {
		b.Fatal(err)
	}
	p := plane.Put{Key: "in/2030/01/01/0193ab.txt", Size: 5, ContentType: "text/plain", Checksum: sumOf("hello")}
	now := time.Now()
	b.Run("trellis", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.SignPut(b.Context(), now, p, time.Minute); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("raw", func(b *testing.B) {
		b.ReportAllocs()
		signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableHeaderHoisting, o.DisableURIPathEscaping = true, true })
		credentials, err := aws.CredentialsProvider(keys).Retrieve(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			r, err := http.NewRequest(http.MethodPut, "http://127.0.0.1:1/files/"+p.Key+"?X-Amz-Expires=60", nil)
			if err != nil {
				b.Fatal(err)
			}
			r.ContentLength = p.Size
			r.Header.Set("Content-Type", p.ContentType)
			r.Header.Set("If-None-Match", "*")
			r.Header.Set("X-Amz-Checksum-Sha256", p.Checksum.Value)
			if _, _, err := signer.PresignHTTP(b.Context(), credentials, r, "UNSIGNED-PAYLOAD", "s3", "us-east-1", now); err != nil {
				b.Fatal(err)
			}
		}
	})
}
