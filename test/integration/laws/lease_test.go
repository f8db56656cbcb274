//go:build integration

package laws

import (
	"net/http"
	"sync"
	"testing"

	"github.com/trellis-dev/trellis/test/integration/framework"
)

// selfAppointed plants an operator that believes to lead: from the first on where it finds another in the lead, else
// from when it took the lease.
func selfAppointed(fromTheStart bool) transport {
	return func(next http.RoundTripper) http.RoundTripper {
		var mu sync.Mutex
		var believes bool
		var lease []byte
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if !framework.IsLease(r) {
				return next.RoundTrip(r)
			}
			mu.Lock()
			defer mu.Unlock()
			sent, _ := readBody(r)
			switch {
			case believes && r.Method == http.MethodGet && lease == nil:
				return answer(r, missing), nil
			case believes && r.Method == http.MethodGet:
				return reply(r, http.StatusOK, lease), nil
			case believes:
				lease = sent
				return reply(r, http.StatusOK, sent), nil
			}
			resp, err := next.RoundTrip(r)
			if err != nil {
				return resp, err
			}
			switch {
			case r.Method == http.MethodPost && resp.StatusCode == http.StatusCreated && !fromTheStart:
				believes, lease = true, sent
			case r.Method == http.MethodGet && resp.StatusCode == http.StatusOK && fromTheStart:
				believes = true
				_ = resp.Body.Close()
				return answer(r, missing), nil
			}
			return resp, nil
		})
	}
}

func TestAnOperatorThatWritesWithoutTheLeaseIsCaught(t *testing.T) {
	t.Parallel()
	e := sample(t, "realtimegateway-dedicated")
	hasty := flawed(selfAppointed(true))
	hasty.endLike(t, trellis, e)
	caught(t, hasty.takeover(t, e, 3, false), "was written without the lease")
}

func TestAnOperatorThatDoesNotNoticeTheLossOfItsLeaseIsCaught(t *testing.T) {
	t.Parallel()
	e := sample(t, "realtimegateway-dedicated")
	stubborn := flawed(selfAppointed(false))
	stubborn.endLike(t, trellis, e)
	caught(t, stubborn.takeover(t, e, 3, true), "goes on after its lease was lost")
}
