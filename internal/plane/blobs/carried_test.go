package blobs_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/enginetest"
	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// sourceTime is what MinIO takes for when an object was written, as of one that is replicated from elsewhere. Its least unit of a
// lifecycle is a day, so objects that are days old are what has it end some within seconds.
const sourceTime = "x-minio-source-mtime"

// aged is a bucket with rules, kept by who does them, and objects that were written days ago.
type aged struct {
	*ruled
	// own are the rules that the store does not do.
	own []planeconfig.BlobRule
}

func newAged(t *testing.T, cfg planeconfig.Blobs) *aged {
	t.Helper()
	r := newRuledOn(t, enginetest.Store(t), false)
	k := &plane.Keeper{Settings: r.Objects.(plane.BucketSettings), Log: r.Log}
	a := &aged{ruled: r, own: k.Keep(t.Context(), cfg).Own}
	if native := len(a.own) == 0; native != enginetest.Outside() {
		t.Fatalf("the plane does %+v", a.own)
	}
	return a
}

// writeAged is write of so many days ago.
func (a *aged) writeAged(days int, key, body string, tags ...string) {
	a.t.Helper()
	at := time.Now().AddDate(0, 0, -days)
	in := &s3.PutObjectInput{Bucket: aws.String("files"), Key: aws.String(key), Body: strings.NewReader(body)}
	if len(tags) > 0 {
		in.Tagging = aws.String(tags[0])
	}
	header := s3.WithAPIOptions(smithyhttp.SetHeaderValue(sourceTime, at.UTC().Format(time.RFC3339Nano)))
	if _, err := a.admin.PutObject(a.t.Context(), in, header); err != nil {
		a.t.Fatal(err)
	}
	if enginetest.Outside() {
		return
	}
	if err := os.Chtimes(a.path(key), at, at); err != nil {
		a.t.Fatal(err)
	}
}

// path of an object in the store's folder.
func (a *aged) path(key string) string {
	if enginetest.Outside() {
		return filepath.Join(a.store.Folder, "files", key)
	}
	return filepath.Join(a.store.Folder, "objects", "files", key)
}

// carriedOut waits until the rules were, by whoever does them, and the objects' files are gone.
func (a *aged) carriedOut(keys ...string) {
	a.t.Helper()
	contracttest.Eventually(a.t, "the rules to be carried out", func() bool {
		if len(a.own) > 0 {
			a.sweep(0, a.own...)
			a.work(0)
		}
		for _, key := range keys {
			if _, err := os.Stat(a.path(key)); !errors.Is(err, fs.ErrNotExist) {
				return false
			}
		}
		return true
	})
}

// TestRulesAreCarriedOut by the running store that was given them or, where it has no lifecycle, by the plane. It is the same to
// the bucket and to the ledger.
func TestRulesAreCarriedOut(t *testing.T) {
	t.Parallel()
	rules := []planeconfig.BlobRule{
		{Name: "old", Prefix: "in/", MaxBytes: 4, Expire: 48 * hour},
		{Name: "temporary", Prefix: "tagged/", Tags: map[string]string{"class": "temporary"}, Expire: 24 * hour},
	}
	a := newAged(t, planeconfig.Blobs{Rules: rules})
	file, young := a.upload(), a.upload()
	a.writeAged(4, file.Key, "x")
	a.writeAged(4, "in/other", "x")
	a.writeAged(4, "tagged/yes", "x", "class=temporary&a=b")
	a.writeAged(1, "in/young", "x")
	a.writeAged(4, "in/large", "xxxxx")
	a.writeAged(4, "elsewhere/old", "x")
	a.writeAged(4, "tagged/no", "x", "class=kept")
	a.writeAged(4, "tagged/none", "x")
	a.carriedOut(file.Key, "in/other", "tagged/yes")
	// Once one that came later is gone, the others have all been looked at.
	a.writeAged(4, "in/zz-last", "x")
	a.writeAged(4, "tagged/zz-last", "x", "class=temporary")
	a.carriedOut("in/zz-last", "tagged/zz-last")
	for _, key := range []string{young.Key, "in/young", "in/large", "elsewhere/old", "tagged/no", "tagged/none"} {
		a.has(key, true)
	}

	// What the store removed by itself is found, and has expired as what the plane ends has.
	scan := &plane.Scan{Collector: a.Collector, Prefix: "in/", Grace: time.Hour, Rules: rules}
	if _, err := scan.Run(t.Context(), a.began.AddDate(0, 0, 3)); err != nil {
		t.Fatal(err)
	}
	a.is(file, blobs.StatusExpired, "lifecycle rule old")
	a.is(young, blobs.StatusUploaded, "")
}

// versionCount is how many versions there are of a key, and whether a mark of removal is the newest.
type versionCount struct {
	Versions int
	Hidden   bool
}

func (a *aged) counts() map[string]versionCount {
	a.t.Helper()
	page, _, err := a.versions.ListVersions(a.t.Context(), "", plane.Version{})
	if err != nil {
		a.t.Fatal(err)
	}
	out := map[string]versionCount{}
	for _, v := range page {
		c := out[v.Key]
		if v.Marker {
			c.Hidden = c.Hidden || v.Latest
		} else {
			c.Versions++
		}
		out[v.Key] = c
	}
	return out
}

// ageVersions has what versitygw keeps of replaced objects be as old as they were: it writes them anew when they are replaced.
func (a *aged) ageVersions(days int, key string) {
	a.t.Helper()
	if enginetest.Outside() {
		return
	}
	page, _, err := a.versions.ListVersions(a.t.Context(), key, plane.Version{})
	if err != nil {
		a.t.Fatal(err)
	}
	for i, v := range page {
		if v.Latest {
			continue
		}
		at := time.Now().AddDate(0, 0, -days-i)
		err := filepath.WalkDir(filepath.Join(a.store.Folder, "versions"), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Base(path) != v.VersionID {
				return err
			}
			return os.Chtimes(path, at, at)
		})
		if err != nil {
			a.t.Fatal(err)
		}
	}
}

// TestRulesOfVersionsAreCarriedOut likewise.
func TestRulesOfVersionsAreCarriedOut(t *testing.T) {
	t.Parallel()
	a := newAged(t, planeconfig.Blobs{
		Settings: planeconfig.BlobSettings{Versioning: "Enabled"},
		Rules: []planeconfig.BlobRule{
			{Name: "versions", Prefix: "v/", ExpireNoncurrent: 24 * hour, KeepNoncurrent: 1},
			{Name: "old", Prefix: "old/", Expire: 24 * hour},
		},
	})
	for _, key := range []string{"v/many", "other/many"} {
		for _, days := range []int{9, 8, 7, 6} {
			a.writeAged(days, key, "x")
		}
		a.ageVersions(6, key)
	}
	for range 3 {
		a.write("v/young", "x")
	}
	a.writeAged(4, "old/gone", "x")
	a.write("old/young", "x")
	want := map[string]versionCount{
		"v/many": {Versions: 2}, "other/many": {Versions: 4}, "v/young": {Versions: 3}, "old/gone": {Versions: 1, Hidden: true}, "old/young": {Versions: 1},
	}
	var got map[string]versionCount
	contracttest.Eventually(t, "the versions to be outdated", func() bool {
		a.carriedOut()
		got = a.counts()
		return got["v/many"] == want["v/many"] && got["old/gone"] == want["old/gone"]
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
