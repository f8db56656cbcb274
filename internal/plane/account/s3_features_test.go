package account

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/cors"
	"github.com/minio/minio-go/v7/pkg/lifecycle"
	"github.com/minio/minio-go/v7/pkg/notification"
	"github.com/minio/minio-go/v7/pkg/signer"
	"github.com/minio/minio-go/v7/pkg/sse"
	"github.com/minio/minio-go/v7/pkg/tags"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

func testClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// answered is nil for the expected status, and else the store's refusal.
func answered(resp *http.Response, err error, want int) error {
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == want {
		return nil
	}
	text, err := io.ReadAll(resp.Body)
	refusal := s3Refusal{Code: resp.Status}
	_ = xml.Unmarshal(text, &refusal)
	return errors.Join(refusal, err)
}

func preflight(t *testing.T, target, origin string, want int) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, target, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Origin", origin)
	req.Header.Set("Access-Control-Request-Method", http.MethodPut)
	resp, err := testClient(t).Do(req)
	return answered(resp, err, want)
}

// putRaw is for what the client has no method for.
func putRaw(t *testing.T, s planeconfig.S3, target, body string, header ...string) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.Endpoint.String()+target, strings.NewReader(body))
	if err != nil {
		return err
	}
	hash := sha256.Sum256([]byte(body))
	req.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(hash[:]))
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := testClient(t).Do(signer.SignV4(*req, s.AccessKeyID, s.SecretAccessKey, "", s.Region))
	return answered(resp, err, http.StatusOK)
}

// postTooMuch is nil when a form is taken within its bounds and refused above them.
func postTooMuch(t *testing.T, c *minio.Client, bucket string) error {
	t.Helper()
	policy := minio.NewPostPolicy()
	if err := errors.Join(policy.SetBucket(bucket), policy.SetKey("posted"), policy.SetExpires(time.Now().Add(time.Hour)),
		policy.SetContentLengthRange(1, 4)); err != nil {
		return err
	}
	target, form, err := c.PresignedPostPolicy(t.Context(), policy)
	if err != nil {
		return err
	}
	post := func(text string, want int) error {
		var body bytes.Buffer
		w := multipart.NewWriter(&body)
		for name, value := range form {
			if err := w.WriteField(name, value); err != nil {
				return err
			}
		}
		file, err := w.CreateFormFile("file", "f")
		if err != nil {
			return err
		}
		if _, err := io.WriteString(file, text); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		resp, err := testClient(t).Post(target.String(), w.FormDataContentType(), &body)
		return answered(resp, err, want)
	}
	return errors.Join(post("text", http.StatusNoContent), post("longer text", http.StatusBadRequest))
}

// cutPart is nil when nothing is kept of a part whose connection ends in its middle. Of a store that lists it there is the
// refusal that others have for what they do not do.
func cutPart(t *testing.T, c *minio.Client, bucket string) error {
	t.Helper()
	const key, size = "in-parts", 1 << 20
	core := minio.Core{Client: c}
	id, err := core.NewMultipartUpload(t.Context(), bucket, key, minio.PutObjectOptions{})
	if err != nil {
		return err
	}
	target, err := c.Presign(t.Context(), http.MethodPut, bucket, key, time.Hour, url.Values{"uploadId": {id}, "partNumber": {"1"}})
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", target.Host)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	text := fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", target.RequestURI(), target.Host, size, strings.Repeat("x", size/2))
	if _, err := io.WriteString(conn, text); err != nil {
		return err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	// The store is done with it when it ends the connection.
	answer, err := io.ReadAll(conn)
	if err != nil {
		return err
	}
	listed, err := core.ListObjectParts(t.Context(), bucket, key, id, 0, 10)
	switch {
	case err != nil:
		return err
	case len(listed.ObjectParts) == 0:
		return nil
	case listed.ObjectParts[0].Size == size:
		return s3Refusal{Code: "NotImplemented"}
	default:
		return fmt.Errorf("of %d bytes %+v is listed, and the answer was %q", size/2, listed.ObjectParts[0], answer)
	}
}

// refusedBy is nil where the store refused with one of these codes.
func refusedBy(err error, codes ...string) error {
	if slices.Contains(codes, minio.ToErrorResponse(err).Code) || slices.Contains(codes, codeOf(err)) {
		return nil
	}
	return fmt.Errorf("want one of %v, got %w", codes, err)
}

// ownersPolicy allows the owner too: where there is a policy, nothing else counts.
const ownersPolicy = `{"Version":"2012-10-17","Statement":[
	{"Effect":"Allow","Principal":"alice","Action":"s3:*","Resource":["arn:aws:s3:::alice-1","arn:aws:s3:::alice-1/*"]},
	` + publicStatement + `]}`

const publicStatement = `{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::alice-1/public/*"}`

// minioFeatures are those of a store as others run one, with nothing set up. It knows no CORS of a bucket, but of the
// whole server; it has notifications to destinations that are set up, and encryption where a key is.
var minioFeatures = planeconfig.S3Features{
	planeconfig.S3Lifecycle:         planeconfig.S3Native,
	planeconfig.S3Notifications:     planeconfig.S3Native,
	planeconfig.S3CORS:              planeconfig.S3Absent,
	planeconfig.S3Versioning:        planeconfig.S3Native,
	planeconfig.S3ObjectLock:        planeconfig.S3Native,
	planeconfig.S3Checksums:         planeconfig.S3Native,
	planeconfig.S3PostPolicy:        planeconfig.S3Native,
	planeconfig.S3ConditionalPut:    planeconfig.S3Native,
	planeconfig.S3Tagging:           planeconfig.S3Native,
	planeconfig.S3Encryption:        planeconfig.S3Absent,
	planeconfig.S3PublicAccessBlock: planeconfig.S3Absent,
	planeconfig.S3BucketPolicy:      planeconfig.S3Native,
	planeconfig.S3WholeParts:        planeconfig.S3Native,
}

// minioSays is what MinIO answers, by feature, instead of what is expected of one who has it or has it not.
var minioSays = map[planeconfig.S3Feature]struct {
	code  string
	means planeconfig.S3Support
}{
	// It looked for the destination.
	planeconfig.S3Notifications: {"InvalidArgument", planeconfig.S3Native},
	// It takes the request for one that makes a bucket.
	planeconfig.S3PublicAccessBlock: {"MalformedXML", planeconfig.S3Absent},
}

// s3Subject is a store, the Secret of one who owns a bucket with object lock there, and what the store has.
func s3Subject(t *testing.T) (store *enginetest.S3Store, consumer string, want planeconfig.S3Features) {
	t.Helper()
	store = enginetest.Store(t)
	if !enginetest.Outside() {
		consumer = s3Consumer(t, store, "alice", "secret-of-alice", "alice-1", planeconfig.KeyObjectLock, "true")
		if err := ensureS3(t, s3Binding(t, store), consumer); err != nil {
			t.Fatal(err)
		}
		return store, consumer, planeconfig.ProvisionedS3Features()
	}
	consumer = s3Binding(t, store)
	if err := s3As(t, consumer).MakeBucket(t.Context(), "alice-1", minio.MakeBucketOptions{ObjectLocking: true}); err != nil {
		t.Fatal(err)
	}
	return store, consumer, minioFeatures
}

// TestS3Features has what is said of a store be what it does, for the owner of a bucket.
func TestS3Features(t *testing.T) {
	t.Parallel()
	store, consumer, want := s3Subject(t)
	c, ctx := s3As(t, consumer), t.Context()
	const bucket = "alice-1"
	if err := s3Put(ctx, c, bucket, "there", "text"); err != nil {
		t.Fatal(err)
	}
	rules := lifecycle.NewConfiguration()
	rules.Rules = []lifecycle.Rule{{ID: "a", Status: "Enabled", Expiration: lifecycle.Expiration{Days: 1}, RuleFilter: lifecycle.Filter{Prefix: "a/"}}}
	queue := notification.Configuration{}
	queue.AddQueue(notification.NewConfig(notification.NewArn("aws", "sqs", "us-east-1", "1", "q")))
	labels, err := tags.NewTags(map[string]string{"a": "b"}, true)
	if err != nil {
		t.Fatal(err)
	}
	untilTomorrow, governance := time.Now().Add(24*time.Hour), minio.Governance
	onlyNew := minio.PutObjectOptions{}
	onlyNew.SetMatchETagExcept("*")
	tries := map[planeconfig.S3Feature]func() error{
		planeconfig.S3Lifecycle:     func() error { return c.SetBucketLifecycle(ctx, bucket, rules) },
		planeconfig.S3Notifications: func() error { return c.SetBucketNotification(ctx, bucket, queue) },
		planeconfig.S3CORS: func() error {
			if err := c.SetBucketCors(ctx, bucket, cors.NewConfig([]cors.Rule{{AllowedMethod: []string{"PUT"}, AllowedOrigin: []string{"https://example.com"}}})); err != nil {
				return err
			}
			return errors.Join(preflight(t, store.URI+"/"+bucket+"/x", "https://example.com", http.StatusOK),
				preflight(t, store.URI+"/"+bucket+"/x", "https://example.org", http.StatusForbidden))
		},
		planeconfig.S3Versioning: func() error { return c.EnableVersioning(ctx, bucket) },
		planeconfig.S3ObjectLock: func() error {
			return c.PutObjectRetention(ctx, bucket, "there", minio.PutObjectRetentionOptions{Mode: &governance, RetainUntilDate: &untilTomorrow})
		},
		planeconfig.S3Checksums: func() error {
			wrong := putRaw(t, mustS3(t, consumer), "/"+bucket+"/sum", "text", "X-Amz-Checksum-Crc32", "AAAAAA==")
			right := putRaw(t, mustS3(t, consumer), "/"+bucket+"/sum", "text", "X-Amz-Checksum-Crc32", "O4unxw==")
			return errors.Join(refusedBy(wrong, "BadDigest", "XAmzContentChecksumMismatch"), right)
		},
		planeconfig.S3PostPolicy: func() error { return postTooMuch(t, c, bucket) },
		planeconfig.S3ConditionalPut: func() error {
			_, err := c.PutObject(ctx, bucket, "there", strings.NewReader("text"), 4, onlyNew)
			return refusedBy(err, "PreconditionFailed")
		},
		planeconfig.S3Tagging:    func() error { return c.PutObjectTagging(ctx, bucket, "there", labels, minio.PutObjectTaggingOptions{}) },
		planeconfig.S3Encryption: func() error { return c.SetBucketEncryption(ctx, bucket, sse.NewConfigurationSSES3()) },
		planeconfig.S3PublicAccessBlock: func() error {
			return putRaw(t, mustS3(t, consumer), "/"+bucket+"?publicAccessBlock=",
				`<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls></PublicAccessBlockConfiguration>`)
		},
		planeconfig.S3BucketPolicy: func() error {
			if enginetest.Outside() {
				// Its accounts have policies of their own: that of a bucket is for everybody.
				return c.SetBucketPolicy(ctx, bucket, `{"Version":"2012-10-17","Statement":[`+publicStatement+`]}`)
			}
			return c.SetBucketPolicy(ctx, bucket, ownersPolicy)
		},
		planeconfig.S3WholeParts: func() error { return cutPart(t, c, bucket) },
	}
	got := planeconfig.S3Features{}
	for feature, try := range tries {
		err := try()
		says := minioSays[feature]
		switch code := minio.ToErrorResponse(err).Code; {
		case says.code != "" && enginetest.Outside() && refusedBy(err, says.code) == nil:
			got[feature] = says.means
		case err == nil:
			got[feature] = planeconfig.S3Native
		case code == "NotImplemented" || codeOf(err) == "NotImplemented":
			got[feature] = planeconfig.S3Absent
		default:
			t.Errorf("%s: %v", feature, err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
