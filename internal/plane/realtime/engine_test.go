package realtime_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/realtime"
	"github.com/trellis-dev/trellis/internal/plane/realtime/conformance"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// TestEnginePasswordRotates changes the password on both sides and breaks all
// connections: the plane takes the new one from the file that was swapped.
func TestEnginePasswordRotates(t *testing.T) {
	engine := startRedis(t)
	uri := filepath.Join(engine.dir, "uri")
	contracttest.Write(t, uri, fmt.Sprintf("redis://:%s@127.0.0.1:%d", engine.password, engine.port))
	target := newLocal(t, conformance.Options{}, planeconfig.Engine{Type: "Valkey", URIFile: uri}).target(t, conformance.Options{}, engine)

	const next = "another-password"
	contracttest.Write(t, uri, fmt.Sprintf("redis://:%s@127.0.0.1:%d", next, engine.port))
	if out, err := engine.command("CONFIG SET requirepass " + next); err != nil || !strings.Contains(out, "+OK\r\n+OK") {
		t.Fatalf("change the password: %v %s", err, out)
	}
	engine.password = next
	for _, kind := range []string{"normal", "pubsub"} {
		if _, err := engine.command("CLIENT KILL TYPE " + kind + " SKIPME yes"); err != nil {
			t.Fatal(err)
		}
	}
	awaitPublished(t, target.URL(), "a")
}

// awaitPublished publishes to a room until it is acknowledged.
func awaitPublished(t *testing.T, url, room string) {
	t.Helper()
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}
	contracttest.Eventually(t, "publishing to room "+room, func() bool {
		req, err := http.NewRequest(http.MethodPost, url+"/v1/rooms/"+room+"/messages", strings.NewReader(`{"data":1}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+bindingToken)
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusCreated
	})
}

// TestGatewaysShareAnEngine has two gateways on one engine, told apart by the
// file that names their rooms only.
func TestGatewaysShareAnEngine(t *testing.T) {
	engine := startRedis(t)
	uri := filepath.Join(engine.dir, "uri")
	contracttest.Write(t, uri, fmt.Sprintf("redis://:%s@127.0.0.1:%d", engine.password, engine.port))
	keys := map[string]bool{}
	for _, instance := range []string{"one", "two"} {
		file := filepath.Join(engine.dir, instance)
		contracttest.Write(t, file, instance+"\n")
		cfg := planeconfig.Engine{Type: "Redis", URIFile: uri, CAFile: filepath.Join(engine.dir, "absent"), Prefix: "p:", PrefixFile: file}
		newLocal(t, conformance.Options{}, cfg).target(t, conformance.Options{}, engine)
	}
	contracttest.Eventually(t, "both to have used the engine", func() bool {
		out, err := engine.command("KEYS p:*")
		for _, instance := range []string{"one", "two"} {
			keys[instance] = strings.Contains(out, "p:"+instance+":")
		}
		return err == nil && keys["one"] && keys["two"]
	})
}

// TestEngineMoves has the URI lead to another server: the plane ends, to be started again there.
func TestEngineMoves(t *testing.T) {
	engine := startRedis(t)
	uri := filepath.Join(engine.dir, "uri")
	contracttest.Write(t, uri, fmt.Sprintf("redis://:%s@127.0.0.1:%d", engine.password, engine.port))
	l := newLocal(t, conformance.Options{}, planeconfig.Engine{Type: "Redis", URIFile: uri})
	p, err := plane.New(l.Config, plane.Options{Title: "test", Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	gw, err := realtime.New(p)
	if err != nil {
		t.Fatal(err)
	}
	contract, admin, err := p.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(t.Context(), gw, contract, admin) }()
	contracttest.AwaitReady(t, &contracttest.Replica{Admin: "http://" + admin.Addr().String()})
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+contract.Addr().String()+"/v1/stream?room=a", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bindingToken)
	stream, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Body.Close() }()
	contracttest.Write(t, uri, planeconfig.SentinelScheme+"://127.0.0.1/mymaster")
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "leads elsewhere") {
		t.Errorf("the plane ended with: %v", err)
	}
}
