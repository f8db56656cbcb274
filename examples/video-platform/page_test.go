//go:build browser

package videoplatform

import (
	"net/http"
	"net/http/httptest"
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

// TestPage uploads by the page, and follows it to the link: a video in one request, one in parts, and a file that is none.
func TestPage(t *testing.T) {
	t.Parallel()
	page := httptest.NewServer(http.FileServer(http.Dir("page")))
	t.Cleanup(page.Close)
	p := start(t, let(t, page.URL))
	p.work()
	tab := p.open(page.URL)
	for name, options := range map[string][]string{"whole": nil, "in parts": {"-vf", "noise=alls=100:allf=t+u", "-q:v", "2"}} {
		tab.upload(clipFile(t, options...))
		contracttest.Eventually(t, "the link to the result", func() bool { return tab.text("result") != "" || tab.text("problem") != "" })
		if got := tab.text("problem"); got != "" {
			t.Fatalf("%s: the page says %s", name, got)
		}
		// What is said right before the end may be overtaken by it.
		for _, step := range []string{"blob.pending", "blob.uploaded", "job.accepted", "job.started", "fetching", "transcoding", "done"} {
			if log := tab.text("log"); !strings.Contains(log, step) {
				t.Errorf("%s: the page does not tell of %s: %s", name, step, log)
			}
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
