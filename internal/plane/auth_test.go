package plane

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	testToken = "the-binding-token"
	testKey   = "the-signing-key-of-32-characters"
)

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newAuth(t *testing.T, change func(*planeconfig.Auth)) *Authenticator {
	t.Helper()
	cfg := planeconfig.Auth{TokenFile: writeFile(t, "token", testToken+"\n"), SigningKeyFile: writeFile(t, "key", testKey)}
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	a, err := NewAuthenticator(ctx, cfg, "Kind/ns/name", time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func sign(t *testing.T, method jwt.SigningMethod, key any, kid string, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	if kid != "" {
		token.Header["kid"] = kid
	}
	out, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func outsideClaims(change func(jwt.MapClaims)) jwt.MapClaims {
	c := jwt.MapClaims{"iss": "https://issuer", "aud": "app", "sub": "ann", "exp": time.Now().Add(time.Hour).Unix(), "rooms": []string{"a"}, "rights": []string{"subscribe"}}
	if change != nil {
		change(c)
	}
	return c
}

func TestMintedTokensRoundTrip(t *testing.T) {
	a := newAuth(t, nil)
	grant := planeconfig.Grant{Rooms: []string{"a", "b*"}, Rights: []string{"subscribe"}}
	token, expires, err := a.minted.mint("ann", grant, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	id, problem := a.Token(context.Background(), token)
	if problem != nil {
		t.Fatal(problem)
	}
	if diff := cmp.Diff(Identity{Subject: "ann", Grant: Grant{Grant: grant}, ExpiresAt: expires}, id); diff != "" {
		t.Errorf("identity (-want +got):\n%s", diff)
	}
}

func TestOutsideSecret(t *testing.T) {
	const secret = "the secret of the outside issuer"
	a := newAuth(t, func(c *planeconfig.Auth) {
		c.JWT = &planeconfig.JWT{SecretFile: writeFile(t, "secret", secret), Issuer: "https://issuer", Audience: "app"}
	})
	rsaKey := rsaKey(t)
	for name, c := range map[string]struct {
		token string
		ok    bool
	}{
		"HS256":             {sign(t, jwt.SigningMethodHS256, []byte(secret), "", outsideClaims(nil)), true},
		"HS512":             {sign(t, jwt.SigningMethodHS512, []byte(secret), "", outsideClaims(nil)), true},
		"RS256":             {sign(t, jwt.SigningMethodRS256, rsaKey, "", outsideClaims(nil)), false},
		"wrong key":         {sign(t, jwt.SigningMethodHS256, []byte("x"), "", outsideClaims(nil)), false},
		"our signing key":   {sign(t, jwt.SigningMethodHS256, []byte(testKey), "", outsideClaims(nil)), false},
		"wrong issuer":      {sign(t, jwt.SigningMethodHS256, []byte(secret), "", outsideClaims(func(c jwt.MapClaims) { c["iss"] = "other" })), false},
		"our issuer":        {sign(t, jwt.SigningMethodHS256, []byte(secret), "", outsideClaims(func(c jwt.MapClaims) { c["iss"] = MintedIssuer })), false},
		"wrong audience":    {sign(t, jwt.SigningMethodHS256, []byte(secret), "", outsideClaims(func(c jwt.MapClaims) { c["aud"] = "other" })), false},
		"no expiry":         {sign(t, jwt.SigningMethodHS256, []byte(secret), "", outsideClaims(func(c jwt.MapClaims) { delete(c, "exp") })), false},
		"expired":           {sign(t, jwt.SigningMethodHS256, []byte(secret), "", outsideClaims(func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Minute).Unix() })), false},
		"not valid yet":     {sign(t, jwt.SigningMethodHS256, []byte(secret), "", outsideClaims(func(c jwt.MapClaims) { c["nbf"] = time.Now().Add(time.Hour).Unix() })), false},
		"a list for issuer": {sign(t, jwt.SigningMethodHS256, []byte(secret), "", outsideClaims(func(c jwt.MapClaims) { c["iss"] = []string{"https://issuer"} })), false},
	} {
		_, problem := a.Token(context.Background(), c.token)
		if (problem == nil) != c.ok {
			t.Errorf("%s: %v, want accepted %v", name, problem, c.ok)
		}
	}
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// jwks serves public keys, or 503 while down.
type jwks struct {
	*httptest.Server
	down atomic.Bool
	// fetched counts the requests.
	fetched atomic.Int64
	keys    atomic.Pointer[[]map[string]string]
}

func newJWKS(t *testing.T) *jwks {
	j := &jwks{}
	j.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		j.fetched.Add(1)
		if j.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": *j.keys.Load()})
	}))
	j.keys.Store(&[]map[string]string{})
	t.Cleanup(func() {
		j.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return j
}

func (j *jwks) serve(keys ...map[string]string) { j.keys.Store(&keys) }

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func rsaJWK(kid string, key *rsa.PublicKey) map[string]string {
	return map[string]string{"kty": "RSA", "kid": kid, "use": "sig", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())}
}

func ecJWK(t *testing.T, kid string, key *ecdsa.PublicKey) map[string]string {
	t.Helper()
	// The uncompressed form: one byte, and both coordinates.
	point, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "x": b64(point[1:33]), "y": b64(point[33:])}
}

func TestJWKS(t *testing.T) {
	server := newJWKS(t)
	one, two := rsaKey(t), rsaKey(t)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	server.serve(rsaJWK("one", &one.PublicKey), ecJWK(t, "ec", &ec.PublicKey))
	a := newAuth(t, func(c *planeconfig.Auth) { c.JWT = &planeconfig.JWT{JWKSURL: server.URL, Issuer: "https://issuer"} })
	pem := []byte(b64(one.N.Bytes()))
	for name, c := range map[string]struct {
		token string
		ok    bool
	}{
		"RS256":                          {sign(t, jwt.SigningMethodRS256, one, "one", outsideClaims(nil)), true},
		"PS512":                          {sign(t, jwt.SigningMethodPS512, one, "one", outsideClaims(nil)), true},
		"ES256":                          {sign(t, jwt.SigningMethodES256, ec, "ec", outsideClaims(nil)), true},
		"without a key id":               {sign(t, jwt.SigningMethodES256, ec, "", outsideClaims(nil)), true},
		"the other key's id":             {sign(t, jwt.SigningMethodRS256, one, "ec", outsideClaims(nil)), false},
		"a key that is not served":       {sign(t, jwt.SigningMethodRS256, two, "one", outsideClaims(nil)), false},
		"HS256 with the public key":      {sign(t, jwt.SigningMethodHS256, pem, "one", outsideClaims(nil)), false},
		"none":                           {sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "one", outsideClaims(nil)), false},
		"our issuer with the issuer key": {sign(t, jwt.SigningMethodRS256, one, "one", outsideClaims(func(c jwt.MapClaims) { c["iss"] = MintedIssuer })), false},
	} {
		_, problem := a.Token(context.Background(), c.token)
		if (problem == nil) != c.ok {
			t.Errorf("%s: %v, want accepted %v", name, problem, c.ok)
		}
	}
	// A key that was added is fetched when a token first names it.
	server.serve(rsaJWK("one", &one.PublicKey), rsaJWK("two", &two.PublicKey))
	if _, problem := a.Token(context.Background(), sign(t, jwt.SigningMethodRS256, two, "two", outsideClaims(nil))); problem != nil {
		t.Errorf("a new key: %v", problem)
	}
}

// TestJWKSRotation takes a key away and the issuer down, and has a stranger ask
// for keys that there are not.
func TestJWKSRotation(t *testing.T) {
	server := newJWKS(t)
	one, two := rsaKey(t), rsaKey(t)
	server.serve(rsaJWK("one", &one.PublicKey))
	a := newAuth(t, func(c *planeconfig.Auth) { c.JWT = &planeconfig.JWT{JWKSURL: server.URL, Issuer: "https://issuer"} })
	accepts := func(when string, key *rsa.PrivateKey, kid string, want bool) {
		t.Helper()
		_, problem := a.Token(context.Background(), sign(t, jwt.SigningMethodRS256, key, kid, outsideClaims(nil)))
		if (problem == nil) != want {
			t.Errorf("%s: key %s: %v, want accepted %v", when, kid, problem, want)
		}
	}
	accepts("at first", one, "one", true)
	server.serve(rsaJWK("two", &two.PublicKey))
	accepts("as long as the set is not fetched again", one, "one", true)
	accepts("once a token names a new key", two, "two", true)
	accepts("then the old one is gone", one, "one", false)
	server.down.Store(true)
	accepts("while the issuer is down", two, "two", true)
	before := server.fetched.Load()
	for i := range 20 {
		accepts("of a stranger", one, fmt.Sprint("made up ", i), false)
	}
	if n := server.fetched.Load() - before; n > 3 {
		t.Errorf("20 tokens with keys that there are not had the set fetched %d times", n)
	}
	accepts("after all that", two, "two", true)
}

// TestJWKSTooLarge is given a set without an end.
func TestJWKSTooLarge(t *testing.T) {
	var sent atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"keys":[`))
		chunk := []byte(strings.Repeat(`{"kty":"oct","k":"AAAA"},`, 1000))
		for sent.Load() < 64<<20 {
			n, err := w.Write(chunk)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}))
	t.Cleanup(func() {
		server.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	a := newAuth(t, func(c *planeconfig.Auth) { c.JWT = &planeconfig.JWT{JWKSURL: server.URL} })
	if _, problem := a.Token(context.Background(), sign(t, jwt.SigningMethodRS256, rsaKey(t), "one", outsideClaims(nil))); problem == nil || problem.Status != http.StatusServiceUnavailable {
		t.Errorf("without keys: %v", problem)
	}
	if n := sent.Load(); n >= 64<<20 {
		t.Errorf("%d bytes of keys were read", n)
	}
}

func TestJWKSDownAtStart(t *testing.T) {
	server := newJWKS(t)
	server.down.Store(true)
	key := rsaKey(t)
	a := newAuth(t, func(c *planeconfig.Auth) { c.JWT = &planeconfig.JWT{JWKSURL: server.URL, Issuer: "https://issuer"} })
	token := sign(t, jwt.SigningMethodRS256, key, "one", outsideClaims(nil))
	_, problem := a.Token(context.Background(), token)
	if problem == nil || problem.Status != http.StatusServiceUnavailable || problem.RetryAfter == 0 {
		t.Fatalf("while the keys are not there: %v, want 503 with Retry-After", problem)
	}
	if _, problem := a.Token(context.Background(), testToken); problem != nil {
		t.Errorf("the binding token needs no keys: %v", problem)
	}
	server.serve(rsaJWK("one", &key.PublicKey))
	server.down.Store(false)
	if _, problem := a.Token(context.Background(), token); problem != nil {
		t.Errorf("once the keys are there: %v", problem)
	}
}

func TestRequestTakesTokensFromWhereTheyMayBe(t *testing.T) {
	a := newAuth(t, nil)
	client, _, err := a.minted.mint("ann", planeconfig.Grant{}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		header, query string
		status        int
	}{
		"binding in the header":               {"Bearer " + testToken, "", 0},
		"scheme in lower case":                {"bearer " + testToken, "", 0},
		"client token in the header":          {"Bearer " + client, "", 0},
		"client token in the URL":             {"", client, 0},
		"binding in the URL":                  {"", testToken, 401},
		"nothing":                             {"", "", 401},
		"basic":                               {"Basic " + testToken, "", 401},
		"no scheme":                           {testToken, "", 401},
		"empty bearer":                        {"Bearer ", "", 401},
		"a good URL does not mend a header":   {"Bearer wrong", client, 401},
		"a good header goes before a bad URL": {"Bearer " + client, "wrong", 0},
	} {
		r := httptest.NewRequest(http.MethodGet, "/v1/x?keep=1", nil)
		if c.query != "" {
			r = httptest.NewRequest(http.MethodGet, "/v1/x?keep=1&access_token="+c.query, nil)
		}
		if c.header != "" {
			r.Header.Set("Authorization", c.header)
		}
		clean, _, problem := a.Request(r)
		status := 0
		if problem != nil {
			status = problem.Status
		}
		if status != c.status {
			t.Errorf("%s: status %d, want %d", name, status, c.status)
		}
		if clean.URL.RawQuery != "keep=1" || clean.RequestURI != "/v1/x?keep=1" {
			t.Errorf("%s: the URL that handlers see is %s", name, clean.RequestURI)
		}
	}
}

func TestGrantAllows(t *testing.T) {
	g := Grant{Grant: planeconfig.Grant{Rooms: []string{"one", "many.*"}, Rights: []string{"subscribe"}}}
	for _, c := range []struct {
		right, room string
		want        bool
	}{
		{"subscribe", "one", true}, {"subscribe", "one.", false}, {"subscribe", "many.x", true}, {"subscribe", "many", false},
		{"publish", "one", false}, {"", "one", false}, {"subscribe", "many.*", true}, {"subscribe", "", false},
	} {
		if got := g.Allows(c.right, c.room); got != c.want {
			t.Errorf("%s in %q: %v, want %v", c.right, c.room, got, c.want)
		}
	}
	if (Grant{}).Allows("subscribe", "a") || !(Grant{All: true}).Allows("publish", "a") {
		t.Error("no grant allows something, or the binding's does not")
	}
}

// TestSinksOfOtherNamespaces may send events, and nothing else, for as long as the binding's token stands.
func TestSinksOfOtherNamespaces(t *testing.T) {
	a := newAuth(t, nil)
	token := planeconfig.SinkToken([]byte(testToken), "apps")
	id, problem := a.Token(t.Context(), token)
	if problem != nil || !id.Sink || id.Binding || id.Grant.All {
		t.Fatalf("%+v, %v", id, problem)
	}
	for right, want := range map[string]bool{RightPublish: true, RightSubscribe: false, RightPresence: false} {
		if got := id.Grant.Allows(right, "any"); got != want {
			t.Errorf("%s: %v", right, got)
		}
	}
	for right, want := range map[string]bool{RightSubmit: true, RightRead: false, RightManage: false, RightWork: false} {
		if got := id.Grant.Has(right); got != want {
			t.Errorf("%s: %v", right, got)
		}
	}
	if NeedBinding(WithIdentity(t.Context(), id)) == nil {
		t.Error("it may make tokens")
	}
	for _, other := range []string{
		planeconfig.SinkToken([]byte("another"), "apps"), strings.Replace(token, "apps", "app2", 1), token + "x", strings.TrimSuffix(token, token[len(token)-1:]), "sink~~",
	} {
		if _, problem := a.Token(t.Context(), other); problem == nil {
			t.Errorf("%q was accepted", other)
		}
	}
}
