package playground

import (
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const store = "https://store.example.com:9000"

func get(t *testing.T, p *Page, at string) *httptest.ResponseRecorder {
	t.Helper()
	rec := httptest.NewRecorder()
	p.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, at, nil))
	if rec.Code != http.StatusOK {
		t.Fatalf("%s: %d", at, rec.Code)
	}
	return rec
}

// What the page runs is its own, and what it talks to its own host and the store.
func TestServe(t *testing.T) {
	p := New(store, func() Settings {
		return Settings{Checksum: "SHA256", PartBytes: 5, MaxBytes: 7, ContentTypes: []string{"text/*"}}
	})
	for _, at := range p.Paths() {
		rec := get(t, p, at)
		for name, want := range map[string]string{"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"} {
			if got := rec.Header().Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", at, name, got, want)
			}
		}
		if rec.Header().Get("Content-Type") == "" {
			t.Errorf("%s has no media type", at)
		}
		policy := rec.Header().Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self' " + store, "frame-ancestors 'none'", "trusted-types 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy %q lacks %s", at, policy, want)
			}
		}
		if found := regexp.MustCompile(`https?://|//[a-z]+\.|unsafe-|innerHTML|document\.cookie|\sstyle=|\son[a-z]+=|<script>|<style`).FindString(rec.Body.String()); found != "" {
			t.Errorf("%s holds %q", at, found)
		}
	}
	want := `{"checksum":"SHA256","partBytes":5,"maxBytes":7,"contentTypes":["text/*"]}`
	if diff := cmp.Diff(want, get(t, p, Assets+settingsFile).Body.String()); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

// Every asset and module that is named is served, from wherever the page is.
func TestAssets(t *testing.T) {
	p := New(store, func() Settings { return Settings{} })
	served := map[string]bool{}
	for _, at := range p.Paths() {
		served[at] = true
	}
	for _, at := range p.Paths() {
		body := get(t, p, at).Body.String()
		for _, m := range regexp.MustCompile(`(?:src|href|from)[= ]"([^"]+)"`).FindAllStringSubmatch(body, -1) {
			if !served[path.Join(path.Dir(at), m[1])] {
				t.Errorf("%s names %s, which is not served", at, m[1])
			}
			if strings.HasPrefix(m[1], "/") {
				t.Errorf("%s names %s: behind a path of an Ingress it is not there", at, m[1])
			}
		}
	}
}

// What is no part of the page is not there.
func TestUnknown(t *testing.T) {
	rec := httptest.NewRecorder()
	New(store, nil).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, Assets+"page.go", nil))
	if rec.Code != http.StatusNotFound {
		t.Errorf("got %d", rec.Code)
	}
}
