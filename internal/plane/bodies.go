package plane

import (
	"context"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// bodies bounds the bytes of the bodies that are read and served at once. Requests are bounded by their number too,
// but as many of the largest ones would be more than a plane's memory.
type bodies struct {
	budget *semaphore.Weighted
	// whole is what a body takes whose length is not said beforehand.
	whole   int64
	metrics *Metrics
	wait    time.Duration
}

func newBodies(cfg planeconfig.HTTP, m *Metrics) *bodies {
	return &bodies{budget: semaphore.NewWeighted(max(cfg.MaxBodyBytesInFlight, cfg.MaxBodyBytes)), whole: cfg.MaxBodyBytes, metrics: m, wait: queueWait}
}

// limit admits a request once there is room for its body. It comes after authentication, so that strangers take none.
func (b *bodies) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		size := r.ContentLength
		if size < 0 {
			size = b.whole
		}
		if size == 0 || r.Body == nil || r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		if !b.acquire(r.Context(), size) {
			b.metrics.Rejected.WithLabelValues("overloaded").Inc()
			writeRequestProblem(w, r, NewProblem(http.StatusServiceUnavailable, "overloaded", "Too many requests at once",
				"this replica reads as many bytes at once as it may; try again").After(busyRetry).Header("Connection", "close"))
			return
		}
		turn := &scopeOf(r.Context()).body
		turn.budget, turn.size = b.budget, size
		defer turn.end()
		next.ServeHTTP(w, r)
	})
}

func (b *bodies) acquire(ctx context.Context, size int64) bool {
	if b.budget.TryAcquire(size) {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, b.wait)
	defer cancel()
	return b.budget.Acquire(ctx, size) == nil
}

// share is what a request's body takes of the budget, given back once.
type share struct {
	budget *semaphore.Weighted
	size   int64
}

func (s *share) end() {
	if s.budget != nil {
		s.budget.Release(s.size)
		s.budget = nil
	}
}
