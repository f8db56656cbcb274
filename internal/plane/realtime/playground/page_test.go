package playground

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// The page is one document: what it runs is what its policy names, and nothing is fetched for it.
func TestServe(t *testing.T) {
	rec := httptest.NewRecorder()
	Serve(rec, httptest.NewRequest(http.MethodGet, Path, nil))
	body, policy := rec.Body.String(), rec.Header().Get("Content-Security-Policy")
	for _, part := range []string{"<style>" + style + "</style>", "<script>" + script + "</script>"} {
		if strings.Count(body, part) != 1 {
			t.Errorf("the page holds %d times: %.40s…", strings.Count(body, part), part)
		}
	}
	for _, want := range []string{"default-src 'none'", "script-src '" + hash(script) + "'", "style-src '" + hash(style) + "'", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy %q lacks %s", policy, want)
		}
	}
	if found := regexp.MustCompile(`https?://|//[a-z]+\.|unsafe-|innerHTML|localStorage|document\.cookie`).FindString(body + policy); found != "" {
		t.Errorf("the page holds %q", found)
	}
	for name, want := range map[string]string{"Content-Type": "text/html; charset=utf-8", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"} {
		if got := rec.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}
