package blobs_test

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/trellis-dev/trellis/internal/enginetest"
	trellis "github.com/trellis-dev/trellis/internal/plane"
	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// keeping is a bucket's plane, served, and the admin of its store.
type keeping struct {
	*served
	*contracttest.Local
	admin   *s3.Client
	metrics string
}

func serveKeeping(t *testing.T, change func(*planeconfig.Blobs)) *keeping {
	t.Helper()
	return serveKeepingOn(t, enginetest.S3(t), change)
}

func serveKeepingOn(t *testing.T, on *enginetest.S3Store, change func(*planeconfig.Blobs)) *keeping {
	t.Helper()
	store := newRuledOn(t, on, true)
	l := newLedger(t)
	minute := planeconfig.Duration(time.Minute)
	cfg := planeconfig.Blobs{
		StoreDir: "/nonexistent", Downloads: planeconfig.BlobDownloads{URLTTL: minute}, Orphans: planeconfig.BlobOrphans{Every: hour, Grace: hour},
		Uploads:  planeconfig.BlobUploads{MaxBytes: 64 * mebi, KeyTemplate: "in/${id}", URLTTL: minute, PendingTimeout: hour, PartSize: 5 * mebi, Checksum: "SHA256"},
		Settings: planeconfig.BlobSettings{Every: hour, Features: planeconfig.ProvisionedS3Features()},
	}
	change(&cfg)
	local := contracttest.NewLocal(t, t.TempDir(), planeconfig.Config{
		Kind: "BlobBucket", Name: "files", Engine: planeconfig.Engine{Type: "PostgreSQL", URIFile: "/nonexistent"}, Blobs: &cfg,
	}, contracttest.Options{}, func(p *trellis.Plane) (trellis.Service, error) {
		return plane.New(p, plane.Options{Ledger: l, Objects: store.Objects})
	})
	k := &keeping{Local: local, admin: store.admin}
	target := local.Target(t, contracttest.Options{}, func(t *testing.T) *contracttest.Replica {
		t.Helper()
		r := local.Start(t)
		k.metrics = r.Admin + "/metrics"
		return r
	})
	k.served = &served{t: t, objects: store.Objects, base: target.URL(), token: target.Token}
	return k
}

// says reports whether the metrics have a line with all of these in it.
func (k *keeping) says(parts ...string) bool {
	k.t.Helper()
	req, err := http.NewRequestWithContext(k.t.Context(), http.MethodGet, k.metrics, nil)
	if err != nil {
		k.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		k.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		k.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		all := !strings.HasPrefix(line, "#")
		for _, p := range parts {
			all = all && strings.Contains(line, p)
		}
		if all {
			return true
		}
	}
	return false
}

// sum is what an upload of the text says of it.
func sum(text string) *blobs.Checksum {
	hash := sha256.Sum256([]byte(text))
	return &blobs.Checksum{Algorithm: blobs.SHA256, Value: base64.StdEncoding.EncodeToString(hash[:])}
}

// TestUpkeep: a running plane keeps its bucket, does its rules, and says so.
func TestUpkeep(t *testing.T) {
	t.Parallel()
	k := serveKeeping(t, func(c *planeconfig.Blobs) {
		c.Settings.Encryption = &planeconfig.BlobEncryption{Algorithm: "AES256"}
		c.Settings.CORS = []planeconfig.BlobCORS{{Name: "app", Origins: []string{"https://app.example"}, Methods: []string{"GET"}}}
	})
	contracttest.Eventually(t, "the settings to be kept", func() bool {
		return k.says(planeconfig.MetricBlobSetting, `setting="cors"`, `state="native"`, " 1") && k.says(planeconfig.MetricBlobSetting, `setting="encryption"`, `state="unsupported"`)
	})
	if !k.says(planeconfig.MetricBlobDrift, `setting="cors"`, " 1") || k.says(planeconfig.MetricBlobSetting, `setting="lifecycle"`) {
		t.Error("the metrics say something else")
	}

	u := k.begin(blobs.NewUpload{Filename: "a", Size: 5, Checksum: sum("hello")})
	k.put(u.Put, "hello")
	k.call(http.StatusOK, http.MethodPost, "/v1/uploads/"+u.ID+":complete", nil, nil)
	k.Reconfigure(t, func(c *planeconfig.Config) {
		c.Blobs.Settings.CORS, c.Blobs.Settings.Encryption = nil, nil
		c.Blobs.Rules = []planeconfig.BlobRule{{Name: "soon", Prefix: "in/", Expire: planeconfig.Duration(time.Millisecond)}}
	})
	contracttest.Eventually(t, "the rule to be done", func() bool { return k.file(u.ID).Status == blobs.StatusExpired })
	if got := k.file(u.ID).Reason; got != "lifecycle rule soon" {
		t.Errorf("it ended for %q", got)
	}
	contracttest.Eventually(t, "the metrics to say so", func() bool {
		return k.says(planeconfig.MetricBlobSetting, `setting="lifecycle"`, `state="trellis"`, " 1") && k.says("trellis_blobs_swept_total", `what="expired"`, " 1")
	})
	if k.says(planeconfig.MetricBlobSetting, `setting="cors"`) || k.says(planeconfig.MetricBlobSetting, `setting="encryption"`) {
		t.Error("what is not configured any more has a state")
	}
	if _, err := k.admin.GetBucketCors(t.Context(), &s3.GetBucketCorsInput{Bucket: aws.String("files")}); err == nil {
		t.Error("rules that are not configured any more are there")
	}
}
