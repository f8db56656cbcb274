package router

import (
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// TestAShardMayBeBehindARotation: a shard that has not read the new token yet gets the one before, and no client is told.
func TestAShardMayBeBehindARotation(t *testing.T) {
	const before = "token-before-the-rotation"
	var knows atomic.Value
	knows.Store(before)
	c := start(t, options{
		change: func(cfg *planeconfig.Config) {
			contracttest.Write(t, filepath.Join(filepath.Dir(cfg.Shards.MemberTokenFile), planeconfig.KeyPreviousMemberToken), before+"\n")
		},
		handler: func(id string) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get(planeconfig.HeaderMemberToken) != knows.Load() {
					plane.WriteProblem(w, plane.NewProblem(http.StatusUnauthorized, "missing-token", "x", "x").Header(planeconfig.HeaderNotProcessed, "true"))
					return
				}
				echo(id).ServeHTTP(w, r)
			})
		},
	})
	for _, token := range []string{before, memberToken} {
		knows.Store(token)
		for range 3 {
			if resp, text := c.ask(http.MethodPost, "/", keyOf(3), strings.NewReader("hello")); resp.StatusCode != http.StatusOK || text != "hello" {
				t.Errorf("a shard that knows %s: %d %s", token, resp.StatusCode, text)
			}
		}
	}
}
