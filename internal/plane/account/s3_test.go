package account

import (
	"bytes"
	"context"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// s3Consumer is the Secret of a consumer, as the pipeline makes it; more are keys and values.
func s3Consumer(t *testing.T, store *enginetest.S3Store, name, secret, bucket string, more ...string) string {
	t.Helper()
	data := map[string]string{
		"uri": store.URI, planeconfig.KeyRegion: enginetest.S3Region, planeconfig.KeyPathStyle: "true",
		planeconfig.KeyAccessKeyID: name, planeconfig.KeySecretAccessKey: secret, planeconfig.KeyBucket: bucket,
	}
	for i := 0; i < len(more); i += 2 {
		data[more[i]] = more[i+1]
	}
	return folder(t, data)
}

func s3Binding(t *testing.T, store *enginetest.S3Store) string {
	t.Helper()
	data := map[string]string{}
	for key, value := range store.Secret() {
		data[key] = string(value)
	}
	return folder(t, data)
}

func ensureS3(t *testing.T, admin, consumer string) error {
	t.Helper()
	log := &bytes.Buffer{}
	err := Ensure(t.Context(), Request{Engine: "S3", Admin: admin, Account: consumer, Timeout: time.Minute, Log: slog.New(slog.NewTextHandler(log, nil))})
	for _, secret := range []string{enginetest.S3SecretAccessKey, "secret-of-alice", "secret-of-bob"} {
		if strings.Contains(log.String(), secret) || (err != nil && strings.Contains(err.Error(), secret)) {
			t.Errorf("the log or the error has the secret %s:\n%s\n%v", secret, log, err)
		}
	}
	return err
}

// s3As is the client of a consumer's Secret.
func s3As(t *testing.T, consumer string) *minio.Client {
	t.Helper()
	s, err := S3Connection(consumer)
	if err != nil {
		t.Fatal(err)
	}
	return enginetest.S3Client(t, s)
}

func s3Put(ctx context.Context, c *minio.Client, bucket, key, text string) error {
	_, err := c.PutObject(ctx, bucket, key, strings.NewReader(text), int64(len(text)), minio.PutObjectOptions{})
	return err
}

// TestS3AccountUsesItsOwnBucketAlone has two consumers, of whom each is let into its own and nothing else.
func TestS3AccountUsesItsOwnBucketAlone(t *testing.T) {
	t.Parallel()
	store := enginetest.S3(t)
	admin := s3Binding(t, store)
	alice := s3Consumer(t, store, "alice", "secret-of-alice", "alice-1")
	bob := s3Consumer(t, store, "bob", "secret-of-bob", "bob-1")
	for _, c := range []string{alice, bob, alice} {
		if err := ensureS3(t, admin, c); err != nil {
			t.Fatal(err)
		}
	}
	a, b := s3As(t, alice), s3As(t, bob)
	if err := s3Put(t.Context(), a, "alice-1", "x", "of alice"); err != nil {
		t.Fatal(err)
	}
	if err := a.EnableVersioning(t.Context(), "alice-1"); err != nil {
		t.Errorf("an account configures its own bucket: %v", err)
	}
	_, errRead := b.StatObject(t.Context(), "alice-1", "x", minio.StatObjectOptions{})
	admins := s3Admin{root: mustS3(t, bob), http: testClient(t)}
	for what, err := range map[string]error{
		"read":               errRead,
		"write":              s3Put(t.Context(), b, "alice-1", "y", "of bob"),
		"delete":             b.RemoveObject(t.Context(), "alice-1", "x", minio.RemoveObjectOptions{}),
		"delete the bucket":  b.RemoveBucket(t.Context(), "alice-1"),
		"change its policy":  b.SetBucketPolicy(t.Context(), "alice-1", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"bob","Action":"s3:*","Resource":"arn:aws:s3:::alice-1/*"}]}`),
		"make another":       b.MakeBucket(t.Context(), "bob-2", minio.MakeBucketOptions{}),
		"take over a bucket": admins.call(t.Context(), "/change-bucket-owner", url.Values{"bucket": {"alice-1"}, "owner": {"bob"}}, nil, nil, nil),
		"see all accounts":   admins.call(t.Context(), "/list-users", nil, nil, nil, nil),
	} {
		if code := minio.ToErrorResponse(err).Code; code != "AccessDenied" && !strings.Contains(codeOf(err), "AccessDenied") {
			t.Errorf("another account may %s: %v", what, err)
		}
	}
	buckets, err := b.ListBuckets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(buckets) != 1 || buckets[0].Name != "bob-1" {
		t.Errorf("bob sees %v", buckets)
	}
}

func mustS3(t *testing.T, consumer string) planeconfig.S3 {
	t.Helper()
	s, err := S3Connection(consumer)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestS3AccountIsRepaired where the store has another secret, or lost the account with the bucket kept.
func TestS3AccountIsRepaired(t *testing.T) {
	t.Parallel()
	store := enginetest.S3(t)
	admin := s3Binding(t, store)
	before := s3Consumer(t, store, "alice", "secret-of-alice", "alice-1")
	if err := ensureS3(t, admin, before); err != nil {
		t.Fatal(err)
	}
	if err := s3Put(t.Context(), s3As(t, before), "alice-1", "x", "kept"); err != nil {
		t.Fatal(err)
	}
	after := s3Consumer(t, store, "alice", "secret-of-alice-anew", "alice-1")
	if err := ensureS3(t, admin, after); err != nil {
		t.Fatal(err)
	}
	if _, err := s3As(t, after).StatObject(t.Context(), "alice-1", "x", minio.StatObjectOptions{}); err != nil {
		t.Errorf("the new secret does not lead to what is kept: %v", err)
	}
	if _, err := s3As(t, before).ListBuckets(t.Context()); minio.ToErrorResponse(err).Code != s3WrongSecret {
		t.Errorf("the secret before is answered with %v", err)
	}
	root := s3Admin{root: mustS3(t, admin), http: testClient(t)}
	if err := root.call(t.Context(), "/delete-user", url.Values{"access": {"alice"}}, nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := ensureS3(t, admin, after); err != nil {
		t.Fatal(err)
	}
	if _, err := s3As(t, after).StatObject(t.Context(), "alice-1", "x", minio.StatObjectOptions{}); err != nil {
		t.Errorf("the account that was made anew does not find what is kept: %v", err)
	}
}

// TestS3AccountOfPodsThatStartTogether is made once.
func TestS3AccountOfPodsThatStartTogether(t *testing.T) {
	t.Parallel()
	store := enginetest.S3(t)
	admin := s3Binding(t, store)
	alice := s3Consumer(t, store, "alice", "secret-of-alice", "alice-1")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := ensureS3(t, admin, alice); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if err := s3Put(t.Context(), s3As(t, alice), "alice-1", "x", "text"); err != nil {
		t.Error(err)
	}
}

// TestS3AccountWaitsForTheStore that is down at first.
func TestS3AccountWaitsForTheStore(t *testing.T) {
	t.Parallel()
	store := enginetest.S3(t)
	admin, alice := s3Binding(t, store), s3Consumer(t, store, "alice", "secret-of-alice", "alice-1")
	store.Kill()
	done := make(chan error, 1)
	go func() { done <- ensureS3(t, admin, alice) }()
	store.Start()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestS3BucketThatIsThere is taken over where it is nobody's and that is asked for.
func TestS3BucketThatIsThere(t *testing.T) {
	t.Parallel()
	store := enginetest.S3(t)
	admin := s3Binding(t, store)
	if err := ensureS3(t, admin, s3Consumer(t, store, "bob", "secret-of-bob", "of-bob")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"free", "other"} {
		if err := s3As(t, admin).MakeBucket(t.Context(), name, minio.MakeBucketOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name, bucket string
		more         []string
		want         string
	}{
		{name: "nobody's", bucket: "other", want: "the bucket other exists already: choose another name, or ask for its adoption"},
		{name: "nobody's, adopted", bucket: "free", more: []string{planeconfig.KeyAdopt, "true"}},
		{name: "another consumer's", bucket: "of-bob", more: []string{planeconfig.KeyAdopt, "true"},
			want: "the bucket of-bob belongs to another consumer of the engine: choose another name"},
		{name: "no name of a bucket", bucket: "../x", want: `"alice" and "../x" can not be the names of an account and of a bucket`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if err := ensureS3(t, admin, s3Consumer(t, store, "alice", "secret-of-alice", tt.bucket, tt.more...)); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if err := s3Put(t.Context(), s3As(t, s3Consumer(t, store, "alice", "secret-of-alice", "")), "free", "x", "text"); err != nil {
		t.Errorf("the adopted bucket: %v", err)
	}
}
