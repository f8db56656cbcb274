package videoplatform

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

const (
	trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	owner = "ann"
)

// result is what the worker says of a job.
type result struct {
	Source, File string
	Bytes        int64
}

// upload a file as a page does.
func (p *platform) upload(filename string, data []byte) blobs.File {
	p.t.Helper()
	u := call[blobs.Upload](p, p.bucket, http.MethodPost, "/v1/uploads", blobs.NewUpload{
		Filename: filename, ContentType: "video/x-matroska", Size: int64(len(data)), Owner: owner,
	}, "Traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
	if u.Put != nil {
		p.send(*u.Put, data)
	}
	var sent blobs.Completion
	for _, part := range u.Parts {
		etag := p.send(part.Request, data[part.Offset:part.Offset+part.Size])
		sent.Parts = append(sent.Parts, blobs.SentPart{Number: part.Number, ETag: etag})
	}
	return call[blobs.File](p, p.bucket, http.MethodPost, "/v1/uploads/"+u.ID+":complete", sent)
}

// send bytes by a signed request.
func (p *platform) send(signed blobs.Request, data []byte) (etag string) {
	p.t.Helper()
	r := contracttest.Request{Method: signed.Method, URL: signed.URL, Body: data}
	for name, value := range signed.Headers {
		r.Headers = append(r.Headers, name, value)
	}
	status, header, text, err := r.Send(p.t.Context(), http.DefaultClient)
	if err != nil || status != http.StatusOK {
		p.t.Fatalf("the store answers %d %s %v", status, text, err)
	}
	return header.Get("ETag")
}

// room is what was told of an upload so far.
func (p *platform) room(f blobs.File) (out []told) {
	p.t.Helper()
	page := call[struct{ Messages []struct{ Data told } }](p, p.gateway, http.MethodGet, "/v1/rooms/user-"+owner+":"+f.ID+"/messages?limit=100", nil)
	for _, m := range page.Messages {
		out = append(out, m.Data)
	}
	return out
}

// until the room tells of an event, and all that it told.
func (p *platform) until(f blobs.File, event string) (all []told) {
	p.t.Helper()
	contracttest.Eventually(p.t, "the room to tell of "+event, func() bool {
		all = p.room(f)
		return slices.ContainsFunc(all, func(e told) bool { return e.Type == event })
	})
	return all
}

// of a source alone, by the beginning of its types; repeated ones are one.
func of(all []told, prefix string) (out []string) {
	for _, e := range all {
		if strings.HasPrefix(e.Type, prefix) {
			out = append(out, strings.TrimPrefix(e.Type, prefix))
		}
	}
	return slices.Compact(out)
}

// TestOneUpload goes from the upload through the transcode to the room, once, in order and in one trace.
func TestOneUpload(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.work()
	source := p.upload("holidays 1.mkv", clip(t))
	all := p.until(source, jobs.EventSucceeded)
	contracttest.Eventually(t, "the room to tell of two files that are uploaded", func() bool {
		all = p.room(source)
		return len(files(all)) == 2
	})

	// The bucket tells of each file in order, and the queue of the job; between those there is the order of the times.
	if diff := cmp.Diff([]string{"accepted", "started", "progress", "succeeded"}, of(all, "dev.trellis.job.")); diff != "" {
		t.Error(diff)
	}
	slices.SortStableFunc(all, func(a, b told) int { return a.Time.Compare(b.Time) })
	want := []string{"blob.pending", "blob.uploaded", "job.accepted", "job.started", "blob.pending", "blob.uploaded", "job.succeeded"}
	but := slices.DeleteFunc(slices.Clone(all), func(e told) bool { return e.Type == jobs.EventProgress })
	if diff := cmp.Diff(want, of(but, "dev.trellis.")); diff != "" {
		t.Error(diff)
	}
	for _, e := range all {
		if !strings.Contains(e.TraceParent, trace) {
			t.Errorf("%s is of another trace: %q", e.Type, e.TraceParent)
		}
	}
	p.checkResult(source, files(all)[1], all[len(all)-1])
	p.checkNoLoop()
	p.checkTrace()
}

// files that were uploaded, as a room tells of them.
func files(all []told) (out []blobs.File) {
	for _, e := range all {
		var f blobs.File
		if e.Type == blobs.EventUploaded && json.Unmarshal(e.Data, &f) == nil {
			out = append(out, f)
		}
	}
	return out
}

// checkResult fetches what a page would link to.
func (p *platform) checkResult(source, f blobs.File, done told) {
	t := p.t
	t.Helper()
	job := call[jobs.Job](p, p.queue, http.MethodGet, "/v1/jobs/"+contracttest.Decode[jobs.Job](t, done.Data).ID, nil)
	if job.Result == nil {
		t.Fatalf("the job is %+v", job)
	}
	if diff := cmp.Diff(result{Source: source.ID, File: f.ID, Bytes: f.Size}, contracttest.Decode[result](t, job.Result.Value)); diff != "" {
		t.Error(diff)
	}
	want := blobs.File{Status: blobs.StatusUploaded, Filename: "holidays 1.mp4", ContentType: "video/mp4", Owner: owner,
		Metadata: map[string]string{"source": source.ID}}
	got := blobs.File{Status: f.Status, Filename: f.Filename, ContentType: f.ContentType, Owner: f.Owner, Metadata: f.Metadata}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	file := filepath.Join(t.TempDir(), "result.mp4")
	data := fetch(t, call[blobs.Request](p, p.bucket, http.MethodPost, "/v1/files/"+f.ID+":download", nil).URL)
	contracttest.Write(t, file, string(data))
	streams := run(t, "ffprobe", "-v", "error", "-show_entries", "stream=codec_name,height", "-of", "csv=p=0", file)
	if diff := cmp.Diff([]string{"h264,360", "aac"}, strings.Fields(streams)); diff != "" {
		t.Error(diff)
	}
}

// passedOver is the count of events that were no jobs.
var passedOver = regexp.MustCompile(`(?m)^trellis_sink_filtered_total\{.*sink="transcode".*\} 1$`)

// checkNoLoop waits until the bucket has passed over the result's own event, and finds one job.
func (p *platform) checkNoLoop() {
	p.t.Helper()
	contracttest.Eventually(p.t, "the result to be no job", func() bool {
		resp, err := http.Get(p.bucket.Admin + "/metrics")
		if err != nil {
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		var text bytes.Buffer
		_, err = text.ReadFrom(resp.Body)
		return err == nil && passedOver.Match(text.Bytes())
	})
	if n := len(p.jobs()); n != 1 {
		p.t.Errorf("there are %d jobs", n)
	}
}

func (p *platform) jobs() []jobs.Job {
	p.t.Helper()
	return call[struct{ Jobs []jobs.Job }](p, p.queue, http.MethodGet, "/v1/jobs", nil).Jobs
}

// checkTrace asks each plane for spans of the upload's trace: where it began, and where each of the others took its events.
func (p *platform) checkTrace() {
	p.t.Helper()
	for _, at := range []struct {
		kind, path string
		least      int
	}{
		{"BlobBucket", "/v1/uploads", 2}, // the upload and, by the worker, the result's
		{"JobQueue", planeconfig.EventsPath, 1},
		{"RealtimeGateway", planeconfig.EventsPath, 8},
	} {
		contracttest.Eventually(p.t, "the spans of "+at.kind, func() bool { return p.traces.count(at.kind, at.path)[trace] >= at.least })
		if got := p.traces.count(at.kind, at.path); len(got) != 1 {
			p.t.Errorf("%s %s has several traces: %v", at.kind, at.path, got)
		}
	}
}

// TestNoVideo is dead at once: another attempt would not make it one.
func TestNoVideo(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.work()
	all := p.until(p.upload("letter.mkv", []byte("Dear Ann")), jobs.EventDead)
	job := contracttest.Decode[jobs.Job](t, all[len(all)-1].Data)
	if job.Attempt != 1 || !strings.Contains(job.Error, "no video") {
		t.Errorf("the job is %+v", job)
	}
}

// attempt runs the worker's script once, as the runner does, for what it says of the job. Its folder is left for a look.
func (p *platform) attempt(source blobs.File, number int, env ...string) (dir string, out result, err error) {
	p.t.Helper()
	dir = p.t.TempDir()
	contracttest.Write(p.t, filepath.Join(dir, "payload"), string(contracttest.Encode(source)))
	command := read(p.t, "queue.yaml").Spec.Worker.Exec.Command
	cmd := exec.CommandContext(p.t.Context(), command[0], command[1:]...)
	cmd.Env = append(p.environment(), "TRELLIS_JOB_ID=0195", "TRELLIS_JOB_DIR="+dir, "TRELLIS_PAYLOAD_FILE="+filepath.Join(dir, "payload"),
		"TRELLIS_PROGRESS_FILE=/dev/null", fmt.Sprint("TRELLIS_JOB_ATTEMPT=", number))
	cmd.Env = append(cmd.Env, env...)
	var said strings.Builder
	cmd.Stderr = &said
	text, err := cmd.Output()
	if err != nil {
		return dir, out, fmt.Errorf("%w: %s", err, said.String())
	}
	return dir, contracttest.Decode[result](p.t, text), nil
}

// onlyResult wants the owner to have the source and one file more.
func (p *platform) onlyResult() {
	p.t.Helper()
	if all := call[blobs.Page](p, p.bucket, http.MethodGet, "/v1/files?owner="+owner, nil).Files; len(all) != 2 {
		p.t.Errorf("there are %d files", len(all))
	}
}

// TestAnotherAttempt makes the same result: what was there before is not uploaded again.
func TestAnotherAttempt(t *testing.T) {
	t.Parallel()
	p := start(t)
	source := p.upload("clip.mkv", clip(t))
	_, first, err := p.attempt(source, 1)
	if err != nil {
		t.Fatal(err)
	}
	_, second, err := p.attempt(source, 2)
	if err != nil || first != second {
		t.Errorf("the attempts made %+v and %+v, %v", first, second, err)
	}
	p.onlyResult()
}

// TestResultOfParts is one that is too large for one request. An attempt ends after its first part; the next one is told which
// parts it has to say, and sends them again.
func TestResultOfParts(t *testing.T) {
	t.Parallel()
	p := start(t)
	// Noise is what no encoder makes small.
	source := p.upload("noise.mkv", clip(t, "-vf", "loop=loop=2:size=50:start=0,noise=alls=100:allf=t+u", "-q:v", "5"))
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Fatal(err)
	}
	shims := t.TempDir()
	shim := `#!/bin/sh
case "$*" in *"--upload-file part "*) [ ! -e ` + shims + `/sent ] || exit 56; : >` + shims + `/sent ;; esac
exec ` + curl + ` "$@"
`
	if err := os.WriteFile(filepath.Join(shims, "curl"), []byte(shim), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.attempt(source, 1, "PATH="+shims+":"+os.Getenv("PATH")); err == nil {
		t.Fatal("an attempt whose second part is lost succeeds")
	}
	dir, out, err := p.attempt(source, 2)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(filepath.Join(dir, "again")); err != nil || strings.TrimSpace(string(again)) != "[\n  1\n]" {
		t.Errorf("the bucket asks for the parts %s again, %v", again, err)
	}
	f := call[blobs.File](p, p.bucket, http.MethodGet, "/v1/files/"+out.File, nil)
	made, err := os.ReadFile(filepath.Join(dir, "result.mp4"))
	if err != nil || f.Status != blobs.StatusUploaded || f.Size != int64(len(made)) {
		t.Errorf("the file is %+v, and the result has %d bytes, %v", f, len(made), err)
	}
	if got := fetch(t, call[blobs.Request](p, p.bucket, http.MethodPost, "/v1/files/"+out.File+":download", nil).URL); !bytes.Equal(got, made) {
		t.Errorf("the store has %d bytes, which are not those of the result", len(got))
	}
	p.onlyResult()
}
