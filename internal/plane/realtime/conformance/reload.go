package conformance

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

var reloadTests = []test{
	{"SettingsChangeWithoutAReconnect", testSettingsChange},
	{"KeysRotateWithoutAReconnect", testKeysRotate},
}

// testSettingsChange changes what can be changed while clients are connected:
// the new settings count, and nobody loses a connection.
func testSettingsChange(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	followers := []*follower{c.follow(sse, "a", ""), c.follow(socketProto, "a", ""), c.follow(centrifuge, "a", "")}
	issuer := httptest.NewServer(http.NotFoundHandler())
	defer issuer.Close()
	const page = "https://new.example"
	origin := func() int {
		ctx, cancel := soon(context.Background())
		defer cancel()
		r, err := c.do(ctx, http.MethodGet, messagesPath("a"), nil, "Origin", page)
		if err != nil {
			t.Fatal(err)
		}
		return r.status
	}
	anonymous := c.with("")
	if got := origin(); got != http.StatusForbidden {
		t.Fatalf("a page of another origin gets %d before", got)
	}
	anonymous.must(http.StatusUnauthorized, http.MethodGet, messagesPath("public"), nil)
	ann := c.with(c.mint("ann", "subscribe,publish", "*"))

	target.Reconfigure(t, func(c *planeconfig.Config) {
		c.HTTP.AllowedOrigins = []string{page}
		c.Auth.Anonymous = &planeconfig.Grant{Rooms: []string{"public"}, Rights: []string{"subscribe"}}
		c.Auth.JWT = &planeconfig.JWT{JWKSURL: issuer.URL}
		c.Realtime.Limits.RoomsPerConnection = 1
		c.Realtime.Limits.ConnectionsPerClient = 1
		c.Realtime.Limits.PublishPerSecond = 3
	})
	// The origin is the last of them to be applied but for the limits.
	eventually(t, "the settings to be read", func() bool { return origin() == http.StatusOK })
	eventually(t, "the limits to count", func() bool {
		ctx, cancel := soon(context.Background())
		defer cancel()
		return ann.status(ctx, http.MethodGet, "/v1/stream?room=a&room=b", "") == http.StatusUnprocessableEntity
	})
	anonymous.must(http.StatusOK, http.MethodGet, messagesPath("public"), nil)
	ann.must(http.StatusBadRequest, http.MethodPost, messagesPath("a"), []byte(`{"messages":[`+repeat(`{"data":1}`, 4)+`]}`))
	ctx, cancel := soon(context.Background())
	defer cancel()
	defer ann.join(ctx, sse, "a")()
	ann.must(http.StatusTooManyRequests, http.MethodGet, "/v1/stream?room=a", nil)
	foreign := target.forge(t, jwt.SigningMethodRS256, testRSAKey(t), func(c jwt.MapClaims) { c["iss"] = "elsewhere" })
	if p := c.with(foreign).must(http.StatusServiceUnavailable, http.MethodGet, messagesPath("a"), nil).problem(t); p.Slug() != "keys-unavailable" {
		t.Errorf("a token of the new issuer, whose keys cannot be had: %s", p.Slug())
	}

	// What cannot be used leaves all as it is.
	target.Reconfigure(t, func(c *planeconfig.Config) {
		c.Auth.JWT = &planeconfig.JWT{SecretFile: filepath.Join(target.Dir, "absent")}
		c.Auth.Anonymous = nil
	})
	eventually(t, "the bad settings to be refused", func() bool {
		return target.metric(t, "trellis_plane_reloads_total", `result="refused"`) == float64(len(target.Replicas))
	})
	anonymous.must(http.StatusOK, http.MethodGet, messagesPath("public"), nil)

	c.publish("a", "1")
	for _, f := range followers {
		f.awaitLast("1")
		if n := f.connections(); n != 1 {
			t.Errorf("%s connected %d times: it did not stay open", f.protocol, n)
		}
	}
}

// testKeysRotate replaces the binding's token and the key of client tokens, as a
// rotation does: those before are beside the new ones, and are taken away later.
func testKeysRotate(t *testing.T, start Factory) {
	target := start(t, Options{})
	old := target.client(t)
	ann := old.with(old.mint("ann", "subscribe", "*"))
	f := ann.follow(socketProto, "a", "")
	put := func(name, content string) {
		t.Helper()
		path := filepath.Join(target.Dir, name)
		if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	put("previousToken", target.Token)
	put("previousSigningKey", string(target.SigningKey))
	put("key", "another-signing-key-0123456789-0123")
	put("token", "another-token")
	renewed := old.with("another-token")
	eventually(t, "the new token to be accepted", func() bool {
		ctx, cancel := soon(context.Background())
		defer cancel()
		return renewed.status(ctx, http.MethodGet, messagesPath("a"), "") == http.StatusOK
	})
	for _, c := range []*client{old, ann, renewed.with(renewed.mint("bob", "subscribe", "*"))} {
		c.must(http.StatusOK, http.MethodGet, messagesPath("a"), nil)
	}
	// A replica that starts now knows what is in use only from the files.
	late := target.Add(t)
	for _, token := range []string{old.token, ann.token, "another-token"} {
		c := newClient(t, late.URL, token)
		eventually(t, "the new replica to serve", func() bool {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			r, err := c.do(ctx, http.MethodGet, messagesPath("a"), nil)
			return err == nil && r.status == http.StatusOK
		})
	}
	renewed.publish("a", "1")
	f.awaitLast("1")
	if n := f.connections(); n != 1 {
		t.Errorf("the socket connected %d times: it did not stay open", n)
	}
}
