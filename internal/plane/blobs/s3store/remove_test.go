package s3store_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/plane/blobs/s3store"
)

// without answers calls that remove many versions with a status, and counts them.
type without struct {
	status int
	asked  atomic.Int64
}

func (w *without) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPost || !r.URL.Query().Has("delete") {
		return http.DefaultTransport.RoundTrip(r)
	}
	_, _ = io.Copy(io.Discard, r.Body)
	w.asked.Add(1)
	text := "<Error><Code>Some</Code><Message>some</Message></Error>"
	return &http.Response{
		StatusCode: w.status, Status: http.StatusText(w.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"application/xml"}},
		Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text)), Request: r,
	}, nil
}

// TestRemoveVersions by one call or, of a store without it, by one for each; what the call is refused for otherwise is an error.
func TestRemoveVersions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		// asks are for many at once, of two removals.
		asks int64
		gone bool
	}{
		"no such call":       {http.StatusNotImplemented, 1, true},
		"not such a method":  {http.StatusMethodNotAllowed, 1, true},
		"not with such keys": {http.StatusBadRequest, 2, true},
		"not allowed":        {http.StatusForbidden, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &without{status: c.status}
			s := bucket(t, func(cfg *s3store.Config) { cfg.Client = &http.Client{Transport: w} })
			for i := range 2 {
				r, err := s.SignPut(t.Context(), time.Now(), plane.Put{Key: fmt.Sprint("a", i), Size: 1, ContentType: "a/b"}, time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				if status, answer, _ := send(t, r, "x"); status != http.StatusOK {
					t.Fatalf("%d %s", status, answer)
				}
				all, _, err := s.ListVersions(t.Context(), fmt.Sprint("a", i), plane.Version{})
				if err != nil || len(all) != 1 {
					t.Fatalf("%+v, %v", all, err)
				}
				if locked, err := s.RemoveVersions(t.Context(), all); err == nil != c.gone || locked != 0 {
					t.Errorf("%d are locked, %v", locked, err)
				}
				if all, _, err = s.ListVersions(t.Context(), fmt.Sprint("a", i), plane.Version{}); err != nil || (len(all) == 0) != c.gone {
					t.Errorf("%+v are left, %v", all, err)
				}
			}
			if got := w.asked.Load(); got != c.asks {
				t.Errorf("it is asked for many at once %d times, want %d", got, c.asks)
			}
		})
	}
}
