package plane

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

func containsAny(s string, parts ...string) bool {
	for _, p := range parts {
		if strings.Contains(s, p) {
			return true
		}
	}
	return false
}

// patience is how long a step may take before a test fails: far longer than any
// does, so that a machine that stalls fails none.
const patience = 2 * time.Minute

// served is a plane that runs.
type served struct {
	*Plane
	url, admin string
	log        *enginetest.Output
	client     *http.Client
	stop       context.CancelFunc
	ended      chan error
}

// testService is a contract of one path, and notes when it is drained.
type testService struct {
	drained chan struct{}
	run     func(context.Context) error
}

func (s *testService) Run(ctx context.Context) error {
	if s.run != nil {
		return s.run(ctx)
	}
	<-ctx.Done()
	return nil
}

func (s *testService) Drain(context.Context) { close(s.drained) }

func startPlane(t *testing.T, change func(*planeconfig.Config), service *testService, routes func(*Plane)) *served {
	t.Helper()
	cfg := planeconfig.Config{
		Kind: "Test", Namespace: "ns", Name: "name",
		HTTP:   planeconfig.HTTP{Address: "127.0.0.1:0", AdminAddress: "127.0.0.1:0", MaxBodyBytes: 1 << 10, MaxInFlight: 2},
		Auth:   planeconfig.Auth{TokenFile: writeFile(t, "token", testToken), SigningKeyFile: writeFile(t, "key", testKey)},
		Engine: planeconfig.Engine{Type: "Memory"},
		Drain:  planeconfig.Drain{Timeout: planeconfig.Duration(patience)},
	}
	if change != nil {
		change(&cfg)
	}
	log := &enginetest.Output{}
	p, err := New(cfg, Options{Title: "Test", Version: "v1", Log: NewLogger(log, slog.LevelDebug, cfg)})
	if err != nil {
		t.Fatal(err)
	}
	OfferTokens[TokenRequest](p)
	if routes != nil {
		routes(p)
	}
	contract, admin, err := p.Listen(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	tr := &http.Transport{}
	s := &served{Plane: p, url: "http://" + contract.Addr().String(), admin: "http://" + admin.Addr().String(), log: log,
		client: &http.Client{Transport: tr, Timeout: patience}, stop: stop, ended: make(chan error, 1)}
	go func() { s.ended <- p.Serve(ctx, service, contract, admin) }()
	t.Cleanup(func() {
		stop()
		tr.CloseIdleConnections()
		// A test that looks at how the plane ended has put the result back.
		if err := <-s.ended; err != nil && service.run == nil {
			t.Errorf("the plane ended with: %v", err)
		}
	})
	return s
}

func newService() *testService { return &testService{drained: make(chan struct{})} }

func (s *served) get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testToken)
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestOnlyHealthIsOpen(t *testing.T) {
	s := startPlane(t, nil, newService(), nil)
	for url, want := range map[string]int{
		s.admin + "/livez": 200, s.admin + "/readyz": 503, s.admin + "/metrics": 200, s.admin + "/other": 404,
		s.url + "/openapi.json": 401, s.url + "/docs": 401, s.url + "/v1/tokens": 401, s.url + "/": 401, s.url + "/livez": 401, s.url + "/metrics": 401,
	} {
		resp, err := s.client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s without a token: %d, want %d", url, resp.StatusCode, want)
		}
	}
}

func TestDocsHaveNoOutsideAssets(t *testing.T) {
	s := startPlane(t, nil, newService(), nil)
	status, page := s.get(t, s.url+"/docs")
	if status != http.StatusOK || !strings.Contains(page, "/v1/tokens") {
		t.Fatalf("status %d: %s", status, page)
	}
	if containsAny(page, "<script", "src=", "@import", "url(", "<link") {
		t.Error("the page loads something")
	}
	status, spec := s.get(t, s.url+"/openapi.json")
	var doc struct {
		OpenAPI string         `json:"openapi"`
		Paths   map[string]any `json:"paths"`
	}
	if err := json.Unmarshal([]byte(spec), &doc); err != nil || status != http.StatusOK {
		t.Fatalf("status %d, %v", status, err)
	}
	if diff := cmp.Diff("3.1.0", doc.OpenAPI); diff != "" || doc.Paths["/v1/tokens"] == nil {
		t.Errorf("the spec is of version %s with paths %v", doc.OpenAPI, doc.Paths)
	}
}

func TestSecretsAreNotLogged(t *testing.T) {
	s := startPlane(t, nil, newService(), nil)
	client, _, err := s.auth.minted.mint("ann", planeconfig.Grant{}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{client, testToken, "wrong-token"} {
		resp, err := s.client.Get(s.url + "/v1/none?access_token=" + token)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	s.get(t, s.url+"/v1/none")
	log := s.log.String()
	if containsAny(log, client, testToken, "wrong-token", testKey) {
		t.Errorf("a secret is in the log:\n%s", log)
	}
	if !strings.Contains(log, "access_token=redacted") {
		t.Errorf("the requests are not in the log:\n%s", log)
	}
}

// TestInFlight fills the slots and the queue, and expects the rest to be refused.
func TestInFlight(t *testing.T) {
	enter, leave, release := make(chan struct{}), make(chan struct{}), make(chan struct{})
	s := startPlane(t, nil, newService(), func(p *Plane) {
		// Nobody's turn is to come too late.
		p.inflight.wait = time.Hour
		p.Router.Get("/slow", func(w http.ResponseWriter, _ *http.Request) {
			enter <- struct{}{}
			<-leave
		})
		p.Router.Get("/held", func(w http.ResponseWriter, r *http.Request) {
			Hold(r.Context())
			Hold(r.Context())
			enter <- struct{}{}
			<-release
		})
	})
	const slots = 2
	var requests sync.WaitGroup
	statuses := make(chan int, 16)
	ask := func(path string) {
		requests.Go(func() {
			status, _ := s.get(t, s.url+path)
			statuses <- status
		})
	}
	for range 4 * slots {
		ask("/held")
		<-enter
	}
	for range slots {
		ask("/slow")
		<-enter
	}
	for range slots {
		ask("/slow")
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for len(s.inflight.waiting) < slots {
		<-tick.C
	}
	resp, err := s.client.Do(mustRequest(t, s.url+"/slow"))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("beyond the queue: %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	for range slots {
		leave <- struct{}{}
		<-enter
	}
	close(leave)
	close(release)
	requests.Wait()
	close(statuses)
	for status := range statuses {
		if status != http.StatusOK {
			t.Errorf("a request that was admitted got %d", status)
		}
	}
}

func mustRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testToken)
	return req
}

// TestDrain follows the order of an end: not ready, what is in flight finishes,
// what is held open is told, and all is over.
func TestDrain(t *testing.T) {
	enter, leave := make(chan struct{}), make(chan struct{})
	service := newService()
	s := startPlane(t, nil, service, func(p *Plane) {
		p.Router.Get("/slow", func(w http.ResponseWriter, _ *http.Request) {
			enter <- struct{}{}
			<-leave
		})
		p.Router.Get("/held", func(w http.ResponseWriter, r *http.Request) {
			Hold(r.Context())
			enter <- struct{}{}
			<-service.drained
		})
	})
	s.Health.EngineOK()
	if status, _ := s.get(t, s.admin+"/readyz"); status != http.StatusOK {
		t.Fatalf("not ready: %d", status)
	}
	results := make(chan int, 2)
	for _, path := range []string{"/slow", "/held"} {
		go func() {
			status, _ := s.get(t, s.url+path)
			results <- status
		}()
		<-enter
	}
	s.stop()
	for {
		if status, _ := s.get(t, s.admin+"/readyz"); status == http.StatusServiceUnavailable {
			break
		}
	}
	select {
	case <-service.drained:
		t.Error("streams were told to go while a request was in flight")
	case <-results:
		t.Error("a request ended before its time")
	default:
	}
	leave <- struct{}{}
	for range 2 {
		if status := <-results; status != http.StatusOK {
			t.Errorf("a request in flight ended with %d", status)
		}
	}
	err := <-s.ended
	s.ended <- err
	if err != nil {
		t.Errorf("the plane ended with %v", err)
	}
	if _, err := s.client.Get(s.url); err == nil {
		t.Error("the port is still open")
	}
}

func TestAPartThatFailsEndsThePlane(t *testing.T) {
	service := newService()
	broken := errors.New("broken")
	service.run = func(context.Context) error { return broken }
	s := startPlane(t, nil, service, nil)
	err := <-s.ended
	s.ended <- err
	if !errors.Is(err, broken) {
		t.Errorf("the plane ended with %v", err)
	}
}

func TestPanicsAreAnswered(t *testing.T) {
	s := startPlane(t, nil, newService(), func(p *Plane) {
		p.Router.Get("/panic", func(http.ResponseWriter, *http.Request) { panic("a bug") })
	})
	status, body := s.get(t, s.url+"/panic")
	if status != http.StatusInternalServerError || strings.Contains(body, "a bug") || !strings.Contains(s.log.String(), "a bug") {
		t.Errorf("status %d: %s", status, body)
	}
	if status, _ = s.get(t, s.url+"/docs"); status != http.StatusOK {
		t.Errorf("after the panic: %d", status)
	}
}

// TestAnAnswerHeldBackHasTimeToBeWritten lets the time to write run out while
// the answer is held back.
func TestAnAnswerHeldBackHasTimeToBeWritten(t *testing.T) {
	answer := func(again func(context.Context)) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(-time.Second)); err != nil {
				t.Errorf("set the deadline: %v", err)
			}
			again(r.Context())
			_, _ = io.WriteString(w, "late")
		}
	}
	s := startPlane(t, nil, newService(), func(p *Plane) {
		p.Router.Get("/renewed", answer(AnswerLater))
		p.Router.Get("/over", answer(func(context.Context) {}))
	})
	if status, body := s.get(t, s.url+"/renewed"); status != http.StatusOK || body != "late" {
		t.Errorf("status %d: %q", status, body)
	}
	resp, err := s.client.Do(mustRequest(t, s.url+"/over"))
	if err == nil {
		_ = resp.Body.Close()
		t.Errorf("answered %s after its time", resp.Status)
	}
}
