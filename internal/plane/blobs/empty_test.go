package blobs_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

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
		return k.says(planeconfig.MetricBlobEmptying, " 1") && k.says(planeconfig.MetricBlobRemaining, " 0")
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
