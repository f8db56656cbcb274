package blobs_test

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/enginetest"
	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// lifecycle is the IDs of the bucket's rules and their days.
func (k *kept) lifecycle() (out []string, days []int32) {
	k.t.Helper()
	got, err := k.admin.GetBucketLifecycleConfiguration(k.t.Context(), &s3.GetBucketLifecycleConfigurationInput{Bucket: aws.String("files")})
	if err != nil {
		k.t.Fatal(err)
	}
	for _, r := range got.Rules {
		d := int32(0)
		if r.Expiration != nil {
			d = aws.ToInt32(r.Expiration.Days)
		}
		out, days = append(out, aws.ToString(r.ID)), append(days, d)
	}
	return out, days
}

func expiring(id, prefix string, days int32) types.LifecycleRule {
	return types.LifecycleRule{
		ID: aws.String(id), Status: types.ExpirationStatusEnabled, Filter: &types.LifecycleRuleFilter{Prefix: aws.String(prefix)},
		Expiration: &types.LifecycleExpiration{Days: aws.Int32(days)},
	}
}

func (k *kept) setLifecycle(rules ...types.LifecycleRule) {
	k.t.Helper()
	if _, err := k.admin.PutBucketLifecycleConfiguration(k.t.Context(), &s3.PutBucketLifecycleConfigurationInput{
		Bucket: aws.String("files"), LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: rules},
	}); err != nil {
		k.t.Fatal(err)
	}
}

// TestWhoDoesTheRules asks a store of which nothing is known. One that others run does what it can, and keeps their rules.
func TestWhoDoesTheRules(t *testing.T) {
	t.Parallel()
	k := newKeptOn(t, enginetest.Store(t), false)
	day := 24 * hour
	daily, hourly := planeconfig.BlobRule{Name: "daily", Prefix: "a/", MinBytes: 10, Tags: map[string]string{"b": "c"}, Expire: day}, planeconfig.BlobRule{Name: "hourly", Prefix: "h/", Expire: hour}
	parts := planeconfig.BlobRule{Name: "parts", Prefix: "p/", Expire: 2 * day, AbortIncomplete: day}
	versions := planeconfig.BlobRule{Name: "versions", ExpireNoncurrent: day, KeepNoncurrent: 2}
	cfg := planeconfig.Blobs{Rules: []planeconfig.BlobRule{daily, hourly, versions}}
	state := planeconfig.SettingLifecycle
	if !enginetest.Outside() {
		if diff := cmp.Diff(plane.Kept{Own: cfg.Rules, States: map[planeconfig.BlobSetting]planeconfig.BlobState{state: planeconfig.StateTrellis}}, k.keep(cfg)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		return
	}
	k.setLifecycle(expiring("admin", "x/", 7))
	want := plane.Kept{Own: []planeconfig.BlobRule{hourly}, States: map[planeconfig.BlobSetting]planeconfig.BlobState{state: planeconfig.StateTrellis}}
	if diff := cmp.Diff(want, k.keep(cfg, state)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	ids, _ := k.lifecycle()
	slices.Sort(ids)
	if diff := cmp.Diff([]string{"admin", "trellis-daily", "trellis-versions"}, ids); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	// Drift, and a rule with an action that this store refuses.
	k.setLifecycle(expiring("admin", "x/", 7), expiring("trellis-daily", "a/", 99), expiring("trellis-old", "o/", 1))
	cfg.Rules = []planeconfig.BlobRule{daily, parts}
	aborts := parts
	aborts.Expire = 0
	want.Own = []planeconfig.BlobRule{aborts}
	if diff := cmp.Diff(want, k.keep(cfg, state)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	ids, days := k.lifecycle()
	slices.Sort(ids)
	slices.Sort(days)
	if diff := cmp.Diff([]string{"admin", "trellis-daily", "trellis-parts"}, ids); diff != "" || !slices.Equal(days, []int32{1, 2, 7}) {
		t.Errorf("%v (-want +got)\n%s", days, diff)
	}

	if got := k.keep(planeconfig.Blobs{}, state); len(got.Own) > 0 || len(got.States) > 0 {
		t.Errorf("%+v", got)
	}
	if ids, _ := k.lifecycle(); !slices.Equal(ids, []string{"admin"}) {
		t.Errorf("%v", ids)
	}
}
