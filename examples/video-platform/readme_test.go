package videoplatform

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// cluster stands in for what the README asks of a cluster and of the machine: its Secrets are those of the planes here, and
// what it forwards is there already.
const cluster = `set -eu
kubectl() {
  case "$*" in
  "get secret videos-blob-account -o jsonpath={.data.uri}") printf %s "$STORE" | base64 -w0 ;;
  "get secret videos-blob-binding -o jsonpath={.data.token}" | "get secret screens-rtg-binding -o jsonpath={.data.token}") printf %s "$TOKEN" | base64 -w0 ;;
  "port-forward svc/videos-blob 8081:80" | "port-forward svc/screens-rtg 8082:80" | "port-forward svc/c-s3-eng 7070:7070") ;;
  *) echo "kubectl $*: what is that?" >&2; exit 1 ;;
  esac
}
sudo() { cat; }
python3() { :; }
`

// TestReadme runs its commands, from the upload by hand on: those before want a cluster, and the tests of the cluster apply the
// manifests. Uploads go to the store's own name, which nobody here knows.
func TestReadme(t *testing.T) {
	t.Parallel()
	const store = "c-s3-eng.default.svc:7070"
	p := start(t, func(c *planeconfig.Config) {
		if c.Blobs != nil {
			c.Blobs.PublicEndpoint = "http://" + store
		}
	})
	home := t.TempDir()
	contracttest.Write(t, filepath.Join(home, ".curlrc"), "connect-to = "+store+":"+host(p.objects.URI)+"\n")
	p.work("CURL_HOME=" + home)
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := shellBlock.FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 4 {
		t.Fatalf("the README has %d blocks of commands, want 4", len(blocks))
	}
	// The room is followed last, as that does not end.
	script := strings.NewReplacer("localhost:8081", host(p.bucket.URL), "localhost:8082", host(p.gateway.URL), "localhost:7070", host(p.objects.URI)).
		Replace(cluster + blocks[1][1] + blocks[3][1] + blocks[2][1])
	ctx, cancel := contracttest.Soon(t.Context())
	defer cancel()
	said := follow(ctx, t, script, []string{"STORE=http://" + store, "TOKEN=" + contracttest.BindingToken}, jobs.EventSucceeded)
	for _, want := range []string{`"status":"uploaded"`, "127.0.0.1 c-s3-eng.default.svc\n", "dev.trellis.blob.pending", "dev.trellis.job.started"} {
		if !strings.Contains(said, want) {
			t.Errorf("the commands do not say %s:\n%s", want, said)
		}
	}
	if tokens := regexp.MustCompile(`(?m)^[\w-]+\.[\w-]+\.[\w-]+$`).FindAllString(said, -1); len(tokens) != 2 {
		t.Errorf("the commands show %d tokens for the page, want 2:\n%s", len(tokens), said)
	}
}

func host(url string) string { return strings.TrimPrefix(url, "http://") }

// follow a script until it says something, and all that it said.
func follow(ctx context.Context, t *testing.T, script string, env []string, until string) string {
	t.Helper()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(lines.Text(), until) {
		said.WriteString(lines.Text() + "\n")
	}
	found := strings.Contains(lines.Text(), until)
	_ = cmd.Cancel()
	_ = cmd.Wait()
	if !found {
		t.Fatalf("the commands end before %s:\n%s\n%.4000s", until, said.String(), problems.String())
	}
	return said.String()
}
