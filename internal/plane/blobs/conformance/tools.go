package conformance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// toolTests have programs of others use what the planes sign.
var toolTests = []test{
	{"Curl", testCurl},
	{"CurlIsKilled", testCurlKilled},
	{"CurlSends200MB", testLarge},
	{"S3cmd", testS3cmd},
}

// command is a program with its input, ended with the test.
func command(t *testing.T, in io.Reader, program string, arguments ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is not installed; hack/deps.sh installs it", program)
	}
	ctx, cancel := contracttest.Soon(context.Background())
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, path, arguments...)
	cmd.Stdin = in
	cmd.Dir = t.TempDir()
	return cmd
}

func output(t *testing.T, in io.Reader, program string, arguments ...string) string {
	t.Helper()
	cmd := command(t, in, program, arguments...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", program, err, said.String(), out.String())
	}
	return out.String()
}

// curl sends a request with what it reads as its body.
func curl(r blobs.Request, more ...string) []string {
	out := []string{"--silent", "--show-error", "--fail-with-body", "--globoff", "--request", r.Method, r.URL}
	for name, value := range r.Headers {
		out = append(out, "--header", name+": "+value)
	}
	return append(out, more...)
}

func testCurl(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	body := filepath.Join(t.TempDir(), "body")
	contracttest.Write(t, body, "hello")
	n := textFile(5)
	n.Filename, n.Checksum = "../../evil.txt", sha256Of("hello")
	u := c.begin(n)
	output(t, nil, "curl", curl(*u.Put, "--upload-file", body)...)
	c.complete(u.ID)
	if got := output(t, nil, "curl", curl(c.download(u.ID), "--range", "1-2")...); got != "el" {
		t.Errorf("a range is %q", got)
	}
	// The name of a download leads curl out of its folder no more than a key.
	cmd := command(t, nil, "curl", curl(c.download(u.ID), "--remote-name", "--remote-header-name")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got, err := os.ReadFile(filepath.Join(cmd.Dir, "evil.txt")); err != nil || string(got) != "hello" {
		t.Errorf("downloaded is %q, %v", got, err)
	}
	n.Form = true
	form := c.begin(n)
	var fields []string
	for name, value := range form.Form.Fields {
		fields = append(fields, "--form-string", name+"="+value)
	}
	output(t, nil, "curl", append([]string{"--silent", "--show-error", "--fail-with-body", form.Form.URL}, append(fields, "--form", "file=@"+body)...)...)
	c.complete(form.ID)
	if got := c.read(form.ID); got != "hello" {
		t.Errorf("by a form it is %q", got)
	}
}

// testCurlKilled breaks an upload off under way. It is resumed, even where the store takes what came of
// it for the whole, as versitygw does.
func testCurlKilled(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	body := patterned(PartSize)
	for _, size := range []int{PartSize, PartSize + 5} {
		id := c.begin(textFile(size)).ID
		u := c.resume(id)
		r := u.Put
		if r == nil {
			r = &u.Parts[0].Request
		}
		in, feed := io.Pipe()
		// The length is said and never reached.
		cmd := command(t, in, "curl", curl(*r, "--upload-file", "-", "--header", fmt.Sprint("Content-Length: ", PartSize), "--header", "Transfer-Encoding:")...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(feed, body[:mebi]); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Process.Kill()
		_ = feed.Close()
		_ = cmd.Wait()
		// What the store makes of it, it may do any time.
		contracttest.Eventually(t, "the upload to be done", func() bool {
			u := c.resumeUnacknowledged(u.File)
			if u.Put != nil {
				// What is there already may be refused before all is sent.
				_, _ = c.send(t.Context(), *u.Put, body)
			}
			for _, p := range u.Parts {
				c.curlPart(p, strings.NewReader((body + "12345")[p.Offset:p.Offset+p.Size]))
			}
			r, err := c.do(t.Context(), http.MethodPost, "/v1/uploads/"+id+":complete", c.completion(id))
			if err == nil && r.status == http.StatusConflict {
				c.sent.forget(id, 1)
			}
			return err == nil && r.status == http.StatusOK
		})
		if got := c.read(id); got != (body + "12345")[:size] {
			t.Errorf("the file came back with %d bytes", len(got))
		}
	}
}

// curlPart sends a part, and keeps the ETag of the answer's headers.
func (c *client) curlPart(p blobs.Part, in io.Reader) {
	c.t.Helper()
	said := output(c.t, in, "curl", curl(p.Request, "--upload-file", "-", "--header", fmt.Sprint("Content-Length: ", p.Size), "--header", "Transfer-Encoding:", "--dump-header", "-")...)
	for line := range strings.Lines(said) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), ":"); strings.EqualFold(name, "ETag") {
			c.sent.note(p.Request.URL, strings.TrimSpace(value))
			return
		}
	}
	c.t.Fatalf("the store answers without an ETag: %s", said)
}

// testLarge sends 200 MB in parts, one of them twice, and one only after it was asked which is missing.
func testLarge(t *testing.T, start Factory) {
	const size = 200 * mebi
	c := start(t, section(func(b *planeconfig.Blobs) { b.Uploads.PartSize = 32 * mebi })).client(t)
	block := patterned(mebi + 1)
	bytesAt := func(offset, n int64) io.Reader {
		return io.LimitReader(&repeated{block, int(offset % int64(len(block)))}, n)
	}
	u := c.begin(textFile(size))
	send := func(p blobs.Part) { c.curlPart(p, bytesAt(p.Offset, p.Size)) }
	for _, p := range slices.Delete(slices.Clone(u.Parts), 3, 4) {
		send(p)
	}
	send(u.Parts[1])
	missing := c.resume(u.ID)
	if len(u.Parts) != 7 || len(missing.Parts) != 1 || missing.Parts[0].Number != 4 {
		t.Fatalf("%d parts, of which are missing %+v", len(u.Parts), missing.Parts)
	}
	send(missing.Parts[0])
	c.complete(u.ID)
	want, got := sha256.New(), sha256.New()
	if _, err := io.Copy(want, bytesAt(0, size)); err != nil {
		t.Fatal(err)
	}
	cmd := command(t, nil, "curl", curl(c.download(u.ID))...)
	cmd.Stdout = got
	if err := cmd.Run(); err != nil || !bytes.Equal(want.Sum(nil), got.Sum(nil)) {
		t.Errorf("other bytes came back, %v", err)
	}
}

// repeated reads a block again and again.
type repeated struct {
	block string
	at    int
}

// Read implements io.Reader.
func (r *repeated) Read(into []byte) (int, error) {
	n := copy(into, r.block[r.at:])
	r.at = (r.at + n) % len(r.block)
	return n, nil
}

// testS3cmd reads with an S3 client of others what curl wrote by the planes' requests.
func testS3cmd(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	host := strings.TrimPrefix(target.S3.Endpoint, "http://")
	s3cmd := func(arguments ...string) string {
		t.Helper()
		return output(t, nil, "s3cmd", append([]string{
			"--config=/dev/null", "--no-ssl", "--host=" + host, "--host-bucket=" + host, "--region=" + target.S3.Region,
			"--access_key=" + target.S3.AccessKeyID, "--secret_key=" + target.S3.SecretAccessKey, "--no-progress",
		}, arguments...)...)
	}
	u, parts := c.begin(textFile(5)), c.begin(textFile(PartSize+5))
	output(t, strings.NewReader("hello"), "curl", curl(*u.Put, "--upload-file", "-", "--header", "Content-Length: 5", "--header", "Transfer-Encoding:")...)
	f := c.complete(u.ID)
	in := "s3://" + target.S3.Bucket + "/"
	if got := s3cmd("get", in+f.Key, "-"); got != "hello" {
		t.Errorf("got %q", got)
	}
	if got := s3cmd("info", in+f.Key); !strings.Contains(got, "text/plain") || !strings.Contains(got, f.ETag) {
		t.Errorf("told %s, want %+v", got, f)
	}
	if got := s3cmd("multipart", in); !strings.Contains(got, parts.Key) {
		t.Errorf("uploads in parts are %s, want %s", got, parts.Key)
	}
	if got := s3cmd("ls", "--recursive", in); !strings.Contains(got, f.Key) || strings.Count(got, "s3://") != 1 {
		t.Errorf("the list is %s", got)
	}
	c.delete(f.ID)
	target.awaitGone(t, f.Key)
}
