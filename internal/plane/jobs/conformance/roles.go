package conformance

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

var roleTests = []test{
	{"RolesAndRights", testRoles},
	{"TokensThatAreRefused", testTokensRefused},
	{"OnlyTheBindingMints", testMint},
}

// asked is a request, and the right that it needs; a status beyond 403 says that it was let through.
type asked struct{ method, path, body, right string }

func everyRequest(id string) []asked {
	return []asked{
		{"POST", "/v1/jobs", `{"priority":"none"}`, "submit"},
		{"POST", "/v1/jobs:batch", `{"jobs":[]}`, "submit"},
		{"POST", "/v1/events", `{}`, "submit"},
		{"GET", "/v1/jobs/" + id, ``, "read"},
		{"GET", "/v1/jobs/" + id + "/events?x=1", ``, "read"},
		{"GET", "/v1/jobs", ``, "read"},
		{"GET", "/v1/dead", ``, "read"},
		{"GET", "/v1/stats", ``, "read"},
		{"POST", path(id, "cancel"), ``, "manage"},
		{"POST", path(id, "retry"), ``, "manage"},
		{"DELETE", "/v1/jobs/0198a9e4-0000-7000-8000-000000000000", ``, "manage"},
		{"POST", "/v1/dead:redrive", `{}`, "manage"},
		{"POST", "/v1/queue:pause", ``, "manage"},
		{"POST", "/v1/queue:resume", ``, "manage"},
		{"POST", "/v1/jobs:lease", `{"worker":"w"}`, "work"},
		{"POST", path(id, "heartbeat"), `{"token":99}`, "work"},
		{"POST", path(id, "complete"), `{"token":99}`, "work"},
		{"POST", "/v1/jobs:complete", `{"jobs":[{"id":"` + id + `","token":99}]}`, "work"},
		{"POST", path(id, "fail"), `{"token":99,"error":"x"}`, "work"},
		{"POST", path(id, "release"), `{"token":99}`, "work"},
		{"POST", "/v1/tokens", `{"rights":["read"]}`, "binding"},
	}
}

func body(text string) []byte {
	if text == "" {
		return nil
	}
	return []byte(text)
}

func testRoles(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	binding := c
	holders := map[string][]string{target.Token: {"submit", "read", "manage", "work", "binding"}, target.WorkerToken: {"work"}}
	for _, right := range []string{"submit", "read", "manage", "work"} {
		holders[c.mint("ann", right)] = []string{right}
	}
	for token, rights := range holders {
		c := c.with(token)
		// One that nobody works on: a worker may look at what runs.
		a := binding.submit(jobs.Submission{Delay: "1h"})
		for _, r := range everyRequest(a.ID) {
			ctx, cancel := soon(t.Context())
			got, err := c.do(ctx, r.method, r.path, body(r.body))
			cancel()
			if err != nil {
				t.Fatal(err)
			}
			if allowed := got.status != http.StatusForbidden; allowed != slices.Contains(rights, r.right) {
				t.Errorf("%s %s with the rights %v: status %d", r.method, r.path, rights, got.status)
			}
			if got.status == http.StatusForbidden {
				got.problem(t)
			}
		}
	}
	b := c.submit(jobs.Submission{Type: "mine"})
	worker := c.with(target.WorkerToken)
	worker.must(http.StatusForbidden, http.MethodGet, "/v1/jobs/"+b.ID, nil).problem(t)
	l := worker.leaseOne("mine")
	worker.get(b.ID)
	worker.complete(l, "1")
}

func testTokensRefused(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	forge := func(key any, method jwt.SigningMethod, change func(jwt.MapClaims)) string {
		claims := jwt.MapClaims{"iss": "trellis.dev/plane", "aud": target.Audience, "sub": "mallory", "exp": time.Now().Add(time.Minute).Unix(), "rights": []string{"read"}}
		if change != nil {
			change(claims)
		}
		token, err := jwt.NewWithClaims(method, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	good := forge(target.SigningKey, jwt.SigningMethodHS256, nil)
	c.with(good).must(http.StatusOK, http.MethodGet, "/v1/stats", nil)
	for name, token := range map[string]string{
		"none":                  "",
		"wrong":                 "not-the-token",
		"a part of the binding": target.Token[:len(target.Token)-1],
		"a part of the workers": target.WorkerToken[1:],
		"expired":               forge(target.SigningKey, jwt.SigningMethodHS256, func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Second).Unix() }),
		"for another queue":     forge(target.SigningKey, jwt.SigningMethodHS256, func(c jwt.MapClaims) { c["aud"] = "elsewhere" }),
		"signed by the workers": forge([]byte(target.WorkerToken), jwt.SigningMethodHS256, nil),
		"alg none":              forge(jwt.UnsafeAllowNoneSignatureType, jwt.SigningMethodNone, nil),
		"long":                  strings.Repeat("x", 4096),
	} {
		for _, r := range everyRequest("0198a9e4-0000-7000-8000-000000000000") {
			got := newClient(t, c.base, token).must(http.StatusUnauthorized, r.method, r.path, body(r.body))
			got.problem(t)
			if got.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: %s %s: no WWW-Authenticate", name, r.method, r.path)
			}
		}
	}
	for _, token := range []string{target.Token, target.WorkerToken} {
		r := c.with("").must(http.StatusUnauthorized, http.MethodGet, "/v1/stats?access_token="+token, nil)
		if p := r.problem(t); !strings.Contains(p.Detail, "URL") || strings.Contains(string(r.body), token) {
			t.Errorf("a lasting token in a URL: %s", r.body)
		}
	}
	// The rights of rooms are none here.
	c.with(forge(target.SigningKey, jwt.SigningMethodHS256, func(c jwt.MapClaims) { c["rights"], c["rooms"] = []string{"publish", "subscribe"}, []string{"*"} })).
		must(http.StatusForbidden, http.MethodGet, "/v1/stats", nil)
}

func testMint(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	for _, request := range []string{
		`{}`, `{"rights":[]}`, `{"rights":["publish"]}`, `{"rights":["subscribe"],"rooms":["a"]}`, `{"rights":["read"],"rooms":["a"]}`, `{"rights":["read"],"ttl":"25h"}`,
		`{"rights":["read"],"ttl":"1s"}`, `[]`, `{"rights":"read"}`,
	} {
		c.must(http.StatusBadRequest, http.MethodPost, "/v1/tokens", []byte(request)).problem(t)
	}
	if p := c.with(c.mint("ann", "submit", "read", "manage", "work")).must(http.StatusForbidden, http.MethodPost, "/v1/tokens", []byte(`{"rights":["read"]}`)).problem(t); p.Slug() != "binding-needed" {
		t.Errorf("refused as %s", p.Slug())
	}
}
