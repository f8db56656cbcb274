package router

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

const binding = "Authorization: Bearer " + contracttest.BindingToken

func needsToken(cfg *planeconfig.Config) { cfg.Shards.Router.Authentication = "Token" }

func TestWhoMaySend(t *testing.T) {
	c := start(t, options{change: needsToken})
	minted, text := c.ask(http.MethodPost, "/.trellis/v1/tokens", "", strings.NewReader(`{"subject":"ann"}`), binding, "Content-Type: application/json")
	var reply struct{ Token string }
	if err := json.Unmarshal([]byte(text), &reply); err != nil || minted.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s", minted.StatusCode, text)
	}
	client := "Bearer " + reply.Token
	for name, x := range map[string]struct {
		path, header string
		want         int
		saw          string
	}{
		"nobody":              {want: http.StatusUnauthorized},
		"a wrong token":       {header: "Authorization: Bearer wrong", want: http.StatusUnauthorized},
		"the binding":         {header: binding, want: http.StatusOK},
		"a client":            {header: "Authorization: " + client, want: http.StatusOK, saw: client},
		"a client in its URL": {path: "?access_token=" + reply.Token, want: http.StatusOK},
		"another's sinks":     {header: "Authorization: Bearer " + planeconfig.SinkToken([]byte(contracttest.BindingToken), "other"), want: http.StatusForbidden},
	} {
		var headers []string
		if x.header != "" {
			headers = append(headers, x.header)
		}
		resp, text := c.ask(http.MethodGet, "/"+x.path, "k", nil, headers...)
		if resp.StatusCode != x.want || resp.Header.Get("Saw-Authorization") != x.saw || strings.Contains(resp.Header.Get("Target"), "access_token") {
			t.Errorf("%s: %d, the shard saw %q: %s", name, resp.StatusCode, resp.Header.Get("Saw-Authorization"), text)
		}
	}
	c.noStrays()
}

func TestWithoutAuthenticationATokenIsTheContainersOwn(t *testing.T) {
	c := start(t, options{})
	resp, _ := c.ask(http.MethodGet, "/?access_token=x", "k", nil, "Authorization: Bearer theirs")
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Saw-Authorization") != "Bearer theirs" || resp.Header.Get("Target") != "GET /?access_token=x" {
		t.Errorf("%d: %v", resp.StatusCode, resp.Header)
	}
	if resp, _ := c.ask(http.MethodGet, "/.trellis/v1/stats", "", nil); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("its own paths: %d", resp.StatusCode)
	}
}

// TestTheKeyOfAToken is only that of one that was verified.
func TestTheKeyOfAToken(t *testing.T) {
	c := start(t, options{change: func(cfg *planeconfig.Config) {
		cfg.Shards.Key = planeconfig.ShardKey{JWTClaim: "tenant"}
		cfg.Auth.JWT = &planeconfig.JWT{SecretFile: cfg.Auth.SigningKeyFile}
	}})
	signed := func(key string) string {
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"tenant": keyOf(5), "iss": "x", "exp": time.Now().Add(time.Hour).Unix()}).SignedString([]byte(key))
		if err != nil {
			t.Fatal(err)
		}
		return "Authorization: Bearer " + token
	}
	if resp, text := c.ask(http.MethodGet, "/", "", nil, signed(contracttest.SigningKey)); resp.StatusCode != http.StatusOK || resp.Header.Get(planeconfig.HeaderPartition) != "5" {
		t.Errorf("%d, partition %s: %s", resp.StatusCode, resp.Header.Get(planeconfig.HeaderPartition), text)
	}
	if resp, _ := c.ask(http.MethodGet, "/", "", nil, signed("another-key-0123456789-0123456789")); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a forged one: %d", resp.StatusCode)
	}
}

func TestRequestsThatGoNowhere(t *testing.T) {
	c := start(t, options{})
	for name, x := range map[string]struct {
		method, path, key string
		want              int
		problem           string
	}{
		"no key":           {http.MethodGet, "/", "", http.StatusBadRequest, "no-key"},
		"a giant key":      {http.MethodGet, "/", strings.Repeat("x", 2000), http.StatusBadRequest, "key-too-long"},
		"a member's path":  {http.MethodPost, "//.trellis/v1/partitions/1:fence", "k", http.StatusNotFound, "not-found"},
		"hidden in dots":   {http.MethodPost, "/x/../.trellis/v1/partitions", "k", http.StatusNotFound, "not-found"},
		"the prefix alone": {http.MethodPost, "/.trellis", "k", http.StatusNotFound, "not-found"},
		"its own path":     {http.MethodGet, "/.trellis/v1/none", "k", http.StatusUnauthorized, "missing-token"},
	} {
		resp, text := c.ask(x.method, x.path, x.key, nil)
		if resp.StatusCode != x.want || !strings.Contains(text, "/"+x.problem+`"`) || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", name, resp.StatusCode, text)
		}
	}
	if resp, text := c.ask(http.MethodGet, "/.trellis-not/x", "k", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("a path that only looks like it: %d %s", resp.StatusCode, text)
	}
}

func TestTheKeyOfABody(t *testing.T) {
	c := start(t, options{change: func(cfg *planeconfig.Config) {
		cfg.Shards.Key = planeconfig.ShardKey{JSONBody: "/id", MaxBodyBytes: 100}
		cfg.Shards.Placement = planeconfig.ShardPlacement{Strategy: "Directory", Directory: map[string]int{"a": 5}, DirectoryFallback: "Refuse"}
	}})
	for name, x := range map[string]struct {
		body   io.Reader
		header string
		want   int
	}{
		"named":            {strings.NewReader(`{"id":"a"}`), "", http.StatusOK},
		"chunked":          {io.LimitReader(strings.NewReader(`{"id":"a"}`), 100), "", http.StatusOK},
		"not named":        {strings.NewReader(`{"id":"b"}`), "", http.StatusNotFound},
		"no JSON":          {strings.NewReader(`id=a`), "", http.StatusBadRequest},
		"none":             {nil, "", http.StatusBadRequest},
		"long":             {strings.NewReader(`{"id":"a"}` + strings.Repeat(" ", 100)), "", http.StatusRequestEntityTooLarge},
		"long and chunked": {io.LimitReader(strings.NewReader(`{"id":"a"}`+strings.Repeat(" ", 100)), 1000), "", http.StatusRequestEntityTooLarge},
		"packed":           {strings.NewReader(`{"id":"a"}`), "Content-Encoding: gzip", http.StatusUnsupportedMediaType},
	} {
		headers := []string{"Content-Type: application/json"}
		if x.header != "" {
			headers = append(headers, x.header)
		}
		resp, text := c.ask(http.MethodPost, "/", "", x.body, headers...)
		if resp.StatusCode != x.want || x.want == http.StatusOK && (resp.Header.Get(planeconfig.HeaderPartition) != "5" || text != `{"id":"a"}`) {
			t.Errorf("%s: %d %s", name, resp.StatusCode, text)
		}
	}
	c.noStrays()
}

func TestTheTableIsToldToThoseWhoRouteByThemselves(t *testing.T) {
	c := start(t, options{})
	resp, text := c.ask(http.MethodGet, "/.trellis/v1/ring", "", nil, binding)
	var table ring.Table
	var more struct{ Members []struct{ Address string } }
	if err := json.Unmarshal([]byte(text), &table); err != nil {
		t.Fatalf("%v: %d %s", err, resp.StatusCode, text)
	}
	if err := json.Unmarshal([]byte(text), &more); err != nil || table.Epoch != 1 || len(table.Owners) != partitions || more.Members[1].Address != addressOf(c.where, "orders-shs-1") {
		t.Errorf("%s", text)
	}
	if again, text := c.ask(http.MethodGet, "/.trellis/v1/ring", "", nil, binding, "If-None-Match: "+resp.Header.Get("ETag")); again.StatusCode != http.StatusNotModified || text != "" {
		t.Errorf("what is known: %d %s", again.StatusCode, text)
	}
	if late, text := c.ask(http.MethodGet, "/.trellis/v1/ring?epoch=1&wait=10ms", "", nil, binding); late.StatusCode != http.StatusNotModified {
		t.Errorf("nothing new: %d %s", late.StatusCode, text)
	}
	if wrong, _ := c.ask(http.MethodGet, "/.trellis/v1/ring?wait=2h", "", nil, binding); wrong.StatusCode != http.StatusBadRequest {
		t.Errorf("a long wait: %d", wrong.StatusCode)
	}
	done := make(chan string)
	go func() {
		_, text, err := c.try(http.MethodGet, "/.trellis/v1/ring?epoch=1&wait=60s", "", nil, binding)
		done <- fmt.Sprint(text, err)
	}()
	contracttest.Eventually(t, "somebody to wait", func() bool { return c.router.open.count() == 1 })
	to := c.other(3)
	c.pauses(3, to)
	if text := <-done; !strings.Contains(text, `"epoch":2`) || !strings.Contains(text, `"partition":3`) {
		t.Errorf("what is new: %s", text)
	}
	_, text = c.ask(http.MethodGet, "/.trellis/v1/locate?key="+keyOf(3), "", nil, binding)
	var at located
	if err := json.Unmarshal([]byte(text), &at); err != nil || at.Partition != 3 || at.Serving || at.To != to || at.Address != addressOf(c.where, at.Member) {
		t.Errorf("%v %s", err, text)
	}
	go func() {
		_, text, err := c.try(http.MethodGet, "/.trellis/v1/ring?epoch=2&wait=60s", "", nil, binding)
		done <- fmt.Sprint(text, err)
	}()
	contracttest.Eventually(t, "somebody to wait", func() bool { return c.router.open.count() == 1 })
	if err := c.replica.Drain(); err != nil {
		t.Error(err)
	}
	if text := <-done; text != "<nil>" {
		t.Errorf("who waits when it drains: %s", text)
	}
}

func TestStatsSayWhatGoesOn(t *testing.T) {
	c := start(t, options{limiter: adaptive()})
	for range 10 {
		c.ask(http.MethodGet, "/", "k", nil)
	}
	resp, text := c.ask(http.MethodGet, "/.trellis/v1/stats", "", nil, binding)
	var got routerStats
	if err := json.Unmarshal([]byte(text), &got); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %v %s", resp.StatusCode, err, text)
	}
	if got.Epoch != 1 || len(got.Members) != 2 || got.Members[0].Member != "orders-shs-0" || got.Held.Limit != defaultHeld || got.Members[0].Address == "" {
		t.Errorf("%s", text)
	}
	metrics, err := c.client.Get(c.replica.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	page, _ := io.ReadAll(metrics.Body)
	_ = metrics.Body.Close()
	owner, _ := c.state.Table.Owner(ring.PartitionOf("k", partitions))
	for _, line := range []string{
		`trellis_shards_requests_total{code="200",kind="ShardSet",member="` + owner.ID + `",object="orders",object_namespace="test"} 10`,
		`trellis_shards_epoch{kind="ShardSet",object="orders",object_namespace="test"} 1`,
		`trellis_plane_request_seconds_count{kind="ShardSet",method="GET",object="orders",object_namespace="test",route="shards",status="200"} 10`,
	} {
		if !strings.Contains(string(page), line+"\n") {
			t.Errorf("%s is not in\n%s", line, page)
		}
	}
}

// TestADomainGoesToTheOtherShardSet, with the token of its binding.
func TestADomainGoesToTheOtherShardSet(t *testing.T) {
	other := start(t, options{change: needsToken})
	c := start(t, options{change: func(cfg *planeconfig.Config) {
		file := filepath.Join(filepath.Dir(cfg.Shards.MemberTokenFile), "other")
		contracttest.Write(t, file, contracttest.BindingToken)
		cfg.Shards.Domains = []planeconfig.ShardDomain{
			{PathPrefix: "/orders", URL: "http://127.0.0.1:1"},
			{PathPrefix: "/orders/eu/", URL: other.replica.URL, TokenFile: file},
		}
	}})
	resp, text := c.ask(http.MethodPost, "/orders/eu/7?x=1", "k", strings.NewReader("hello"), "Authorization: Bearer theirs")
	if resp.StatusCode != http.StatusOK || text != "hello" || resp.Header.Get("Target") != "POST /orders/eu/7?x=1" || resp.Header.Get("Saw-Authorization") != "" {
		t.Errorf("%d %s %v", resp.StatusCode, text, resp.Header)
	}
	for path, want := range map[string]int{
		"/orders": http.StatusServiceUnavailable, "/orders/us": http.StatusServiceUnavailable, "/ordersx": http.StatusOK, "/orders/eu/../x": http.StatusBadRequest,
	} {
		if resp, text := c.ask(http.MethodGet, path, "k", nil); resp.StatusCode != want {
			t.Errorf("%s: %d %s", path, resp.StatusCode, text)
		}
	}
	if resp, text := c.ask(http.MethodGet, "/orders/eu/", "k", nil, "Via: 1.1 orders.test.shardset"); resp.StatusCode != http.StatusLoopDetected {
		t.Errorf("a circle: %d %s", resp.StatusCode, text)
	}
	other.noStrays()
	c.noStrays()
}

// TestPartitionsMoveUnderLoad: no request reaches a shard that does not own it, none fails, and each is done once.
func TestPartitionsMoveUnderLoad(t *testing.T) {
	var mu sync.Mutex
	done := map[string]int{}
	c := start(t, options{shards: 3, handler: func(string) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			done[r.URL.RawQuery]++
		})
	}})
	var stop atomic.Bool
	var clients sync.WaitGroup
	var sent atomic.Int64
	for i := range 8 {
		clients.Go(func() {
			for n := 0; !stop.Load(); n++ {
				resp, text, err := c.try(http.MethodPost, fmt.Sprintf("/?%d-%d", i, n), fmt.Sprint(n), strings.NewReader("x"))
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Errorf("request %d of %d: %v %v %s", n, i, err, resp, text)
					return
				}
				sent.Add(1)
			}
		})
	}
	for p := range partitions {
		before := sent.Load()
		c.pauses(p, c.other(p))
		contracttest.Eventually(t, "clients to wait, or to go on", func() bool {
			moving, _ := c.router.held.counts()
			return moving > 2 || sent.Load() > before+200
		})
		c.commits(p)
	}
	stop.Store(true)
	clients.Wait()
	c.noStrays()
	mu.Lock()
	defer mu.Unlock()
	for id, n := range done {
		if n != 1 {
			t.Errorf("%s was done %d times", id, n)
		}
	}
	if int(sent.Load()) != len(done) {
		t.Errorf("%d were answered and %d done", sent.Load(), len(done))
	}
}

func TestAConfigurationIsTakenUpWhileItServes(t *testing.T) {
	c := start(t, options{})
	cfg := *c.router.plane.Config.Shards
	cfg.Key = planeconfig.ShardKey{Query: "id"}
	if err := c.router.configure(cfg); err != nil {
		t.Fatal(err)
	}
	if resp, _ := c.ask(http.MethodGet, "/?id=7", "", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
	cfg.Key = planeconfig.ShardKey{Path: "nothing"}
	if err := c.router.configure(cfg); err == nil {
		t.Error("a wrong one is taken up")
	}
	if resp, _ := c.ask(http.MethodGet, "/?id=7", "", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("after a wrong one: %d", resp.StatusCode)
	}
}
