package conformance

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

var authTests = []test{
	{"TokensThatAreRefused", testTokensRefused},
	{"RightsAndRooms", testRights},
	{"AnonymousGetsItsGrantOnly", testAnonymous},
	{"OnlyTheBindingMints", testMint},
	{"ConnectionsEndWithTheirToken", testTokenEnds},
	{"SDKsRenewTheirToken", testRefresh},
	{"Origins", testOrigins},
}

// forge signs claims that a client token of the target would have, as changed.
func (g *Target) forge(t *testing.T, method jwt.SigningMethod, key any, change func(jwt.MapClaims)) string {
	t.Helper()
	c := jwt.MapClaims{
		"iss": "trellis.dev/plane", "aud": g.Audience, "sub": "mallory",
		"exp": time.Now().Add(time.Minute).Unix(), "rooms": []string{"*"}, "rights": []string{"subscribe", "publish"},
	}
	if change != nil {
		change(c)
	}
	token, err := jwt.NewWithClaims(method, c).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func testTokensRefused(t *testing.T, start Factory) {
	target := start(t, Options{})
	other := start(t, Options{Configure: func(c *planeconfig.Config) { c.Name = "other" }})
	good := target.forge(t, jwt.SigningMethodHS256, target.SigningKey, nil)
	c := target.client(t)
	c.with(good).must(http.StatusOK, http.MethodGet, messagesPath("a"), nil)

	head, rest, _ := strings.Cut(good, ".")
	for name, token := range map[string]string{
		"none":                    "",
		"wrong":                   "not-the-token",
		"a part of the binding":   target.Token[:len(target.Token)-1],
		"of another gateway":      other.client(t).mint("ann", "subscribe", "*"),
		"expired":                 target.forge(t, jwt.SigningMethodHS256, target.SigningKey, func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Second).Unix() }),
		"without exp":             target.forge(t, jwt.SigningMethodHS256, target.SigningKey, func(c jwt.MapClaims) { delete(c, "exp") }),
		"of another issuer":       target.forge(t, jwt.SigningMethodHS256, target.SigningKey, func(c jwt.MapClaims) { c["iss"] = "elsewhere" }),
		"for another audience":    target.forge(t, jwt.SigningMethodHS256, target.SigningKey, func(c jwt.MapClaims) { c["aud"] = "elsewhere" }),
		"signed with another key": target.forge(t, jwt.SigningMethodHS256, []byte("another key, another key, another"), nil),
		"signed with the binding": target.forge(t, jwt.SigningMethodHS256, []byte(target.Token), nil),
		"of another algorithm":    target.forge(t, jwt.SigningMethodHS512, target.SigningKey, nil),
		"alg none":                target.forge(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil),
		"without its signature":   good[:strings.LastIndexByte(good, '.')+1],
		"with a changed header":   head + "x." + rest,
		"three dots":              "a.b.c",
		"long":                    strings.Repeat("x", 4096),
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, c.base, token)
			for _, request := range []struct{ method, path, body string }{
				{http.MethodGet, messagesPath("a"), ""},
				{http.MethodGet, "/v1/stream?room=a", ""},
				{http.MethodGet, "/v1/ws", ""},
				{http.MethodPost, messagesPath("a"), `{"data":1}`},
				{http.MethodPost, "/v1/tokens", `{"rooms":["a"]}`},
				{http.MethodGet, "/docs", ""},
				{http.MethodGet, "/openapi.json", ""},
			} {
				r := c.must(http.StatusUnauthorized, request.method, request.path, body(request.body))
				r.problem(t)
				if r.header.Get("WWW-Authenticate") == "" {
					t.Errorf("%s %s: no WWW-Authenticate", request.method, request.path)
				}
			}
			if token != "" {
				c.with("").must(http.StatusUnauthorized, http.MethodGet, messagesPath("a", "access_token", token), nil).problem(t)
			}
			ctx, cancel := soon(context.Background())
			defer cancel()
			if s, r, err := c.openSDK(ctx); err == nil && r.Error == nil {
				s.close()
				t.Error("the Centrifuge protocol accepts it")
			}
		})
	}
	r := c.with("").must(http.StatusUnauthorized, http.MethodGet, messagesPath("a", "access_token", target.Token), nil)
	if p := r.problem(t); !strings.Contains(p.Detail, "URL") || strings.Contains(string(r.body), target.Token) {
		t.Errorf("the binding token in a URL: %s", r.body)
	}
	c.with("").must(http.StatusOK, http.MethodGet, messagesPath("a", "access_token", good), nil)
}

// testRSAKey is a key that no gateway knows.
func testRSAKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func body(text string) []byte {
	if text == "" {
		return nil
	}
	return []byte(text)
}

func testMint(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	for _, request := range []string{
		`{"rooms":[]}`, `{}`, `{"rooms":["a"],"rights":["fly"]}`, `{"rooms":["a*b"]}`, `{"rooms":["a"],"ttl":"25h"}`, `{"rooms":["a"],"ttl":"1s"}`,
		`{"rooms":["a"],"ttl":"soon"}`, `{"rooms":["a"],"extra":1}`, `[]`, `{"rooms":[` + repeat(`"a"`, 65) + `]}`,
	} {
		c.must(http.StatusBadRequest, http.MethodPost, "/v1/tokens", []byte(request)).problem(t)
	}
	p := c.with(c.mint("ann", "subscribe,publish", "*")).must(http.StatusForbidden, http.MethodPost, "/v1/tokens", []byte(`{"rooms":["a"]}`)).problem(t)
	if p.Slug() != "binding-needed" {
		t.Errorf("refused as %s", p.Slug())
	}
	r := c.must(http.StatusCreated, http.MethodPost, "/v1/tokens", []byte(`{"rooms":["a"],"ttl":"1h"}`))
	got := decode[struct{ ExpiresAt time.Time }](t, r.body)
	if left := time.Until(got.ExpiresAt); left < 59*time.Minute || left > 61*time.Minute {
		t.Errorf("the token ends in %v", left)
	}
	if r.header.Get("Cache-Control") != "no-store" {
		t.Error("a token may be cached")
	}
}
