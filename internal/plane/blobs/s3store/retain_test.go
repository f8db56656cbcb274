package s3store_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/enginetest"
	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/plane/blobs/s3store"
)

// lockable is a bucket with object lock, and its store's admin.
func lockable(t *testing.T, mutate ...func(*s3store.Config)) (*s3store.Store, *s3.Client) {
	t.Helper()
	keys := credentials.NewStaticCredentialsProvider(enginetest.S3AccessKeyID, enginetest.S3SecretAccessKey, "")
	c := s3store.Config{
		Endpoint: enginetest.Store(t).URI, Region: enginetest.S3Region, Bucket: "files", PathStyle: true, Conditional: true, Credentials: keys,
	}
	for _, m := range mutate {
		m(&c)
	}
	admin := s3.New(s3.Options{BaseEndpoint: aws.String(c.Endpoint), Region: c.Region, UsePathStyle: true, Credentials: keys})
	if _, err := admin.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("files"), ObjectLockEnabledForBucket: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	s, err := s3store.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.KeepVersioning(t.Context(), "Enabled"); err != nil {
		t.Fatal(err)
	}
	return s, admin
}

// kept wants the store to say that it keeps an object so, and to refuse to remove that version of it.
func kept(t *testing.T, s *s3store.Store, key string, want plane.Lock) {
	t.Helper()
	o, err := s.Head(t.Context(), key)
	if err != nil {
		t.Errorf("%s: %v", key, err)
		return
	}
	if got := (plane.Lock{Mode: o.RetentionMode, Until: o.RetainedUntil.UTC()}); !cmp.Equal(want, got) {
		t.Errorf("%s is locked by %+v, want %+v", key, got, want)
	}
	if err := s.RemoveVersion(t.Context(), key, o.VersionID); err == nil {
		t.Errorf("%s was removed", key)
	}
	if _, err := s.Head(t.Context(), key); err != nil {
		t.Errorf("%s is gone: %v", key, err)
	}
}

// TestLockedFromItsWriting, by each way in which an object is written, without a retention of the bucket's own.
func TestLockedFromItsWriting(t *testing.T) {
	t.Parallel()
	const size = 5 << 20
	s, _ := lockable(t, func(c *s3store.Config) { c.MaxCopy = size })
	ctx, now := t.Context(), time.Now()
	for _, mode := range []string{"GOVERNANCE", "COMPLIANCE"} {
		lock := &plane.Lock{Mode: mode, Until: now.Add(24 * time.Hour).UTC().Truncate(time.Second)}
		// AWS alone wants a checksum with it.
		for name, p := range map[string]plane.Put{"sum": {Checksum: sumOf("hello")}, "none": {}} {
			p.Key, p.Size, p.ContentType, p.Lock = mode+"/"+name, 5, "a/b", lock
			r, err := s.SignPut(ctx, now, p, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			for other, mutate := range map[string]func(*http.Request){
				"no lock": func(r *http.Request) {
					r.Header.Del("X-Amz-Object-Lock-Mode")
					r.Header.Del("X-Amz-Object-Lock-Retain-Until-Date")
				},
				"a shorter one": func(r *http.Request) {
					r.Header.Set("X-Amz-Object-Lock-Retain-Until-Date", now.Add(time.Hour).UTC().Format(time.RFC3339))
				},
			} {
				if status, answer, _ := send(t, r, "hello", mutate); status < 400 {
					t.Errorf("%s, %s: the store took it: %d %s", p.Key, other, status, answer)
				}
			}
			if status, answer, _ := send(t, r, "hello"); status != http.StatusOK {
				t.Fatalf("%s: %d %s", p.Key, status, answer)
			}
			kept(t, s, p.Key, *lock)
		}
		copied, err := s.Copy(ctx, mode+"/sum", mode+"/copy", lock)
		if err != nil || copied.RetentionMode != mode {
			t.Fatalf("%+v, %v", copied, err)
		}
		kept(t, s, mode+"/copy", *lock)

		id, err := s.BeginParts(ctx, plane.Put{Key: mode + "/parts", ContentType: "a/b", Lock: lock})
		if err != nil {
			t.Fatal(err)
		}
		for i, body := range []string{strings.Repeat("0", size), "!"} {
			r, err := s.SignPart(ctx, now, plane.PartOf{Key: mode + "/parts", UploadID: id, Number: i + 1, Size: int64(len(body))}, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if status, answer, _ := send(t, r, body); status != http.StatusOK {
				t.Fatalf("%d %s", status, answer)
			}
		}
		parts, err := s.Parts(ctx, mode+"/parts", id)
		if err = errors.Join(err, s.FinishParts(ctx, mode+"/parts", id, parts)); err != nil {
			t.Fatal(err)
		}
		kept(t, s, mode+"/parts", *lock)
		if _, err := s.Copy(ctx, mode+"/parts", mode+"/copy of parts", lock); err != nil {
			t.Fatal(err)
		}
		kept(t, s, mode+"/copy of parts", *lock)
	}
}

// TestRetain locks what a form wrote: the stores here take its fields, and do not read them.
func TestRetain(t *testing.T) {
	t.Parallel()
	s, _ := lockable(t)
	ctx, now := t.Context(), time.Now()
	lock := plane.Lock{Mode: "GOVERNANCE", Until: now.Add(24 * time.Hour).UTC().Truncate(time.Second)}
	form, err := s.SignForm(ctx, now, plane.Put{Key: "a", Size: 5, ContentType: "a/b", Lock: &lock}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if status, answer := postForm(t, form, "hello", map[string]string{"x-amz-object-lock-retain-until-date": now.Add(time.Hour).UTC().Format(time.RFC3339)}); status < 400 {
		t.Errorf("a shorter lock was taken: %d %s", status, answer)
	}
	if status, answer := postForm(t, form, "hello", nil); status >= 300 {
		t.Fatalf("%d %s", status, answer)
	}
	o, err := s.Head(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Retain(ctx, "a", o.VersionID, lock); err != nil {
		t.Fatal(err)
	}
	kept(t, s, "a", lock)
	longer := plane.Lock{Mode: "GOVERNANCE", Until: lock.Until.Add(time.Hour)}
	if err := s.Retain(ctx, "a", "", longer); err != nil {
		t.Fatal(err)
	}
	kept(t, s, "a", longer)
	if err := s.Retain(ctx, "none", "", lock); !errors.Is(err, plane.ErrNoObject) {
		t.Errorf("what is not there: %v", err)
	}
}

// TestLockWithoutObjectLock: what can not be kept is not taken.
func TestLockWithoutObjectLock(t *testing.T) {
	t.Parallel()
	s := bucket(t)
	lock := plane.Lock{Mode: "GOVERNANCE", Until: time.Now().Add(time.Hour).UTC().Truncate(time.Second)}
	r, err := s.SignPut(t.Context(), time.Now(), plane.Put{Key: "a", Size: 5, ContentType: "a/b", Checksum: sumOf("hello"), Lock: &lock}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if status, answer, _ := send(t, r, "hello"); status < 400 {
		t.Errorf("%d %s", status, answer)
	}
	put(t.Context(), t, s, "b")
	if err := s.Retain(t.Context(), "b", "", lock); !errors.Is(err, plane.ErrUnsupported) {
		t.Errorf("%v", err)
	}
}
