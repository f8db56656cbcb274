package plane

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// bodyServer serves requests of up to 10 bytes, 15 at once; each is held until goOn is closed.
func bodyServer(serve http.HandlerFunc) http.Handler {
	b := newBodies(planeconfig.HTTP{MaxBodyBytes: 10, MaxBodyBytesInFlight: 15}, NewMetrics(planeconfig.Config{}, "test"))
	root := chi.NewRouter()
	root.Use(b.limit)
	root.HandleFunc("/*", serve)
	return scoped(root)
}

// sendBody returns the response once it is there. length is what the request says, -1 for nothing.
func sendBody(h http.Handler, length int64) <-chan *httptest.ResponseRecorder {
	out := make(chan *httptest.ResponseRecorder, 1)
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat("x", 10)))
	if r.ContentLength = length; length == 0 {
		r.Body = http.NoBody
	}
	go func() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		out <- w
	}()
	synctest.Wait()
	return out
}

func TestBodiesAreBounded(t *testing.T) {
	for name, c := range map[string]struct {
		first, second int64
		status        int
	}{
		"both fit":              {10, 5, http.StatusOK},
		"one byte too many":     {10, 6, http.StatusServiceUnavailable},
		"one of unknown length": {6, -1, http.StatusServiceUnavailable},
		"without a body":        {10, 0, http.StatusOK},
		"two of less":           {7, 7, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				goOn := make(chan struct{})
				h := bodyServer(func(http.ResponseWriter, *http.Request) { <-goOn })
				began := time.Now()
				first, second := sendBody(h, c.first), sendBody(h, c.second)
				if c.status == http.StatusOK {
					close(goOn)
				}
				got := <-second
				if got.Code != c.status {
					t.Errorf("status %d, want %d", got.Code, c.status)
				}
				if c.status == http.StatusOK {
					<-first
					return
				}
				if got.Header().Get("Retry-After") == "" || got.Header().Get("Connection") != "close" || time.Since(began) != queueWait {
					t.Errorf("refused after %s with %v", time.Since(began), got.Header())
				}
				close(goOn)
				<-first
				if third := <-sendBody(h, 10); third.Code != http.StatusOK {
					t.Errorf("after the first one: %d", third.Code)
				}
			})
		})
	}
}

// TestAHeldRequestGivesItsBodyBack: one that waits for a job keeps nobody else's body out.
func TestAHeldRequestGivesItsBodyBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		h := bodyServer(func(_ http.ResponseWriter, r *http.Request) {
			Hold(r.Context())
			<-goOn
		})
		first, second := sendBody(h, 10), sendBody(h, 10)
		close(goOn)
		if a, b := <-first, <-second; a.Code != http.StatusOK || b.Code != http.StatusOK {
			t.Errorf("status %d and %d", a.Code, b.Code)
		}
	})
}
