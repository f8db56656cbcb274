package blobs_test

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/trellis-dev/trellis/internal/enginetest"
	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/plane/blobs/s3store"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// writes counts the calls that change something.
type writes struct{ n atomic.Int64 }

func (w *writes) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.n.Add(1)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// kept is a bucket of a real store, its keeper, and an admin who is somebody else.
type kept struct {
	t       *testing.T
	keeper  *plane.Keeper
	admin   *s3.Client
	writes  *writes
	drifted []planeconfig.BlobSetting
}

func newKept(t *testing.T, lock bool) *kept {
	t.Helper()
	return newKeptOn(t, enginetest.S3(t), lock)
}

func newKeptOn(t *testing.T, store *enginetest.S3Store, lock bool) *kept {
	t.Helper()
	k := &kept{t: t, writes: &writes{}}
	keys := credentials.NewStaticCredentialsProvider(enginetest.S3AccessKeyID, enginetest.S3SecretAccessKey, "")
	k.admin = s3.New(s3.Options{BaseEndpoint: aws.String(store.URI), Region: enginetest.S3Region, UsePathStyle: true, Credentials: keys})
	if _, err := k.admin.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("files"), ObjectLockEnabledForBucket: aws.Bool(lock)}); err != nil {
		t.Fatal(err)
	}
	objects, err := s3store.New(s3store.Config{
		Endpoint: store.URI, Region: enginetest.S3Region, Bucket: "files", PathStyle: true, Credentials: keys, Client: &http.Client{Transport: k.writes},
	})
	if err != nil {
		t.Fatal(err)
	}
	k.keeper = &plane.Keeper{Settings: objects, Log: slog.New(slog.DiscardHandler), Drifted: func(s planeconfig.BlobSetting) { k.drifted = append(k.drifted, s) }}
	return k
}

// keep once, wanting these settings put right, and once more, wanting nothing written.
func (k *kept) keep(cfg planeconfig.Blobs, drifted ...planeconfig.BlobSetting) plane.Kept {
	k.t.Helper()
	k.drifted = nil
	out := k.keeper.Keep(k.t.Context(), cfg)
	if diff := cmp.Diff(drifted, k.drifted); diff != "" {
		k.t.Errorf("put right (-want +got)\n%s", diff)
	}
	before := k.writes.n.Load()
	again := k.keeper.Keep(k.t.Context(), cfg)
	if n := k.writes.n.Load() - before; n > 0 {
		k.t.Errorf("%d writes at rest", n)
	}
	if diff := cmp.Diff(out, again); diff != "" {
		k.t.Errorf("at rest (-first +again)\n%s", diff)
	}
	return out
}

func (k *kept) cors() (out []types.CORSRule) {
	k.t.Helper()
	got, err := k.admin.GetBucketCors(k.t.Context(), &s3.GetBucketCorsInput{Bucket: aws.String("files")})
	if err != nil {
		k.t.Fatal(err)
	}
	return got.CORSRules
}

func (k *kept) setCORS(rules ...types.CORSRule) {
	k.t.Helper()
	in := &s3.PutBucketCorsInput{Bucket: aws.String("files"), CORSConfiguration: &types.CORSConfiguration{CORSRules: rules}}
	if _, err := k.admin.PutBucketCors(k.t.Context(), in); err != nil {
		k.t.Fatal(err)
	}
}

func corsRule(id, origin string) types.CORSRule {
	return types.CORSRule{ID: aws.String(id), AllowedOrigins: []string{origin}, AllowedMethods: []string{"GET"}}
}

var ofCORS = cmp.Options{cmpopts.IgnoreUnexported(types.CORSRule{}), cmpopts.EquateEmpty()}

// TestDrift: what an admin changes of ours is put right, and what else an admin sets is left alone.
func TestDrift(t *testing.T) {
	t.Parallel()
	k := newKept(t, false)
	k.setCORS(corsRule("admin", "https://admin.example"))
	cfg := planeconfig.Blobs{Settings: planeconfig.BlobSettings{
		Versioning: "Enabled", CORS: []planeconfig.BlobCORS{{Name: "app", Origins: []string{"https://app.example"}, Methods: []string{"GET"}}},
	}}
	want := []types.CORSRule{corsRule("admin", "https://admin.example"), corsRule("trellis-app", "https://app.example")}
	k.keep(cfg, planeconfig.SettingVersioning, planeconfig.SettingCORS)
	if diff := cmp.Diff(want, k.cors(), ofCORS); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	k.setCORS(corsRule("trellis-app", "https://evil.example"), corsRule("", "https://second.example"), want[0], corsRule("trellis-old", "https://old.example"))
	if _, err := k.admin.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket: aws.String("files"), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusSuspended},
	}); err != nil {
		t.Fatal(err)
	}
	k.keep(cfg, planeconfig.SettingVersioning, planeconfig.SettingCORS)
	got := k.cors()
	if len(got) != 3 || got[1].AllowedOrigins[0] != "https://second.example" {
		t.Fatalf("%+v", got)
	}
	if diff := cmp.Diff([]types.CORSRule{want[1], want[0]}, []types.CORSRule{got[0], got[2]}, ofCORS); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	// What the configuration says nothing of any more: rules of ours go, a bucket that keeps versions goes on.
	k.keep(planeconfig.Blobs{}, planeconfig.SettingCORS)
	if got := k.cors(); len(got) != 2 {
		t.Errorf("%+v", got)
	}
	v, err := k.admin.GetBucketVersioning(t.Context(), &s3.GetBucketVersioningInput{Bucket: aws.String("files")})
	if err != nil || v.Status != types.BucketVersioningStatusEnabled {
		t.Error(v, err)
	}
}

// TestWhatTheStoreCanNotDo is said, whether it was known before or had to be found out.
func TestWhatTheStoreCanNotDo(t *testing.T) {
	t.Parallel()
	k := newKept(t, true)
	hour := planeconfig.Duration(time.Hour)
	rule := planeconfig.BlobRule{Name: "old", Expire: 24 * hour}
	classes := planeconfig.BlobRule{Name: "cold", Transitions: []planeconfig.BlobTransition{{After: 24 * hour, StorageClass: "GLACIER"}}}
	for i, f := range []planeconfig.S3Features{nil, planeconfig.ProvisionedS3Features()} {
		cfg := planeconfig.Blobs{Rules: []planeconfig.BlobRule{rule}, Settings: planeconfig.BlobSettings{
			Features: f, Encryption: &planeconfig.BlobEncryption{Algorithm: "AES256"}, BlockPublic: true, Retention: &planeconfig.BlobRetention{Mode: "GOVERNANCE", Days: 1},
		}}
		var drifted []planeconfig.BlobSetting
		if i == 0 {
			drifted = []planeconfig.BlobSetting{planeconfig.SettingRetention}
		}
		want := plane.Kept{Own: []planeconfig.BlobRule{rule}, States: map[planeconfig.BlobSetting]planeconfig.BlobState{
			planeconfig.SettingLifecycle: planeconfig.StateTrellis, planeconfig.SettingPublicAccess: planeconfig.StateTrellis,
			planeconfig.SettingEncryption: planeconfig.StateUnsupported, planeconfig.SettingRetention: planeconfig.StateTrellis,
		}}
		if diff := cmp.Diff(want, k.keep(cfg, drifted...)); diff != "" {
			t.Errorf("features %d (-want +got)\n%s", i, diff)
		}
		cfg = planeconfig.Blobs{Rules: []planeconfig.BlobRule{classes}, Settings: planeconfig.BlobSettings{Features: f}}
		want = plane.Kept{States: map[planeconfig.BlobSetting]planeconfig.BlobState{planeconfig.SettingLifecycle: planeconfig.StateUnsupported}}
		if diff := cmp.Diff(want, k.keep(cfg)); diff != "" {
			t.Errorf("classes, features %d (-want +got)\n%s", i, diff)
		}
	}
}

// TestRetentionWithoutLock: a bucket that was made without object lock is told so.
func TestRetentionWithoutLock(t *testing.T) {
	t.Parallel()
	k := newKept(t, false)
	cfg := planeconfig.Blobs{Settings: planeconfig.BlobSettings{Retention: &planeconfig.BlobRetention{Mode: "GOVERNANCE", Days: 1}}}
	if got := k.keeper.Keep(t.Context(), cfg).States[planeconfig.SettingRetention]; got != planeconfig.StateUnsupported {
		t.Errorf("it is %s", got)
	}
}

// TestAPolicyIsClosed by the plane where the store has no block of its own.
func TestAPolicyIsClosed(t *testing.T) {
	t.Parallel()
	k := newKept(t, false)
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::files/*"}]}`
	cfg := planeconfig.Blobs{Settings: planeconfig.BlobSettings{BlockPublic: true}}
	k.keep(cfg)
	if _, err := k.admin.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: aws.String("files"), Policy: aws.String(policy)}); err != nil {
		t.Fatal(err)
	}
	k.keep(cfg, planeconfig.SettingPublicAccess)
	if got, err := k.admin.GetBucketPolicy(t.Context(), &s3.GetBucketPolicyInput{Bucket: aws.String("files")}); err == nil {
		t.Errorf("the policy is %s", aws.ToString(got.Policy))
	}
}

// TestAStoreThatIsDown fails what is configured, and is put right when it is there again.
func TestAStoreThatIsDown(t *testing.T) {
	t.Parallel()
	k := newKept(t, false)
	cfg := planeconfig.Blobs{Settings: planeconfig.BlobSettings{Versioning: "Enabled"}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := k.keeper.Keep(ctx, cfg).States[planeconfig.SettingVersioning]; got != planeconfig.StateFailing {
		t.Errorf("it is %s", got)
	}
	k.keep(cfg, planeconfig.SettingVersioning)
}
