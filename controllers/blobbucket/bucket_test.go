package blobbucket

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

type spec = v1alpha1.BlobBucketSpec

// makeBucket makes one as the API server would fill it in.
func makeBucket(mutate ...func(*spec)) *v1alpha1.BlobBucket {
	b := &v1alpha1.BlobBucket{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "media"}}
	b.Spec = spec{
		Replicas: ptr.To[int32](1),
		Uploads: v1alpha1.BlobUploads{
			MaxBytes: quantity("5Gi"), KeyTemplate: "files/${id}${ext}", URLTTL: hours(1), PendingTimeout: hours(2),
			MultipartPartSize: quantity("16Mi"), Checksum: v1alpha1.BlobChecksumNone,
		},
		Downloads: v1alpha1.BlobDownloads{URLTTL: hours(3)},
		Orphans:   v1alpha1.BlobOrphans{Policy: v1alpha1.BlobOrphansReport, Interval: hours(4), Grace: hours(5)},
	}
	for _, m := range mutate {
		m(&b.Spec)
	}
	return b
}

func hours(n int) *metav1.Duration { return &metav1.Duration{Duration: time.Duration(n) * time.Hour} }

func quantity(text string) *resource.Quantity { return ptr.To(resource.MustParse(text)) }

func suspended(s *spec) { s.Suspend = ptr.To(true) }

func inputs() pattern.Inputs {
	return pattern.Inputs{
		Class: &v1alpha1.PatternClass{}, ClusterDomain: "cluster.local",
		Engine: &pattern.EngineInput{Type: v1alpha1.EngineS3, Name: "c-s3", BindingSecret: "c-s3-eng-binding"},
		Others: []*pattern.EngineInput{{Type: v1alpha1.EnginePostgreSQL, Role: roleLedger, Name: "c-pgsql", BindingSecret: "c-pgsql-eng-binding"}},
	}
}

// outside is a store that others run.
func outside() pattern.Inputs {
	in := inputs()
	in.Engine.External = true
	return in
}

func TestNeeds(t *testing.T) {
	own := &v1alpha1.EngineSelection{Sharing: v1alpha1.EngineDedicated}
	named := &v1alpha1.EngineSelection{Ref: &v1alpha1.EngineReference{Name: "ledgers"}}
	got := needs(makeBucket(func(s *spec) {
		s.EngineSelection, s.LedgerSelection, s.Replicas, s.Playground = own, named, ptr.To[int32](3), v1alpha1.PlaygroundEnabled
	}), nil)
	want := pattern.Needs{
		EngineName: "S3",
		Engine:     &pattern.EngineNeed{Type: v1alpha1.EngineS3, Selection: own},
		Others:     []pattern.EngineNeed{{Type: v1alpha1.EnginePostgreSQL, Selection: named, Role: "ledger"}},
		Replicas:   3, Playground: true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("needs (-want +got):\n%s", diff)
	}
}

// decoded is the plane's configuration as the plane reads it, which refuses what it could not serve.
func decoded(t *testing.T, b *v1alpha1.BlobBucket, in pattern.Inputs) planeconfig.Config {
	t.Helper()
	text, err := planeconfig.Encode(planeConfig(b, in))
	if err != nil {
		t.Fatal(err)
	}
	config, err := planeconfig.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func full(s *spec) {
	s.Versioning, s.Quota = "Enabled", quantity("1Gi")
	s.Encryption = &v1alpha1.BlobEncryption{Algorithm: v1alpha1.BlobEncryptionKMS, KeyID: "key"}
	s.ObjectLock = &v1alpha1.BlobObjectLock{Retention: &v1alpha1.BlobRetention{Mode: "Governance", Days: 7}}
	s.CORS = []v1alpha1.BlobCORSRule{{Name: "app", Origins: []string{"*"}, Methods: []v1alpha1.BlobMethod{"PUT"}, MaxAge: hours(1)}}
	s.Lifecycle = []v1alpha1.BlobLifecycleRule{
		{Name: "old", Prefix: "a/", Tags: map[string]v1alpha1.BlobTagValue{"k": "v"}, MinSize: quantity("1"), MaxSize: quantity("2"), ExpireAfter: hours(1)},
		{Name: "rest", AbortIncompleteAfter: hours(2), ExpireNoncurrentAfter: hours(3), KeepNoncurrent: ptr.To[int32](4),
			Transitions: []v1alpha1.BlobTransition{{After: hours(48), StorageClass: "COLD"}}},
	}
	s.Uploads.ContentTypes, s.Uploads.Checksum = []string{"image/*"}, "SHA256"
	s.Uploads.PerOwner = &v1alpha1.BlobOwnerLimits{UploadsPerMinute: ptr.To[int32](6), Bytes: quantity("7")}
	s.Downloads.CDNBaseURL, s.Orphans.Policy = "https://cdn.example.com", v1alpha1.BlobOrphansDelete
	s.AllowedOrigins = []string{"https://app.example.com"}
	s.Sinks = []v1alpha1.Sink{{Name: "b", URL: "http://b", Types: []v1alpha1.SinkEventType{"uploaded"}}}
}

func TestPlaneConfig(t *testing.T) {
	got := decoded(t, makeBucket(full), inputs())
	hour := planeconfig.Duration(time.Hour)
	want := &planeconfig.Blobs{
		StoreDir: "/etc/trellis/engine", Conditional: true, Quota: 1 << 30,
		Uploads: planeconfig.BlobUploads{
			MaxBytes: 5 << 30, ContentTypes: []string{"image/*"}, KeyTemplate: "files/${id}${ext}", URLTTL: hour, PendingTimeout: 2 * hour,
			PartSize: 16 << 20, Checksum: "SHA256", OwnerBytes: 7, OwnerUploads: 6, OwnerWindow: hour / 60,
		},
		Downloads: planeconfig.BlobDownloads{URLTTL: 3 * hour, BaseURL: "https://cdn.example.com"},
		Orphans:   planeconfig.BlobOrphans{Remove: true, Every: 4 * hour, Grace: 5 * hour},
		Settings: planeconfig.BlobSettings{
			Features: planeconfig.ProvisionedS3Features(), Every: hour / 12, Versioning: "Enabled", BlockPublic: true,
			Encryption: &planeconfig.BlobEncryption{Algorithm: "aws:kms", KeyID: "key"},
			Retention:  &planeconfig.BlobRetention{Mode: "GOVERNANCE", Days: 7},
			CORS:       []planeconfig.BlobCORS{{Name: "app", Origins: []string{"*"}, Methods: []string{"PUT"}, MaxAge: hour}},
		},
		Rules: []planeconfig.BlobRule{
			{Name: "old", Prefix: "a/", Tags: map[string]string{"k": "v"}, MinBytes: 1, MaxBytes: 2, Expire: hour},
			{Name: "rest", AbortIncomplete: 2 * hour, ExpireNoncurrent: 3 * hour, KeepNoncurrent: 4,
				Transitions: []planeconfig.BlobTransition{{After: 48 * hour, StorageClass: "COLD"}}},
		},
		Sinks: []planeconfig.Sink{{Name: "b", URL: "http://b", Types: []string{"dev.trellis.blob.uploaded"}}},
	}
	if diff := cmp.Diff(want, got.Blobs); diff != "" {
		t.Errorf("blobs (-want +got):\n%s", diff)
	}
	if got.Engine.Type != "PostgreSQL" || got.Engine.URIFile != "/etc/trellis/ledger/uri" {
		t.Errorf("the ledger is %+v", got.Engine)
	}
	if diff := cmp.Diff([]string{"https://app.example.com"}, got.HTTP.AllowedOrigins); diff != "" {
		t.Errorf("origins (-want +got):\n%s", diff)
	}
}

// TestPlaneConfigOutside: of a store of others nothing is known, but for the name of the bucket.
func TestPlaneConfigOutside(t *testing.T) {
	got := decoded(t, makeBucket(func(s *spec) { s.BucketName = "of-theirs" }), outside()).Blobs
	if got.Bucket != "of-theirs" || got.Conditional || len(got.Settings.Features) != 0 || !got.Settings.BlockPublic {
		t.Errorf("blobs are %+v", got)
	}
	if inside := decoded(t, makeBucket(func(s *spec) { s.BucketName = "of-mine" }), inputs()).Blobs; inside.Bucket != "" {
		t.Errorf("the bucket is %q besides what its Secret says", inside.Bucket)
	}
}

// TestThePageIsAdmittedToTheStore where it is served, and only there.
func TestThePageIsAdmittedToTheStore(t *testing.T) {
	enabled := inputs()
	enabled.Class.Spec.Plane.Playground = v1alpha1.PlaygroundPolicyEnabled
	for name, c := range map[string]struct {
		playground v1alpha1.Playground
		in         pattern.Inputs
		want       []planeconfig.BlobCORS
	}{
		"by the bucket":     {v1alpha1.PlaygroundEnabled, inputs(), []planeconfig.BlobCORS{pageRule}},
		"by the class":      {"", enabled, []planeconfig.BlobCORS{pageRule}},
		"not by the bucket": {v1alpha1.PlaygroundDisabled, enabled, nil},
		"by nobody":         {"", inputs(), nil},
	} {
		got := decoded(t, makeBucket(func(s *spec) { s.Playground = c.playground }), c.in).Blobs.Settings.CORS
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestCheck(t *testing.T) {
	rule := func(mutate func(*v1alpha1.BlobLifecycleRule)) func(*spec) {
		return func(s *spec) {
			one := v1alpha1.BlobLifecycleRule{Name: "old", ExpireAfter: hours(1)}
			mutate(&one)
			s.Lifecycle = []v1alpha1.BlobLifecycleRule{one}
		}
	}
	keys := func(template string) func(*spec) { return func(s *spec) { s.Uploads.KeyTemplate = template } }
	for name, c := range map[string]struct {
		mutate func(*spec)
		in     pattern.Inputs
		want   string
	}{
		"as it is":                 {func(*spec) {}, inputs(), ""},
		"all of it":                {full, inputs(), ""},
		"too many parts":           {func(s *spec) { s.Uploads.MaxBytes = quantity("1Ti") }, inputs(), "more than 10000 parts of multipartPartSize 16Mi: raise"},
		"as many parts as may be":  {func(s *spec) { s.Uploads.MaxBytes = quantity("160000Mi") }, inputs(), ""},
		"every word of a template": {keys("${owner}/${date}/${id}${ext}"), inputs(), ""},
		"a word that there is not": {keys("${id}/${name}"), inputs(), "other than ${id}, ${owner}, ${date} and ${ext}"},
		"half a word":              {keys("${id}/${owner"), inputs(), "remove that"},
		"a backslash":              {keys(`a\${id}`), inputs(), "remove that"},
		"no least size":            {rule(func(r *v1alpha1.BlobLifecycleRule) { r.MinSize = quantity("0") }), inputs(), `minSize of spec.lifecycle "old" is 0`},
		"no most size":             {rule(func(r *v1alpha1.BlobLifecycleRule) { r.MaxSize = quantity("-1") }), inputs(), `maxSize of spec.lifecycle "old" is -1`},
		"one size alone":           {rule(func(r *v1alpha1.BlobLifecycleRule) { r.MinSize = quantity("1Gi") }), inputs(), ""},
		"sizes that cross": {rule(func(r *v1alpha1.BlobLifecycleRule) { r.MinSize, r.MaxSize = quantity("2Mi"), quantity("1Mi") }), inputs(),
			"is 2Mi and above maxSize, which is 1Mi"},
		"outside without a name":  {func(*spec) {}, outside(), "spec.bucketName is empty"},
		"outside, not taken over": {func(s *spec) { s.BucketName = "theirs" }, outside(), `make the bucket "theirs" there and set spec.adopt to true`},
		"outside, taken over":     {func(s *spec) { s.BucketName, s.Adopt = "theirs", ptr.To(true) }, outside(), ""},
	} {
		_, err := plan(makeBucket(c.mutate), c.in)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %q", name, err, c.want)
		}
	}
}
