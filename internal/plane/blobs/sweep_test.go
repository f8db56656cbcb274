package blobs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/enginetest"
	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/plane/blobs/s3store"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

const hour = planeconfig.Duration(time.Hour)

// ruled is a rig whose bucket has another writer, and may keep versions or lock objects.
type ruled struct {
	*rig
	admin    *s3.Client
	versions plane.Versions
}

func newRuled(t *testing.T, lock bool) *ruled {
	t.Helper()
	return newRuledOn(t, enginetest.S3(t), lock)
}

func newRuledOn(t *testing.T, store *enginetest.S3Store, lock bool) *ruled {
	t.Helper()
	keys := credentials.NewStaticCredentialsProvider(enginetest.S3AccessKeyID, enginetest.S3SecretAccessKey, "")
	admin := s3.New(s3.Options{BaseEndpoint: aws.String(store.URI), Region: enginetest.S3Region, UsePathStyle: true, Credentials: keys})
	if _, err := admin.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("files"), ObjectLockEnabledForBucket: aws.Bool(lock)}); err != nil {
		t.Fatal(err)
	}
	objects, err := s3store.New(s3store.Config{Endpoint: store.URI, Region: enginetest.S3Region, Bucket: "files", PathStyle: true, Conditional: true, Credentials: keys})
	if err != nil {
		t.Fatal(err)
	}
	l := newLedger(t)
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { _ = l.Run(ctx) })
	t.Cleanup(func() { cancel(); work.Wait() })
	return &ruled{
		rig:   &rig{t: t, store: store, began: time.Now(), Collector: &plane.Collector{Ledger: l, Objects: objects, Log: slog.New(slog.DiscardHandler)}},
		admin: admin, versions: objects,
	}
}

// write an object as another writer does, over one that is there, and return its version.
func (r *ruled) write(key, body string, tags ...string) string {
	r.t.Helper()
	in := &s3.PutObjectInput{Bucket: aws.String("files"), Key: aws.String(key), Body: bytes.NewReader([]byte(body))}
	if len(tags) > 0 {
		in.Tagging = aws.String(tags[0])
	}
	out, err := r.admin.PutObject(r.t.Context(), in)
	if err != nil {
		r.t.Fatal(err)
	}
	return aws.ToString(out.VersionId)
}

func (r *ruled) sweep(after time.Duration, rules ...planeconfig.BlobRule) plane.Swept {
	r.t.Helper()
	s := &plane.Sweep{Collector: r.Collector, Versions: r.versions, Rules: rules}
	out, err := s.Run(r.t.Context(), r.began.Add(after))
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func (r *ruled) swept(want plane.Swept, after time.Duration, rules ...planeconfig.BlobRule) {
	r.t.Helper()
	if diff := cmp.Diff(want, r.sweep(after, rules...)); diff != "" {
		r.t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestRules end files by way of the ledger and objects of others by themselves, when their time comes and not before.
func TestRules(t *testing.T) {
	t.Parallel()
	r := newRuled(t, false)
	file, pending, gone := r.upload(), r.begin(), r.upload()
	r.put(pending.Key, "x")
	r.end(gone, blobs.StatusDeleted)
	r.write("in/other", "x")
	r.write("in/large", "xxxxx")
	r.write("elsewhere/other", "x")
	r.write("tagged/yes", "x", "class=temporary&a=b")
	r.write("tagged/no", "x", "class=kept")
	r.write("tagged/none", "x")
	rules := []planeconfig.BlobRule{
		{Name: "old", Prefix: "in/", MaxBytes: 4, Expire: 2 * hour},
		{Name: "temporary", Prefix: "tagged/", Tags: map[string]string{"class": "temporary"}, Expire: hour},
	}
	r.swept(plane.Swept{Objects: 8}, time.Minute, rules...)
	r.swept(plane.Swept{Objects: 8, Expired: 1, Removed: 2}, 3*time.Hour, rules...)
	r.is(file, blobs.StatusExpired, "lifecycle rule old")
	r.is(pending, blobs.StatusPending, "")
	for _, key := range []string{"in/other", "tagged/yes"} {
		r.has(key, false)
	}
	for _, key := range []string{file.Key, pending.Key, "in/large", "elsewhere/other", "tagged/no", "tagged/none"} {
		r.has(key, true)
	}

	// A hint of the store does not bring back what a rule ended; its object is collected, that of the other one found.
	if got, err := r.Settle(t.Context(), r.began, file, false); !errors.Is(err, plane.ErrState) {
		t.Errorf("it is %s, %v", got.Status, err)
	}
	r.work(3 * time.Hour)
	r.has(file.Key, false)
	r.knows(file.Key, false)
	r.is(file, blobs.StatusExpired, "lifecycle rule old")
	r.is(pending, blobs.StatusUploaded, "")
	r.swept(plane.Swept{Objects: 4, Expired: 1}, 3*time.Hour, rules...)
	r.swept(plane.Swept{Objects: 4}, 3*time.Hour, rules...)
}

// TestRulesAndMoves: a rule governs a prefix, and a file that left it is not its any more.
func TestRulesAndMoves(t *testing.T) {
	t.Parallel()
	r := newRuled(t, false)
	away, back, moving := r.upload(), r.upload(), r.upload()
	move := func(e plane.Entry, to string, end bool) {
		if _, err := r.Ledger.BeginMove(t.Context(), r.began, e.ID, to); err != nil {
			t.Fatal(err)
		}
		if !end {
			return
		}
		o, err := r.Objects.Copy(t.Context(), e.Key, to, nil)
		if err == nil {
			_, err = r.Ledger.EndMove(t.Context(), r.began, e.ID, to, o)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	move(away, "kept/a", true)
	move(back, "in/sub/b", true)
	move(moving, "kept/c", false)
	rule := planeconfig.BlobRule{Name: "old", Prefix: "in/", Expire: hour}
	r.sweep(2*time.Hour, rule)
	r.is(away, blobs.StatusUploaded, "")
	r.is(back, blobs.StatusExpired, "lifecycle rule old")
	r.is(moving, blobs.StatusUploaded, "")
	r.work(2 * time.Hour)
	r.has("kept/a", true)
	r.has("kept/c", true)
	r.has("in/sub/b", false)
	// The ledger ends no file under a key that it left meanwhile.
	if _, err := r.Ledger.Expire(t.Context(), r.began, away.ID, away.Key, "late"); !errors.Is(err, plane.ErrState) {
		t.Errorf("%v", err)
	}
}

// TestRulesOfParts abort what nobody finished.
func TestRulesOfParts(t *testing.T) {
	t.Parallel()
	r := newRuled(t, false)
	parts := func(e plane.Entry) string {
		id, err := r.Objects.BeginParts(t.Context(), plane.Put{Key: e.Key, ContentType: "a/b"})
		if err == nil && e.ID != "" {
			_, err = r.Ledger.SetParts(t.Context(), e.ID, "", id)
		}
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	other := plane.Entry{File: blobs.File{Key: "in/other"}}
	file, elsewhere := r.begin(func(n *plane.NewFile) { n.Multipart = true }), plane.Entry{File: blobs.File{Key: "out/other"}}
	ids := map[string]string{other.Key: parts(other), file.Key: parts(file), elsewhere.Key: parts(elsewhere)}
	rule := planeconfig.BlobRule{Name: "parts", Prefix: "in/", AbortIncomplete: hour}
	r.swept(plane.Swept{}, time.Minute, rule)
	r.swept(plane.Swept{Aborted: 1, Expired: 1}, 2*time.Hour, rule)
	r.is(file, blobs.StatusExpired, "lifecycle rule parts")
	r.work(2 * time.Hour)
	for key, id := range ids {
		_, err := r.Objects.Parts(t.Context(), key, id)
		if errors.Is(err, plane.ErrNoObject) != (key != elsewhere.Key) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// TestRulesOfVersions remove what was replaced, but for the newest ones.
func TestRulesOfVersions(t *testing.T) {
	t.Parallel()
	r := newRuled(t, false)
	if _, err := r.admin.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket: aws.String("files"), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	}); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for i := range 5 {
		ids = append(ids, r.write("in/many", fmt.Sprint(i)))
	}
	r.write("in/one", "x")
	removed := r.write("in/removed", "x")
	if err := r.Objects.Remove(t.Context(), "in/removed"); err != nil {
		t.Fatal(err)
	}
	r.write("out/many", "1")
	r.write("out/many", "2")
	file := r.upload()
	e, err := r.Ledger.Get(t.Context(), file.ID)
	if err != nil || e.VersionID == "" {
		t.Fatalf("%+v, %v", e, err)
	}
	r.write(file.Key, "over it")
	rule := planeconfig.BlobRule{Name: "versions", Prefix: "in/", ExpireNoncurrent: hour, KeepNoncurrent: 2}
	r.swept(plane.Swept{}, time.Minute, rule)
	r.swept(plane.Swept{Versions: 2}, 2*time.Hour, rule)
	all := func(key string) (out []string) {
		page, _, err := r.versions.ListVersions(t.Context(), key, plane.Version{})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range page {
			out = append(out, v.VersionID)
		}
		return out
	}
	if diff := cmp.Diff([]string{ids[4], ids[3], ids[2]}, all("in/many")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	rule.KeepNoncurrent = 0
	// Two more, and what was removed with its mark; the version that is a file's own stays.
	r.swept(plane.Swept{Versions: 4}, 2*time.Hour, rule)
	if got := all("in/removed"); len(got) != 0 {
		t.Errorf("of %s there are %v", removed, got)
	}
	if got := all(file.Key); len(got) != 2 || got[1] != e.VersionID {
		t.Errorf("of the file there are %v", got)
	}
	if got := all("out/many"); len(got) != 2 {
		t.Errorf("out of the rule's prefix there are %v", got)
	}
}

// TestRulesAmongUploads: nothing is lost of those who upload meanwhile, whatever rules do to what is old.
func TestRulesAmongUploads(t *testing.T) {
	t.Parallel()
	r := newRuled(t, false)
	old := make([]plane.Entry, 30)
	for i := range old {
		old[i] = r.upload()
	}
	// What is uploaded from now on is younger than all of these, by what the store says.
	cutoff := r.newest()
	waitFor(t, func() bool { r.write("probe", "x"); return r.newest().After(cutoff) })
	rule := planeconfig.BlobRule{Name: "old", Prefix: "in/", Expire: hour}
	now := cutoff.Add(time.Hour)
	var done atomic.Bool
	var uploads sync.WaitGroup
	var mu sync.Mutex
	var young []plane.Entry
	for range 4 {
		uploads.Go(func() {
			for range 40 {
				e := r.upload()
				mu.Lock()
				young = append(young, e)
				mu.Unlock()
			}
		})
	}
	go func() { uploads.Wait(); done.Store(true) }()
	for sweeps := 0; !done.Load() || sweeps < 3; sweeps++ {
		s := &plane.Sweep{Collector: r.Collector, Versions: r.versions, Rules: []planeconfig.BlobRule{rule}}
		if _, err := s.Run(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	r.work(now.Sub(r.began))
	for _, e := range young {
		r.is(e, blobs.StatusUploaded, "")
		r.has(e.Key, true)
	}
	for _, e := range old {
		r.is(e, blobs.StatusExpired, "lifecycle rule old")
		r.has(e.Key, false)
	}
}

// newest is when the youngest object was written.
func (r *ruled) newest() (newest time.Time) {
	r.t.Helper()
	page, _, err := r.Objects.List(r.t.Context(), "", "")
	if err != nil {
		r.t.Fatal(err)
	}
	for _, o := range page {
		if o.Modified.After(newest) {
			newest = o.Modified
		}
	}
	return newest
}

// waitFor waits for a condition.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-t.Context().Done():
			t.Fatal("the test ended first")
		case <-tick.C:
		}
	}
}

// TestTheStoresOwnRules: what the store removed by a rule has expired, and what somebody else took was deleted.
func TestTheStoresOwnRules(t *testing.T) {
	t.Parallel()
	r := newRuled(t, false)
	byRule, taken := r.upload(), r.begin(func(n *plane.NewFile) { n.Key = "in/kept/" + n.ID })
	r.put(taken.Key, "x")
	if _, err := r.Settle(t.Context(), r.began, taken, false); err != nil {
		t.Fatal(err)
	}
	for _, e := range []plane.Entry{byRule, taken} {
		if err := r.Objects.Remove(t.Context(), e.Key); err != nil {
			t.Fatal(err)
		}
	}
	scan := func(after time.Duration) plane.Report {
		s := &plane.Scan{Collector: r.Collector, Prefix: "in/", Grace: time.Hour, Rules: []planeconfig.BlobRule{
			{Name: "old", Prefix: "in/" + byRule.ID[:8], Expire: 24 * hour},
		}}
		out, err := s.Run(t.Context(), r.began.Add(after))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := scan(25 * time.Hour); got.Expired != 1 || got.Missing != 1 {
		t.Errorf("%+v", got)
	}
	r.is(byRule, blobs.StatusExpired, "lifecycle rule old")
	r.is(taken, blobs.StatusDeleted, plane.ReasonMissing)
	r.work(26 * time.Hour)
	r.knows(byRule.Key, false)
}

// lock has the store keep an object until then.
func (r *ruled) lock(key string, until time.Time) {
	r.t.Helper()
	if _, err := r.admin.PutObjectRetention(r.t.Context(), &s3.PutObjectRetentionInput{
		Bucket: aws.String("files"), Key: aws.String(key), BypassGovernanceRetention: aws.Bool(true),
		Retention: &types.ObjectLockRetention{Mode: types.ObjectLockRetentionModeCompliance, RetainUntilDate: aws.Time(until)},
	}); err != nil {
		r.t.Fatal(err)
	}
}

// TestLockedVersions stay, though the object is hidden: a store with versions takes every removal.
func TestLockedVersions(t *testing.T) {
	t.Parallel()
	r := newRuled(t, true)
	e, swept := r.upload(), r.upload()
	until := r.began.Add(10 * time.Hour).UTC().Truncate(time.Second)
	r.lock(e.Key, until)
	r.lock(swept.Key, until)
	if o, err := r.Objects.Head(t.Context(), e.Key); err != nil || !o.RetainedUntil.Equal(until) {
		t.Fatalf("%+v, %v", o, err)
	}
	r.swept(plane.Swept{Objects: 2, Locked: 2}, 2*time.Hour, planeconfig.BlobRule{Name: "old", Expire: hour})
	r.is(swept, blobs.StatusUploaded, "")
	r.end(e, blobs.StatusDeleted)
	r.work(0)
	r.has(e.Key, false)
	r.swept(plane.Swept{Locked: 1}, 2*time.Hour, planeconfig.BlobRule{Name: "versions", ExpireNoncurrent: hour})
	page, _, err := r.versions.ListVersions(t.Context(), e.Key, plane.Version{})
	if err != nil || len(page) != 2 || !page[0].Marker || page[1].Marker {
		t.Errorf("%+v, %v", page, err)
	}
}

// TestLocked objects of a store without versions are left until their time, and nobody tries again and again.
func TestLocked(t *testing.T) {
	t.Parallel()
	r := newRuledOn(t, enginetest.S3From(t, func(folder, address string) []string {
		for _, name := range []string{"objects", "metadata"} {
			if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		return []string{"--port=" + address, "--health=/_health", "--region=" + enginetest.S3Region, "--quiet", "posix", "--sidecar=" + filepath.Join(folder, "metadata"), filepath.Join(folder, "objects")}
	}), true)
	e := r.upload()
	r.lock(e.Key, r.began.Add(30*time.Hour))
	refused := 0
	r.Locked = func() { refused++ }
	r.end(e, blobs.StatusDeleted)
	for range 3 {
		for _, after := range []time.Duration{0, time.Hour, 23 * time.Hour} {
			r.work(after)
		}
	}
	if refused != 1 {
		t.Errorf("refused %d times within a day", refused)
	}
	r.work(25 * time.Hour)
	r.work(29 * time.Hour)
	if refused != 2 {
		t.Errorf("refused %d times within two days", refused)
	}
	r.has(e.Key, true)
	r.knows(e.Key, true)
}
