//go:build browser

package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	. "github.com/onsi/gomega"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const mebi = 1 << 20

// shelf has the engines that buckets of a test share.
type shelf struct {
	database string
	store    *enginetest.S3Store
	client   *s3.Client
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{store: enginetest.S3(t)}
	s.database, _ = enginetest.Postgres(t)
	s.client = s3.New(s3.Options{
		BaseEndpoint: aws.String(s.store.URI), Region: enginetest.S3Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(enginetest.S3AccessKeyID, enginetest.S3SecretAccessKey, ""),
	})
	return s
}

// bucket is a plane of its own, whose page reaches the store through a gate.
type bucket struct {
	*replica
	gate *gate
}

// serve a bucket of that name.
func (s *shelf) serve(t *testing.T, name string, change func(*planeconfig.Blobs)) *bucket {
	t.Helper()
	dir := t.TempDir()
	for key, content := range s.store.Secret() {
		write(t, filepath.Join(dir, key), string(content))
	}
	write(t, filepath.Join(dir, "database"), s.database)
	write(t, filepath.Join(dir, "token"), bindingToken)
	write(t, filepath.Join(dir, "key"), "signing-key-of-the-browser-tests-0123")
	b := &bucket{replica: newReplica(t, "blob-bucket"), gate: openGate(t, s.store.URI)}
	s.make(t, name, "http://"+b.address)
	hour := planeconfig.Duration(time.Hour)
	cfg := planeconfig.Blobs{
		StoreDir: dir, Bucket: name, PublicEndpoint: b.gate.URL, Conditional: true, Playground: true,
		Uploads:   planeconfig.BlobUploads{MaxBytes: 64 * mebi, KeyTemplate: "in/${owner}/${id}${ext}", URLTTL: hour, PendingTimeout: hour, PartSize: 5 * mebi},
		Downloads: planeconfig.BlobDownloads{URLTTL: hour}, Orphans: planeconfig.BlobOrphans{Every: hour, Grace: hour},
		Settings: planeconfig.BlobSettings{Every: hour},
	}
	if change != nil {
		change(&cfg)
	}
	b.configure(planeconfig.Config{
		Kind: "BlobBucket", Namespace: "test", Name: name,
		HTTP:   planeconfig.HTTP{Address: b.address, AdminAddress: b.admin},
		Auth:   planeconfig.Auth{TokenFile: filepath.Join(dir, "token"), SigningKeyFile: filepath.Join(dir, "key")},
		Engine: planeconfig.Engine{Type: "PostgreSQL", URIFile: filepath.Join(dir, "database"), Prefix: name},
		Drain:  planeconfig.Drain{Timeout: planeconfig.Duration(10 * time.Second)},
		Blobs:  &cfg,
	})
	b.start()
	return b
}

// make the bucket in the store, and let pages of an origin in.
func (s *shelf) make(t *testing.T, name, origin string) {
	t.Helper()
	g := NewWithT(t)
	_, err := s.client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(name)})
	g.Expect(err).NotTo(HaveOccurred())
	_, err = s.client.PutBucketCors(t.Context(), &s3.PutBucketCorsInput{Bucket: aws.String(name), CORSConfiguration: &types.CORSConfiguration{
		CORSRules: []types.CORSRule{{
			AllowedOrigins: []string{origin}, AllowedMethods: []string{"GET", "PUT", "POST"}, AllowedHeaders: []string{"*"}, ExposeHeaders: []string{"ETag"},
		}},
	}})
	g.Expect(err).NotTo(HaveOccurred())
}

// token of an owner, with all rights.
func (b *bucket) token(owner string) string {
	b.t.Helper()
	return b.mint(map[string]any{"rights": []string{"submit", "read", "manage"}, "subject": owner})
}

// gate is a proxy in front of the store that counts parts, and can hold or fail them.
type gate struct {
	*httptest.Server
	mu sync.Mutex
	// parts that came, in order; a file that is sent whole counts as part 0.
	parts []int
	// hold has requests for a part wait until the gate is opened, and fail answers the first of each with a status above 0.
	hold   func(part int) bool
	fail   func(part int) int
	opened chan struct{}
}

func openGate(t *testing.T, store string) *gate {
	t.Helper()
	target, err := url.Parse(store)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	g := &gate{opened: make(chan struct{})}
	// The host that is signed is the gate's, so it goes on to the store as it is.
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
	}}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			if status := g.admit(r); status > 0 {
				w.Header().Set("Access-Control-Allow-Origin", "*")
				w.WriteHeader(status)
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		g.open()
		g.Close()
	})
	return g
}

// admit a part, or say the status to answer instead.
func (g *gate) admit(r *http.Request) (status int) {
	part, _ := strconv.Atoi(r.URL.Query().Get("partNumber"))
	g.mu.Lock()
	if g.fail != nil && !slices.Contains(g.parts, part) {
		status = g.fail(part)
	}
	held, opened := g.hold != nil && g.hold(part), g.opened
	g.parts = append(g.parts, part)
	g.mu.Unlock()
	if status > 0 || !held {
		return status
	}
	<-opened
	return http.StatusServiceUnavailable
}

// open the gate for all; what was held is lost.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hold = nil; g.opened != nil {
		close(g.opened)
		g.opened = nil
	}
}

// came returns the parts that came since it was asked last, sorted.
func (g *gate) came() []int {
	g.mu.Lock()
	defer g.mu.Unlock()
	parts := g.parts
	g.parts = nil
	slices.Sort(parts)
	return parts
}

// asked is how often parts came since came.
func (g *gate) asked() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return fmt.Sprint(g.parts)
}
