package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// s3Member runs the server of an Engine by the command of its plan, with this machine's folder and port in place of
// a pod's.
func s3Member(t *testing.T) *enginetest.S3Store {
	t.Helper()
	return enginetest.S3From(t, func(folder, address string) []string {
		// As the init container does.
		for _, name := range []string{planeconfig.S3ObjectsFolder, planeconfig.S3VersionsFolder, planeconfig.S3MetadataFolder, planeconfig.S3AccountsFolder} {
			if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		var arguments []string
		for _, a := range s3Command()[1:] {
			arguments = append(arguments, strings.NewReplacer("/data/", folder+"/", fmt.Sprintf(":%d", s3Port), address).Replace(a))
		}
		return arguments
	})
}

func s3Client(t *testing.T, store *enginetest.S3Store) *minio.Client {
	t.Helper()
	s, err := planeconfig.ParseS3(store.Secret())
	if err != nil {
		t.Fatal(err)
	}
	return enginetest.S3Client(t, s)
}

// TestS3KeepsWhatItAcknowledged when the process is killed, and when it ends in order: objects, an older version and
// the parts of an upload that goes on.
func TestS3KeepsWhatItAcknowledged(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*enginetest.S3Store){"killed": (*enginetest.S3Store).Kill, "stopped": (*enginetest.S3Store).Stop} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := s3Member(t)
			c, ctx := s3Client(t, store), t.Context()
			core := minio.Core{Client: c}
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			put := func(key, text string) minio.UploadInfo {
				info, err := c.PutObject(ctx, "bucket", key, strings.NewReader(text), int64(len(text)),
					minio.PutObjectOptions{ContentType: "text/x-test", UserMetadata: map[string]string{"k": text}})
				must(err)
				return info
			}
			must(c.MakeBucket(ctx, "bucket", minio.MakeBucketOptions{}))
			must(c.EnableVersioning(ctx, "bucket"))
			older := put("doc", "older")
			put("doc", "newer")
			part := bytes.Repeat([]byte("x"), 5<<20)
			upload, err := core.NewMultipartUpload(ctx, "bucket", "big", minio.PutObjectOptions{})
			must(err)
			first, err := core.PutObjectPart(ctx, "bucket", "big", upload, 1, bytes.NewReader(part), int64(len(part)), minio.PutObjectPartOptions{})
			must(err)

			end(store)
			store.Start()

			read := func(key, version string) string {
				o, err := c.GetObject(ctx, "bucket", key, minio.GetObjectOptions{VersionID: version})
				must(err)
				defer func() { _ = o.Close() }()
				text, err := io.ReadAll(o)
				must(err)
				info, err := o.Stat()
				must(err)
				if info.ContentType != "text/x-test" || info.UserMetadata["K"] != string(text) {
					t.Errorf("the metadata of %s is %q, %v", key, info.ContentType, info.UserMetadata)
				}
				return string(text)
			}
			if got := read("doc", ""); got != "newer" {
				t.Errorf("the object is %q", got)
			}
			if got := read("doc", older.VersionID); got != "older" {
				t.Errorf("the older version is %q", got)
			}
			second, err := core.PutObjectPart(ctx, "bucket", "big", upload, 2, strings.NewReader("end"), 3, minio.PutObjectPartOptions{})
			must(err)
			_, err = core.CompleteMultipartUpload(ctx, "bucket", "big", upload,
				[]minio.CompletePart{{PartNumber: 1, ETag: first.ETag}, {PartNumber: 2, ETag: second.ETag}}, minio.PutObjectOptions{})
			must(err)
			info, err := c.StatObject(ctx, "bucket", "big", minio.StatObjectOptions{})
			must(err)
			if want := int64(len(part) + 3); info.Size != want {
				t.Errorf("the upload that went on has %d bytes, want %d", info.Size, want)
			}
		})
	}
}

// TestS3Probe is the command of the readiness probe: it fails when the volume is lost, of which a server that answers
// says nothing.
func TestS3Probe(t *testing.T) {
	t.Parallel()
	store := s3Member(t)
	probe := s3Server(Request{Owner: owner(makeEngine(func(s *v1alpha1.EngineSpec) { s.Type = v1alpha1.EngineS3 }))}).ReadinessProbe.Exec.Command
	run := func(endpoint string) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, enginetest.S3Program(t), probe[1:]...)
		cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID="+enginetest.S3AccessKeyID, "ROOT_SECRET_ACCESS_KEY="+enginetest.S3SecretAccessKey,
			"ADMIN_ENDPOINT_URL="+endpoint)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	}
	if err := run(store.URI); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(store.Folder, planeconfig.S3ObjectsFolder), filepath.Join(store.Folder, "lost")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(store.Folder, "lost")); err != nil {
		t.Fatal(err)
	}
	if err := run(store.URI); err == nil {
		t.Error("a store that lost its volume is ready")
	}
}
