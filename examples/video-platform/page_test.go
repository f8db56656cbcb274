//go:build browser

package videoplatform

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
	"github.com/trellis-dev/trellis/test/browser/chromium"
)

// pageOrigin is what the manifests let in; the README has the page served there.
const pageOrigin = "http://localhost:8000"

// let pages of an origin in, where the manifests let in their own.
func let(t *testing.T, origin string) func(*planeconfig.Config) {
	t.Helper()
	for file, in := range map[string]func(manifest) []string{
		"bucket.yaml":  func(m manifest) []string { return append(m.Spec.AllowedOrigins, m.Spec.CORS[0].Origins...) },
		"gateway.yaml": func(m manifest) []string { return m.Spec.Auth.AllowedOrigins },
	} {
		all := in(read(t, file))
		if len(all) == 0 || slices.ContainsFunc(all, func(o string) bool { return o != pageOrigin }) {
			t.Errorf("%s lets in %v", file, all)
		}
	}
	return func(c *planeconfig.Config) {
		c.HTTP.AllowedOrigins = []string{origin}
		if c.Blobs != nil {
			c.Blobs.Settings.CORS = []planeconfig.BlobCORS{{
				Name: "page", Origins: []string{origin}, Methods: []string{"GET", "HEAD", "PUT", "POST"}, Headers: []string{"*"}, Expose: []string{"ETag"},
			}}
		}
	}
}

// tab shows the page.
type tab struct {
	*chromium.Tab
	t *testing.T
}

func (p *platform) open(page string) tab {
	t := p.t
	t.Helper()
	chrome, err := chromium.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = chrome.Close() })
	out := tab{chrome.Open(t, page), t}
	t.Cleanup(func() {
		if all := append(out.Failures(), out.Violations()...); len(all) > 0 {
			t.Errorf("errors on the page: %v", all)
		}
	})
	token := func(to *contracttest.Replica, ask map[string]any) string {
		return call[struct{ Token string }](p, to, http.MethodPost, "/v1/tokens", ask).Token
	}
	for name, value := range map[string]string{
		"bucket": p.bucket.URL, "gateway": p.gateway.URL, "owner": owner,
		"bucketToken":  token(p.bucket, map[string]any{"rights": []string{"submit", "read"}, "subject": owner}),
		"gatewayToken": token(p.gateway, map[string]any{"rooms": []string{"user-" + owner + ":*"}, "subject": owner}),
	} {
		field := chromedp.CSS(`[name="` + name + `"]`)
		out.Do(t, chromedp.SetValue(field, value))
	}
	return out
}

// upload a file, and note the bar's places from now on.
func (p tab) upload(file string) {
	p.t.Helper()
	p.Do(p.t, chromedp.SetUploadFiles(chromedp.CSS("[name=file]"), []string{file}))
	chromium.Eval[bool](p.t, p.Tab, `(() => {
		window.places = [];
		const bar = document.querySelector("progress");
		new MutationObserver(() => window.places.push([document.querySelector("#now").textContent.replace(/ \d+ %/, ""), bar.value])).observe(bar, {attributes: true});
		return true;
	})()`)
	p.Do(p.t, chromedp.Click(chromedp.CSS("button")))
}

func (p tab) text(id string) string {
	return chromium.Eval[string](p.t, p.Tab, `document.getElementById("`+id+`").textContent`)
}

// tells waits until the page's log has a step.
func (p tab) tells(step string) {
	p.t.Helper()
	contracttest.Eventually(p.t, "the page to tell of "+step, func() bool { return p.text("problem") != "" || strings.Contains(p.text("log"), step) })
	if got := p.text("problem"); got != "" {
		p.t.Fatalf("the page says %s before it tells of %s: %s", got, step, p.text("log"))
	}
}

// gates are what a worker's job waits at: of all that it says of itself within a second, the queue is told the last.
type gates struct {
	t   *testing.T
	dir string
}

// path has the programs of a worker wait: after the fetch for the gate fetching, after the transcode for transcoding.
func (g gates) path() string {
	g.t.Helper()
	for program, script := range map[string]string{
		"ffprobe": "until [ -e " + g.dir + "/fetching ]; do sleep 0.1; done\nexec %s \"$@\"\n",
		"ffmpeg":  "%s \"$@\" || exit\nuntil [ -e " + g.dir + "/transcoding ]; do sleep 0.1; done\n",
	} {
		found, err := exec.LookPath(program)
		if err != nil {
			g.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(g.dir, program), []byte("#!/bin/sh\n"+fmt.Sprintf(script, found)), 0o700); err != nil {
			g.t.Fatal(err)
		}
	}
	return "PATH=" + g.dir + ":" + os.Getenv("PATH")
}

func (g gates) open(gate string) {
	g.t.Helper()
	contracttest.Write(g.t, filepath.Join(g.dir, gate), "")
}

func (g gates) shut() {
	g.t.Helper()
	for _, gate := range []string{"fetching", "transcoding"} {
		if err := os.RemoveAll(filepath.Join(g.dir, gate)); err != nil {
			g.t.Fatal(err)
		}
	}
}

// TestPage uploads by the page, and follows it to the link: a video in one request, one in parts, and a file that is none.
func TestPage(t *testing.T) {
	t.Parallel()
	page := httptest.NewServer(http.FileServer(http.Dir("page")))
	t.Cleanup(page.Close)
	p := start(t, let(t, page.URL))
	hold := gates{t, t.TempDir()}
	p.work(hold.path())
	t.Cleanup(func() { hold.open("fetching"); hold.open("transcoding") })
	tab := p.open(page.URL)
	for name, options := range map[string][]string{"whole": nil, "in parts": {"-vf", "noise=alls=100:allf=t+u", "-q:v", "2"}} {
		hold.shut()
		tab.upload(clipFile(t, options...))
		tab.tells("fetching")
		hold.open("fetching")
		tab.tells("transcoding")
		hold.open("transcoding")
		for _, step := range []string{"blob.pending", "blob.uploaded", "job.accepted", "job.started", "job.succeeded", "done"} {
			tab.tells(step)
		}
		if got := tab.text("result"); !strings.HasPrefix(got, "clip.mp4, ") {
			t.Errorf("%s: the link is %q", name, got)
		}
		places := chromium.Eval[[][]any](t, tab.Tab, "window.places")
		moves := func(words string) bool {
			return slices.ContainsFunc(places, func(at []any) bool { return at[0] == words && at[1].(float64) > 0 })
		}
		if !moves("uploading") || !moves("fetching") || !moves("transcoding") {
			t.Errorf("%s: the bar went through %v", name, places)
		}
		url := chromium.Eval[string](t, tab.Tab, `document.querySelector("#result a").href`)
		if made := fetch(t, url); len(made) < 1000 || string(made[4:8]) != "ftyp" {
			t.Errorf("%s: the link is to %d bytes, which are no MP4", name, len(made))
		}
	}
	files := call[blobs.Page](p, p.bucket, http.MethodGet, "/v1/files?owner="+owner, nil).Files
	if len(files) != 4 {
		t.Errorf("there are %d files, want two uploads and their results", len(files))
	}

	letter := t.TempDir() + "/letter.mkv"
	contracttest.Write(t, letter, "Dear Ann")
	tab.upload(letter)
	contracttest.Eventually(t, "the page to say that it is no video", func() bool { return strings.Contains(tab.text("problem"), "no video") })
}
