package conformance

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
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

func testRights(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	reader, writer := c.mint("ann", "subscribe", "chat.*", "one"), c.mint("bob", "publish", "chat.*")
	for _, step := range []struct {
		token, right, room string
		want               bool
	}{
		{reader, "subscribe", "chat.1", true},
		{reader, "subscribe", "chat.", true},
		{reader, "subscribe", "one", true},
		{reader, "subscribe", "one2", false},
		{reader, "subscribe", "chat", false},
		{reader, "subscribe", "other", false},
		{reader, "publish", "chat.1", false},
		{writer, "publish", "chat.1", true},
		{writer, "publish", "other", false},
		{writer, "subscribe", "chat.1", false},
	} {
		ways := map[string]bool{}
		c := c.with(step.token)
		ctx, cancel := soon(context.Background())
		if step.right == "subscribe" {
			ways["poll"] = c.status(ctx, http.MethodGet, messagesPath(step.room), "") == http.StatusOK
			ways["long poll"] = c.status(ctx, http.MethodGet, messagesPath(step.room, "wait", "1ms"), "") == http.StatusOK
			s, _, err := c.openEvents(ctx, []string{step.room}, "", "")
			ways["stream"] = err == nil && s != nil
			if s != nil {
				s.close()
			}
		} else {
			ways["post"] = c.status(ctx, http.MethodPost, messagesPath(step.room), `{"data":1}`) == http.StatusCreated
		}
		ways["socket"] = c.socketAllows(ctx, step.right, step.room)
		ways["sdk"] = c.sdkAllows(ctx, step.right, step.room)
		cancel()
		for way, got := range ways {
			if got != step.want {
				t.Errorf("%s in %q by %s: allowed %v, want %v", step.right, step.room, way, got, step.want)
			}
		}
	}
	// One room of several that is not allowed refuses the stream.
	c.with(reader).must(http.StatusForbidden, http.MethodGet, "/v1/stream?room=one&room=other", nil)
}

func (c *client) status(ctx context.Context, method, path, text string) int {
	c.t.Helper()
	r, err := c.do(ctx, method, path, body(text))
	if err != nil {
		c.t.Fatal(err)
	}
	return r.status
}

func (c *client) socketAllows(ctx context.Context, right, room string) bool {
	c.t.Helper()
	s, err := c.openSocket(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	defer s.close()
	if err := s.send(ctx, map[string]any{"id": 1, "type": right, "room": room, "data": dataOf(right)}); err != nil {
		c.t.Fatal(err)
	}
	f, err := s.next(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return f.Type != "error"
}

// dataOf is what a command of the right carries as data.
func dataOf(right string) any {
	if right == "publish" {
		return 1
	}
	return nil
}

func (c *client) sdkAllows(ctx context.Context, right, room string) bool {
	c.t.Helper()
	s, _, err := c.openSDK(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	defer s.close()
	cmd := map[string]any{"channel": room}
	if right == "publish" {
		cmd["data"] = 1
	}
	if err := s.send(ctx, map[string]any{"id": 2, right: cmd}); err != nil {
		c.t.Fatal(err)
	}
	r, err := s.next(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return r.Error == nil
}

func testAnonymous(t *testing.T, start Factory) {
	target := start(t, Options{Configure: func(c *planeconfig.Config) {
		c.Auth.Anonymous = &planeconfig.Grant{Rooms: []string{"public.*"}, Rights: []string{"subscribe"}}
	}})
	c := target.client(t).with("")
	c.must(http.StatusOK, http.MethodGet, messagesPath("public.a"), nil)
	c.must(http.StatusForbidden, http.MethodGet, messagesPath("private"), nil)
	c.must(http.StatusForbidden, http.MethodPost, messagesPath("public.a"), []byte(`{"data":1}`))
	c.must(http.StatusForbidden, http.MethodPost, "/v1/tokens", []byte(`{"rooms":["public.a"]}`))
	// A token that is no good is not taken for none.
	c.with("wrong").must(http.StatusUnauthorized, http.MethodGet, messagesPath("public.a"), nil)
	ctx, cancel := soon(context.Background())
	defer cancel()
	if !c.sdkAllows(ctx, "subscribe", "public.a") || c.sdkAllows(ctx, "subscribe", "private") {
		t.Error("the Centrifuge protocol does not give anonymous its grant, or more")
	}
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

// endingToken is over after life.
func (g *Target) endingToken(t *testing.T, subject string, life time.Duration) string {
	t.Helper()
	return g.forge(t, jwt.SigningMethodHS256, g.SigningKey, func(c jwt.MapClaims) {
		c["exp"], c["sub"] = time.Now().Add(life).Unix(), subject
	})
}

// inTime runs a step that has to be over before a token's life is. Where the
// machine was too slow for it, it is done again with a longer one.
func inTime(t *testing.T, life time.Duration, step func(life time.Duration) error) {
	t.Helper()
	for ; ; life *= 2 {
		began := time.Now()
		err := step(life)
		if err == nil {
			return
		}
		// Tokens end at whole seconds.
		if took := time.Since(began); took < life-time.Second || life > patience {
			t.Fatalf("%v after the token was made for %v: %v", took, life, err)
		}
	}
}

func testTokenEnds(t *testing.T, start Factory) {
	target := start(t, Options{})
	ctx, cancel := soon(context.Background())
	defer cancel()
	var s *socket
	var events *eventStream
	inTime(t, 2*time.Second, func(life time.Duration) (err error) {
		c := target.client(t).with(target.endingToken(t, "ann", life))
		if s, err = c.openSocket(ctx); err != nil {
			return err
		}
		var refused reply
		if events, refused, err = c.openEvents(ctx, []string{"a"}, "", ""); err == nil && events == nil {
			err = fmt.Errorf("status %d", refused.status)
		}
		if err != nil {
			s.close()
		}
		return err
	})
	defer s.close()
	defer events.close()
	if code := s.closeCode(ctx); code != 3005 {
		t.Errorf("the socket ended with %d, want 3005", code)
	}
	for {
		e, err := events.nextNamed()
		if err != nil {
			t.Fatalf("the stream ended without a close event: %v", err)
		}
		if e.Name == "close" {
			if !strings.Contains(e.Data, "3005") {
				t.Errorf("the stream ended with %s", e.Data)
			}
			break
		}
	}
}

func testOrigins(t *testing.T, start Factory) {
	target := start(t, Options{Configure: func(c *planeconfig.Config) {
		c.HTTP.AllowedOrigins = []string{"https://app.example", "https://*.pages.example", "http://dev.example:3000"}
	}})
	c := target.client(t)
	own, _ := url.Parse(c.base)
	for origin, allowed := range map[string]bool{
		"https://app.example":          true,
		"https://APP.example":          true,
		"https://x.pages.example":      true,
		"http://dev.example:3000":      true,
		"http://" + own.Host:           true,
		"http://app.example":           false,
		"https://app.example:8443":     false,
		"https://app.example.evil.com": false,
		"https://evil.com":             false,
		"https://pages.example":        false,
		"https://a.b.pages.example":    false,
		"http://dev.example":           false,
		"null":                         false,
		"nonsense":                     false,
	} {
		ctx, cancel := soon(context.Background())
		for _, path := range []string{messagesPath("a"), "/v1/stream?room=a", "/v1/ws", "/connection/websocket"} {
			switch {
			case strings.Contains(path, "w"):
				ws, resp, err := c.dial(ctx, path, "Origin", origin)
				if (err == nil) != allowed {
					t.Errorf("%s with origin %s: %v", path, origin, err)
				}
				if err == nil {
					_ = ws.CloseNow()
				} else if resp != nil && resp.StatusCode != http.StatusForbidden {
					t.Errorf("%s with origin %s: status %d", path, origin, resp.StatusCode)
				}
			case strings.HasPrefix(path, "/v1/rooms"):
				r, err := c.do(ctx, http.MethodGet, path, nil, "Origin", origin)
				if err != nil {
					t.Fatal(err)
				}
				if (r.status == http.StatusOK) != allowed || (r.header.Get("Access-Control-Allow-Origin") == origin) != allowed {
					t.Errorf("%s with origin %s: status %d, CORS %q", path, origin, r.status, r.header.Get("Access-Control-Allow-Origin"))
				}
			}
		}
		preflight, err := c.with("").do(ctx, http.MethodOptions, messagesPath("a"), nil, "Origin", origin,
			"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,idempotency-key")
		if err != nil {
			t.Fatal(err)
		}
		if (preflight.status == http.StatusNoContent) != allowed {
			t.Errorf("preflight with origin %s: status %d", origin, preflight.status)
		}
		cancel()
	}
}

// testRefresh has two SDKs whose tokens end soon: one gets a new token and keeps
// its connection, the other is told to get one.
func testRefresh(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	open := func(subject string, life time.Duration) (*sdk, error) {
		s, _, err := c.with(target.endingToken(t, subject, life)).openSDK(ctx)
		if err != nil {
			return nil, err
		}
		if err = s.subscribe(ctx, "a", ""); err == nil {
			var r sdkReply
			if r, err = s.next(ctx); err == nil && r.Subscribe == nil {
				err = fmt.Errorf("subscribe: %+v", r)
			}
		}
		if err != nil {
			s.close()
		}
		return s, err
	}
	refresh := func(s *sdk, token string) (sdkReply, error) {
		if err := s.send(ctx, map[string]any{"id": 3, "refresh": map[string]any{"token": token}}); err != nil {
			return sdkReply{}, err
		}
		return s.next(ctx)
	}
	cheats, err := open("carl", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer cheats.close()
	if _, err := refresh(cheats, target.endingToken(t, "ann", time.Hour)); websocket.CloseStatus(err) != 3500 {
		t.Errorf("the token of another: %v, want close code 3500", err)
	}
	var renews, forgets *sdk
	lived := 5 * time.Second
	inTime(t, lived, func(life time.Duration) (err error) {
		lived = life
		if renews, err = open("ann", life); err != nil {
			return err
		}
		r, err := refresh(renews, target.endingToken(t, "ann", time.Hour))
		if err == nil && r.Error != nil {
			err = fmt.Errorf("a new token: %+v", r.Error)
		}
		if err != nil {
			renews.close()
		}
		return err
	})
	defer renews.close()
	inTime(t, lived, func(life time.Duration) (err error) {
		forgets, err = open("bob", life)
		return err
	})
	defer forgets.close()
	for err == nil {
		_, err = forgets.next(ctx)
	}
	if code := websocket.CloseStatus(err); code != 3005 {
		t.Errorf("a connection without a new token ended with %d, want 3005", code)
	}
	// By now the first token of the one that renewed is over, too: it was made before.
	c.publish("a", "1")
	if r, err := renews.next(ctx); err != nil || r.Push == nil || r.Push.Pub == nil {
		t.Errorf("the connection with a new token: %v %+v", err, r)
	}
}
