package router

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// found is a key, or the slug of the problem that is in its place.
func found(key string, problem *plane.Problem) string {
	if problem != nil {
		return "!" + strings.TrimPrefix(problem.Type, plane.ProblemBase)
	}
	return key
}

func extract(t testing.TB, cfg planeconfig.ShardKey, r *http.Request, token string) string {
	t.Helper()
	e, err := newExtractor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return found(e.ofRequest(r, token))
}

func TestKeysOfHeaders(t *testing.T) {
	for name, c := range map[string]struct {
		values []string
		want   string
	}{
		"one":            {[]string{"ann"}, "ann"},
		"none":           {nil, "!no-key"},
		"empty":          {[]string{""}, "!no-key"},
		"the same twice": {[]string{"ann", "ann"}, "ann"},
		"two":            {[]string{"ann", "bob"}, "!two-keys"},
		"the longest":    {[]string{strings.Repeat("x", 1024)}, strings.Repeat("x", 1024)},
		"a giant":        {[]string{strings.Repeat("x", 1025)}, "!key-too-long"},
		"a list is one":  {[]string{"ann, bob"}, "ann, bob"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		for _, v := range c.values {
			r.Header.Add("X-Customer", v)
		}
		if got := extract(t, planeconfig.ShardKey{Header: "x-customer"}, r, ""); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestKeysOfQueries(t *testing.T) {
	got, want := map[string]string{}, map[string]string{
		"":                                  "!no-key",
		"id=":                               "!no-key",
		"other=1":                           "!no-key",
		"id=7":                              "7",
		"a=1&id=7&b=2":                      "7",
		"id=7&id=7":                         "7",
		"id=7&id=8":                         "!two-keys",
		"id=7&i%64=8":                       "!two-keys",
		"i%64=a%20b%2Fc%26d":                "a b/c&d",
		"id=a+b":                            "a b",
		"id=%zz":                            "!invalid-key",
		"id=7;id=8":                         "!invalid-key",
		"ID=7":                              "!no-key",
		"id=%E2%82%AC":                      "€",
		"%zz=1&id=7":                        "7",
		"id=&id=7":                          "!two-keys",
		"id=" + strings.Repeat("%41", 1025): "!key-too-long",
	}
	for query := range want {
		r := &http.Request{Header: http.Header{}, URL: httptest.NewRequest(http.MethodGet, "/", nil).URL}
		r.URL.RawQuery = query
		got[query] = extract(t, planeconfig.ShardKey{Query: "id"}, r, "")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestKeysOfCookies(t *testing.T) {
	got, want := map[string]string{}, map[string]string{
		"":                                     "!no-key",
		"other=1":                              "!no-key",
		"session=a":                            "a",
		`session="a"`:                          "a",
		"session=a; session=a":                 "a",
		"session=a; session=b":                 "!two-keys",
		"x=1; session=a; y=2":                  "a",
		"session=":                             "!no-key",
		"session=" + strings.Repeat("x", 1025): "!key-too-long",
	}
	for header := range want {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", header)
		got[header] = extract(t, planeconfig.ShardKey{Cookie: "session"}, r, "")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestKeysOfPaths(t *testing.T) {
	for pattern, paths := range map[string]map[string]string{
		"/counters/{key}": {
			"/counters/a": "a", "/counters/a/": "!no-key", "/counters/a/b": "!no-key", "/counters/": "!no-key", "/counters": "!no-key", "/other/a": "!no-key",
			"/counters/a%2Fb": "a/b", "/c%6Funters/a": "a", "/counters/%20": " ", "/counters/..": "!invalid-path", "/counters/%2e%2e": "!invalid-path",
			"/counters/a..": "a..", "//counters/a": "!no-key",
		},
		"/counters/{key}/":          {"/counters/a/": "a", "/counters/a/b/c": "a", "/counters/a": "!no-key", "/counters//b": "!no-key", "/counters/a/../b/": "!invalid-path", "/counters/a/./": "!invalid-path"},
		"/counters/{key}/{rest...}": {"/counters/a/": "a", "/counters/a/b": "a", "/counters/a": "!no-key"},
		"/counters/{key}/{$}":       {"/counters/a/": "a", "/counters/a/b": "!no-key", "/counters/a": "!no-key"},
		"/t/{key}/orders":           {"/t/a/orders": "a", "/t/a/order": "!no-key", "/t/a/orders/": "!no-key", "/t/a%2Forders/orders": "a/orders"},
		"/{key}/{rest...}":          {"/a/": "a", "/a/b/c": "a", "/": "!no-key"},
		"/{key}":                    {"/a": "a", "/": "!no-key"},
	} {
		for path, want := range paths {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			if got := extract(t, planeconfig.ShardKey{Path: pattern}, r, ""); got != want {
				t.Errorf("%s of %s: %q, want %q", pattern, path, got, want)
			}
		}
	}
}

func TestKeysOfTokens(t *testing.T) {
	token := func(claims string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
	}
	got, want := map[string]string{}, map[string]string{
		token(`{"sub":"x","tenant":"a"}`): "a",
		token(`{"tenant":7}`):             "7",
		token(`{"sub":"x"}`):              "!no-key",
		token(`{"tenant":["a"]}`):         "!invalid-key",
		token(`no JSON`):                  "!no-key",
		"opaque":                          "!no-key",
		"":                                "!no-key",
	}
	for token := range want {
		got[token] = extract(t, planeconfig.ShardKey{JWTClaim: "tenant"}, httptest.NewRequest(http.MethodGet, "/", nil), token)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestKeysOfBodies(t *testing.T) {
	for pointer, bodies := range map[string]map[string]string{
		"/id": {
			`{"id":"a"}`: "a", ` { "x" : {"id":"no"} , "id" : "a" } `: "a", `{"id":"a","id":"a"}`: "!two-keys", `{"id":"a","\u0069d":"b"}`: "!two-keys",
			`{"\u0069d":"a"}`: "a", `{}`: "!no-key", `[]`: "!no-key", `"id"`: "!no-key", `7`: "!no-key", ``: "!invalid-key", `{"id":"a"`: "!invalid-key", `{"id":"a"} x`: "!invalid-key",
			`{"id":""}`: "!no-key", `{"id":null}`: "!no-key", `{"id":{}}`: "!invalid-key", `{"id":[1]}`: "!invalid-key", `{"id":true}`: "true", `{"id":false}`: "false",
			`{"id":7}`: "7", `{"id":-0}`: "0", `{"id":7.0}`: "7", `{"id":70e-1}`: "7", `{"id":0.5}`: "0.5", `{"id":1e21}`: "1e+21", `{"id":1e-7}`: "1e-7", `{"id":123456789012345678901}`: "123456789012345678901",
			`{"id":1e999}`: "!invalid-key", `{"id":"\u20ac\n"}`: "€\n", "{\"id\":\"\xff\"}": "!invalid-key", `{"id":"` + strings.Repeat("x", 1025) + `"}`: "!key-too-long",
			`{"a":"}","b":"\"","c":["{",{"id":1}],"id":"z"}`: "z",
		},
		"/customer/id":   {`{"customer":{"id":"a"}}`: "a", `{"customer":"a"}`: "!no-key", `{"customer":{"id":"a"},"customer":{"id":"b"}}`: "!two-keys", `{"id":"a"}`: "!no-key"},
		"/items/1/sku":   {`{"items":[{"sku":"a"},{"sku":"b"}]}`: "b", `{"items":[{"sku":"a"}]}`: "!no-key", `{"items":[]}`: "!no-key", `{"items":{"1":{"sku":"c"}}}`: "c"},
		"/items/01":      {`{"items":["a","b"]}`: "!no-key"},
		"/items/-":       {`{"items":["a"]}`: "!no-key"},
		"/a~1b/c~0d/e%f": {`{"a/b":{"c~d":{"e%f":"x"}}}`: "x"},
		"/~01":           {`{"~1":"x"}`: "x"},
		"/":              {`{"":"x"}`: "x"},
	} {
		e, err := newExtractor(planeconfig.ShardKey{JSONBody: pointer})
		if err != nil {
			t.Fatal(err)
		}
		for body, want := range bodies {
			if got := found(e.ofBody([]byte(body))); got != want {
				t.Errorf("%s of %s: %q, want %q", pointer, body, got, want)
			}
		}
	}
}

func TestKeysThatCanNotBeConfigured(t *testing.T) {
	for _, cfg := range []planeconfig.ShardKey{
		{Path: "counters/{key}"}, {Path: "/counters"}, {Path: "/{key}/{key}"}, {Path: "/{other}/{key}"}, {Path: "/{rest...}"}, {Path: "/x{key}"},
		{JSONBody: "id"}, {JSONBody: "/a~2"}, {JSONBody: "/a~"},
	} {
		if _, err := newExtractor(cfg); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
}

// FuzzKeys has any request give a key within its bounds or a problem, and the same one again.
func FuzzKeys(f *testing.F) {
	f.Add("/counters/a/b", "id=7&id=8", "session=a", `{"customer":{"id":7.0}}`)
	f.Add("/counters/%2e%2e/", "i%64=%zz;", `session="a"`, `{"customer":{"\u0069d":"\ud800"}}`)
	var all []*extractor
	for _, cfg := range []planeconfig.ShardKey{{Header: "X-Key"}, {Query: "id"}, {Cookie: "session"}, {Path: "/counters/{key}/"}, {JWTClaim: "id"}, {JSONBody: "/customer/id"}, {JSONBody: "/0/a~1b"}} {
		e, err := newExtractor(cfg)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, e)
	}
	f.Fuzz(func(t *testing.T, path, query, header, body string) {
		r, err := http.NewRequest(http.MethodPost, "http://x"+path, nil)
		if err != nil {
			return
		}
		r.URL.RawQuery = query
		r.Header.Set("X-Key", header)
		r.Header.Set("Cookie", header)
		token := "e30." + base64.RawURLEncoding.EncodeToString([]byte(body)) + ".x"
		for _, e := range all {
			look := func() (string, *plane.Problem) {
				if e.inBody() {
					return e.ofBody([]byte(body))
				}
				return e.ofRequest(r, token)
			}
			key, problem := look()
			if problem == nil && (key == "" || len(key) > defaultKeyBytes) || problem != nil && key != "" {
				t.Errorf("%s: %q and %v", e.where(), key, problem)
			}
			if again, _ := look(); again != key {
				t.Errorf("%s: %q, then %q", e.where(), key, again)
			}
		}
	})
}
