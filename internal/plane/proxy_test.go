package plane

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestAProxyPassesEverythingOn but what is below its own prefix.
func TestAProxyPassesEverythingOn(t *testing.T) {
	s := startPlane(t, nil, newService(), func(p *Plane) {
		p.Router.Post("/.own/v1/x", func(http.ResponseWriter, *http.Request) {})
		p.Proxy("/.own/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			if err != nil {
				t.Errorf("read the body: %v", err)
			}
			w.Header().Set("Seen", r.Proto+" "+r.RequestURI)
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.CopyN(w, zeros{}, n)
		}))
	})
	for _, c := range []struct {
		path string
		body int64
		want int
	}{
		{path: "/a%2Fb/../c?access_token=x", want: http.StatusTeapot},
		{path: "/v1/tokens", body: 3 << 20, want: http.StatusTeapot},
		{path: "/openapi.json", want: http.StatusTeapot},
		{path: "/.own/openapi.json", want: http.StatusUnauthorized},
		{path: "/.own/%2e%2e%2fa", want: http.StatusBadRequest},
		{path: "/.own/v1/x", body: 3 << 20, want: http.StatusRequestEntityTooLarge},
		{path: "/.own/v1/x", want: http.StatusUnauthorized},
	} {
		req, err := http.NewRequest(http.MethodPost, s.url+c.path, io.LimitReader(zeros{}, c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = c.body
		req.Header.Set("Origin", "https://elsewhere.example")
		if strings.HasPrefix(c.path, "/.own/") {
			req.Header.Del("Origin")
		}
		resp, err := s.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != c.want || err != nil {
			t.Errorf("%s: %d, %v; want %d", c.path, resp.StatusCode, err, c.want)
		}
		if seen := "HTTP/1.1 " + c.path; c.want == http.StatusTeapot && (n != c.body || resp.Header.Get("Seen") != seen) {
			t.Errorf("%s: %d bytes came back, and %q", c.path, n, resp.Header.Get("Seen"))
		}
	}
	if status, page := s.get(t, s.url+"/.own/docs"); status != http.StatusOK || !strings.Contains(page, "/v1/tokens") {
		t.Errorf("the contract's page: %d", status)
	}
	if status, body := s.get(t, s.url+"/.own/none"); status != http.StatusNotFound || !strings.Contains(body, "/.own/openapi.json") {
		t.Errorf("no such path of its own: %d %s", status, body)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestAProxyIsNotBoundAsAnAPIIs holds more requests open than MaxInFlight, over HTTP/2 without TLS, and drains while
// they are.
func TestAProxyIsNotBoundAsAnAPIIs(t *testing.T) {
	enter, leave := make(chan string), make(chan struct{})
	service := newService()
	s := startPlane(t, nil, service, func(p *Plane) {
		p.Proxy("/.own/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			enter <- r.Proto
			<-leave
		}))
	})
	if s.http.WriteTimeout != 0 {
		t.Errorf("an answer may take %s", s.http.WriteTimeout)
	}
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr, Timeout: patience}
	const open = 5
	var requests sync.WaitGroup
	for range open {
		requests.Go(func() {
			resp, err := client.Get(s.url)
			if err != nil {
				t.Errorf("a request was cut: %v", err)
				return
			}
			_ = resp.Body.Close()
		})
	}
	for range open {
		if proto := <-enter; proto != "HTTP/2.0" {
			t.Errorf("it came by %s", proto)
		}
	}
	s.stop()
	<-service.drained
	close(leave)
	requests.Wait()
}

func TestAPanicOfAProxyIsAnswered(t *testing.T) {
	s := startPlane(t, nil, newService(), func(p *Plane) {
		p.Proxy("/.own/", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a bug") }))
	})
	if status, body := s.get(t, s.url+"/x"); status != http.StatusInternalServerError || strings.Contains(body, "a bug") {
		t.Errorf("status %d: %s", status, body)
	}
}

func TestObserveTimesWhatIsPassedOn(t *testing.T) {
	s := startPlane(t, nil, newService(), nil)
	s.Metrics.Observe("GET", "through", http.StatusOK, time.Second)
	if _, text := s.get(t, s.admin+"/metrics"); !strings.Contains(text, `trellis_plane_request_seconds_count{kind="Test",method="GET",object="name",object_namespace="ns",route="through",status="200"} 1`) {
		t.Error("what was passed on is not timed")
	}
}

// TestATargetThatOthersReadOtherwiseIsRefused: HTTP/2 has spaces in it, which HTTP/1.1 would take for its end, and what
// follows a # is cut off by some.
func TestATargetThatOthersReadOtherwiseIsRefused(t *testing.T) {
	s := startPlane(t, nil, newService(), func(p *Plane) {
		p.Proxy("/.own/", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%q is passed on", r.RequestURI) }))
	})
	for _, h2 := range []bool{false, true} {
		for _, target := range []string{"/a HTTP/1.1", "/a?b HTTP/1.1", "/a#b", "/a?b#c"} {
			if !h2 && strings.Contains(target, " ") {
				continue
			}
			tr := &http.Transport{Protocols: new(http.Protocols)}
			tr.Protocols.SetHTTP1(!h2)
			tr.Protocols.SetUnencryptedHTTP2(h2)
			// As Opaque it is sent as it is.
			req := &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "http", Host: strings.TrimPrefix(s.url, "http://"), Opaque: target}, Header: http.Header{}}
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			tr.CloseIdleConnections()
			if resp.StatusCode != http.StatusBadRequest {
				t.Errorf("%q, HTTP/2: %t: %d", target, h2, resp.StatusCode)
			}
		}
	}
}
