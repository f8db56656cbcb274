package blobs_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/trellis-dev/trellis/internal/enginetest"
	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/plane/blobs/ledger"
	"github.com/trellis-dev/trellis/internal/plane/blobs/s3store"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// rig is a bucket of a real store and its ledger.
type rig struct {
	t *testing.T
	*plane.Collector
	store *enginetest.S3Store
	// began is when all of its files begin.
	began time.Time
}

func newRig(t *testing.T) *rig {
	t.Helper()
	store, objects := newStore(t)
	l := newLedger(t)
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { _ = l.Run(ctx) })
	t.Cleanup(func() { cancel(); work.Wait() })
	contracttest.Eventually(t, "the ledger to be connected", func() bool {
		_, err := l.OrphansTold(t.Context())
		return err == nil
	})
	return &rig{t: t, store: store, began: time.Now(), Collector: &plane.Collector{Ledger: l, Objects: objects, Log: slog.New(slog.DiscardHandler)}}
}

// newStore is a store with an empty bucket.
func newStore(t *testing.T) (*enginetest.S3Store, *s3store.Store) {
	t.Helper()
	store := enginetest.Store(t)
	keys := credentials.NewStaticCredentialsProvider(enginetest.S3AccessKeyID, enginetest.S3SecretAccessKey, "")
	admin := s3.New(s3.Options{BaseEndpoint: aws.String(store.URI), Region: enginetest.S3Region, UsePathStyle: true, Credentials: keys})
	if _, err := admin.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("files")}); err != nil {
		t.Fatal(err)
	}
	objects, err := s3store.New(s3store.Config{
		Endpoint: store.URI, Region: enginetest.S3Region, Bucket: "files", PathStyle: true, Conditional: true, Credentials: keys,
	})
	if err != nil {
		t.Fatal(err)
	}
	return store, objects
}

// newLedger is one that nobody runs yet.
func newLedger(t *testing.T) *ledger.Ledger {
	t.Helper()
	uri, _ := enginetest.Postgres(t)
	file := filepath.Join(t.TempDir(), "uri")
	if err := os.WriteFile(file, []byte(uri), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := ledger.New(ledger.Config{Engine: planeconfig.Engine{Type: "PostgreSQL", URIFile: file}, Schema: "files"}, plane.LedgerSettings{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// begin a file of one byte, to be uploaded within an hour.
func (r *rig) begin(mutate ...func(*plane.NewFile)) plane.Entry {
	r.t.Helper()
	expires := r.began.Add(time.Hour)
	id := uuid.Must(uuid.NewV7()).String()
	n := plane.NewFile{File: blobs.File{ID: id, Key: "in/" + id, Filename: "a", ContentType: "a/b", Size: 1, ExpiresAt: &expires}}
	for _, m := range mutate {
		m(&n)
	}
	e, _, err := r.Ledger.Begin(r.t.Context(), r.began, n, plane.Bounds{})
	if err != nil {
		r.t.Error(err)
	}
	return e
}

// put sends an object of a key as a client does.
func (r *rig) put(key, body string) {
	r.t.Helper()
	signed, err := r.Objects.SignPut(r.t.Context(), time.Now(), plane.Put{Key: key, Size: int64(len(body)), ContentType: "a/b"}, time.Minute)
	if err != nil {
		r.t.Error(err)
		return
	}
	req, err := http.NewRequestWithContext(r.t.Context(), signed.Method, signed.URL, strings.NewReader(body))
	if err != nil {
		r.t.Error(err)
		return
	}
	for name, value := range signed.Headers {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Error(err)
		return
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		r.t.Errorf("%s: %s", key, resp.Status)
	}
}

// work does all that is due after so much time.
func (r *rig) work(after time.Duration) {
	r.t.Helper()
	now := r.began.Add(after)
	if _, err := r.Work(r.t.Context(), func() time.Time { return now }); err != nil {
		r.t.Error(err)
	}
}

func (r *rig) is(e plane.Entry, want blobs.Status, reason string) {
	r.t.Helper()
	got, err := r.Ledger.Get(r.t.Context(), e.ID)
	if err != nil || got.Status != want || got.Reason != reason {
		r.t.Errorf("the file is %s (%s), %v; want %s (%s)", got.Status, got.Reason, err, want, reason)
	}
}

func (r *rig) has(key string, want bool) {
	r.t.Helper()
	if _, err := r.Objects.Head(r.t.Context(), key); errors.Is(err, plane.ErrNoObject) == want || err != nil && !errors.Is(err, plane.ErrNoObject) {
		r.t.Errorf("%s: want an object: %v; %v", key, want, err)
	}
}

func (r *rig) knows(key string, want bool) {
	r.t.Helper()
	if found, err := r.Ledger.Find(r.t.Context(), []string{key}); err != nil || len(found) == 1 != want {
		r.t.Errorf("%s is known as %v, %v; want it known: %v", key, found, err, want)
	}
}

func (r *rig) end(e plane.Entry, to blobs.Status) {
	r.t.Helper()
	if _, err := r.Ledger.End(r.t.Context(), r.began, e.ID, to, "", blobs.StatusPending, blobs.StatusUploaded); err != nil {
		r.t.Error(err)
	}
}

func (r *rig) upload() plane.Entry {
	r.t.Helper()
	e := r.begin()
	r.put(e.Key, "x")
	if _, err := r.Settle(r.t.Context(), r.began, e, false); err != nil {
		r.t.Error(err)
	}
	return e
}

// TestCollector: nobody tells of anything, and in the end ledger and store agree.
func TestCollector(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	silent, never, wrong, late, aborted, deleted := r.begin(), r.begin(), r.begin(), r.begin(), r.begin(), r.upload()
	r.put(silent.Key, "x")
	r.put(wrong.Key, "xyz")
	r.put(aborted.Key, "x")
	r.end(late, blobs.StatusExpired)
	r.put(late.Key, "x")
	r.end(aborted, blobs.StatusDeleted)
	r.end(deleted, blobs.StatusDeleted)

	r.work(time.Minute)
	r.is(silent, blobs.StatusPending, "")
	r.is(late, blobs.StatusUploaded, "")
	r.has(late.Key, true)
	for _, e := range []plane.Entry{aborted, deleted} {
		r.has(e.Key, false)
		r.knows(e.Key, true)
	}
	// A request that was signed before is still good for another object of the key.
	r.put(aborted.Key, "x")

	r.work(2 * time.Hour)
	r.is(silent, blobs.StatusUploaded, "")
	r.has(silent.Key, true)
	r.is(never, blobs.StatusExpired, plane.ReasonNotUploaded)
	r.is(wrong, blobs.StatusExpired, plane.ReasonMismatch)
	for _, e := range []plane.Entry{never, wrong, aborted, deleted} {
		r.has(e.Key, false)
		r.knows(e.Key, false)
	}
}

// TestMoveIsEnded by somebody else, wherever whoever began it died.
func TestMoveIsEnded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for step, to := range []string{"begun", "copied", "deleted", "gone"} {
		e := r.upload()
		key := "out/" + to
		if _, err := r.Ledger.BeginMove(t.Context(), r.began, e.ID, key); err != nil {
			t.Fatal(err)
		}
		if step > 0 {
			if _, err := r.Objects.Copy(t.Context(), e.Key, key, nil); err != nil {
				t.Fatal(err)
			}
		}
		switch to {
		case "deleted":
			r.end(e, blobs.StatusDeleted)
		case "gone":
			if err := errors.Join(r.Objects.Remove(t.Context(), e.Key), r.Objects.Remove(t.Context(), key)); err != nil {
				t.Fatal(err)
			}
		}
		r.work(3 * time.Hour)
		if to == "gone" {
			r.is(e, blobs.StatusUploaded, "")
			r.scan(false, 3*time.Hour)
			r.work(4 * time.Hour)
		}
		want, there := blobs.StatusUploaded, true
		switch to {
		case "deleted", "gone":
			want, there = blobs.StatusDeleted, false
		}
		if got, err := r.Ledger.Get(t.Context(), e.ID); err != nil || got.Status != want || there && got.Key != key {
			t.Errorf("%s: %+v, %v", to, got, err)
		}
		r.has(key, there)
		r.knows(key, there)
		r.has(e.Key, false)
		r.knows(e.Key, false)
	}
}

// TestTheStoreIsDown: what could not be done is put off and done later.
func TestTheStoreIsDown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.upload()
	r.end(e, blobs.StatusDeleted)
	r.store.Kill()
	tasks, err := r.Ledger.Due(t.Context(), r.began, 10, time.Hour)
	if err != nil || len(tasks) != 1 {
		t.Fatal(tasks, err)
	}
	if err := r.Do(t.Context(), r.began, tasks[0]); err == nil {
		t.Error("a store that is down did all that was asked of it")
	}
	r.store.Start()
	r.has(e.Key, true)
	r.work(time.Minute)
	r.has(e.Key, false)
}

func (r *rig) scan(remove bool, after time.Duration) plane.Report {
	r.t.Helper()
	s := &plane.Scan{Collector: r.Collector, Prefix: "in/", Grace: time.Hour, Remove: remove}
	report, err := s.Run(r.t.Context(), r.began.Add(after))
	if err != nil {
		r.t.Error(err)
	}
	return report
}

// TestScan has more keys than a page, of every sort.
func TestScan(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const many = 2100
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			for n := i; n < many; n += 8 {
				key := fmt.Sprintf("in/%05d", n)
				if n%2 == 0 {
					r.begin(func(f *plane.NewFile) { f.Key = key })
				}
				if n%3 != 0 {
					r.put(key, "x")
				}
			}
		})
	}
	work.Wait()
	r.put("elsewhere/a", "x")
	missing, collecting := r.upload(), r.upload()
	if err := r.Objects.Remove(t.Context(), missing.Key); err != nil {
		t.Fatal(err)
	}
	r.end(collecting, blobs.StatusDeleted)
	lost, err := r.Objects.BeginParts(t.Context(), plane.Put{Key: "in/parts", ContentType: "a/b"})
	if err != nil {
		t.Fatal(err)
	}
	kept := r.begin(func(f *plane.NewFile) { f.Multipart = true })
	id, err := r.Objects.BeginParts(t.Context(), plane.Put{Key: kept.Key, ContentType: "a/b"})
	if err == nil {
		_, err = r.Ledger.SetParts(t.Context(), kept.ID, "", id)
	}
	if err != nil {
		t.Fatal(err)
	}

	// Of 2,100 numbers half are in the ledger, and two thirds in the store.
	young := r.scan(true, 0)
	if diff := cmp.Diff(plane.Report{Objects: many*2/3 + 1, Keys: many/2 + 3, Calls: 2, Young: many / 3, Healed: many / 3}, young); diff != "" {
		t.Errorf("young (-want +got)\n%s", diff)
	}
	seen := r.scan(false, 3*time.Hour)
	want := plane.Report{Objects: many*2/3 + 1, Keys: many/2 + 3, Calls: 2, Orphans: many / 3, OrphanBytes: many / 3, Missing: 1, Parts: 1}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("seen (-want +got)\n%s", diff)
	}
	r.is(missing, blobs.StatusDeleted, plane.ReasonMissing)
	want.Removed, want.Missing = many/3, 0
	if diff := cmp.Diff(want, r.scan(true, 3*time.Hour)); diff != "" {
		t.Errorf("removed (-want +got)\n%s", diff)
	}
	r.has("elsewhere/a", true)
	r.has(collecting.Key, true)
	if _, err := r.Objects.Parts(t.Context(), "in/parts", lost); !errors.Is(err, plane.ErrNoObject) {
		t.Errorf("parts that nobody has: %v", err)
	}
	if _, err := r.Objects.Parts(t.Context(), kept.Key, id); err != nil {
		t.Errorf("parts of a pending file: %v", err)
	}
}

// TestScanAmongUploads has no grace at all, and removes nothing of those who upload meanwhile.
func TestScanAmongUploads(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var done atomic.Bool
	var uploads sync.WaitGroup
	var mu sync.Mutex
	var all []plane.Entry
	for range 4 {
		uploads.Go(func() {
			for range 60 {
				e := r.upload()
				mu.Lock()
				all = append(all, e)
				mu.Unlock()
			}
		})
	}
	go func() { uploads.Wait(); done.Store(true) }()
	scans := 0
	for ; !done.Load() || scans < 3; scans++ {
		s := &plane.Scan{Collector: r.Collector, Prefix: "in/", Remove: true}
		report, err := s.Run(t.Context(), time.Now().Add(time.Hour))
		if err != nil || report.Orphans != 0 || report.Missing != 0 {
			t.Fatalf("scan %d: %+v, %v", scans, report, err)
		}
	}
	for _, e := range all {
		r.is(e, blobs.StatusUploaded, "")
		r.has(e.Key, true)
	}
	t.Logf("%d scans among %d uploads", scans, len(all))
}
