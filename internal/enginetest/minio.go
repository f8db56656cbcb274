package enginetest

import (
	"fmt"
	"net/http"
	"os"
	"testing"
)

// StoreVariable of the environment says which store Store starts: minio, or nothing for that of an Engine.
const StoreVariable = "TRELLIS_TEST_STORE"

// minioStranger lists the buckets with a key that nobody has. MinIO calls itself healthy before it knows its keys, and
// refuses this once it does.
const minioStranger = "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=nobody%2F20260101%2Fus-east-1%2Fs3%2Faws4_request" +
	"&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=0"

// Store is the store that the environment asks for, so that the same tests run against that of an Engine and against
// one that others run; `make test-s3-minio` asks for the latter.
func Store(t testing.TB) *S3Store {
	t.Helper()
	switch which := os.Getenv(StoreVariable); which {
	case "":
		return S3(t)
	case "minio":
		return MinIO(t)
	default:
		t.Fatalf("%s is %q, want minio or nothing", StoreVariable, which)
		return nil
	}
}

// Outside is true where Store is one that others run, which knows nothing of an Engine's accounts.
func Outside() bool { return os.Getenv(StoreVariable) != "" }

// MinIO starts a store as others run one: of one drive, with its notifications and its lifecycle. It answers to the
// same key as S3. What it acknowledged survives Kill.
func MinIO(t testing.TB) *S3Store {
	t.Helper()
	address := fmt.Sprintf("%s:%d", s3Host, Port(t, s3Host))
	s := &S3Store{
		t: t, URI: "http://" + address, Folder: t.TempDir(), program: MinIOProgram(t), health: minioStranger, ready: http.StatusForbidden,
		env: []string{
			"MINIO_ROOT_USER=" + S3AccessKeyID, "MINIO_ROOT_PASSWORD=" + S3SecretAccessKey, "MINIO_SITE_REGION=" + S3Region,
			// It is to share a disk, to say nothing of itself to others, and to show no console.
			"MINIO_CI_CD=1", "MINIO_UPDATE=off", "MINIO_BROWSER=off",
			// It looks for what its lifecycle ends every second.
			"MINIO_SCANNER_SPEED=fastest",
		},
	}
	s.arguments = []string{"server", "--quiet", "--address=" + address, s.Folder}
	s.run()
	return s
}
