package overload_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/shards/overload"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// newFront has the shard's name as the key.
func newFront(t *testing.T, o planeconfig.ShardOverload, shards map[string]*shard) string {
	t.Helper()
	limiter := overload.New(overload.Options{Config: o, Partitions: 16})
	classifier, err := overload.NewClassifier(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 500}
	proxies := map[string]*httputil.ReverseProxy{}
	for name, s := range shards {
		to, err := url.Parse(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		proxies[name] = httputil.NewSingleHostReverseProxy(to)
		proxies[name].Transport = transport
		proxies[name].ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) { w.WriteHeader(http.StatusBadGateway) }
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.Header.Get(keyHeader)
		done, err := limiter.Admit(r.Context(), name, 0, classifier.Class(r, nil))
		var shed *overload.ShedError
		if errors.As(err, &shed) {
			plane.WriteProblem(w, shed.Problem())
			return
		}
		if err != nil {
			return
		}
		proxies[name].ServeHTTP(w, r)
		if r.Context().Err() != nil {
			done(overload.Ignored)
			return
		}
		done(overload.Success)
	}))
	t.Cleanup(func() {
		front.Close()
		transport.CloseIdleConnections()
	})
	return front.URL
}
