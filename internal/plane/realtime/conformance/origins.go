package conformance

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

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
